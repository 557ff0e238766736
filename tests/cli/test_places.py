"""Places that commands write to: what cannot be written is refused before anything is read."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.runtime.folders import new_folder, reserved
from benchmark.runtime.paths import ROOT
from tests.helpers.command_line import SMALL, invoke, refused
from tests.helpers.volumes import WriteManifest


def below_a_file(folder: Path) -> Path:
    (folder / "file").write_text("mine")
    return folder / "file" / "below" / "out"


def a_link(folder: Path) -> Path:
    (folder / "elsewhere").mkdir()
    (folder / "out").symlink_to(folder / "elsewhere")
    return folder / "out"


def a_loop(folder: Path) -> Path:
    (folder / "loop").symlink_to(folder / "loop")
    return folder / "loop" / "out"


def a_file(folder: Path) -> Path:
    (folder / "out").write_text("mine")
    return folder / "out"


PLACES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "below a file": (below_a_file, "cannot be written (Not a directory)"),
    "long name": (lambda folder: folder / ("n" * 256), "cannot be written (File name too long)"),
    "long path": (
        lambda folder: folder.joinpath(*["d" * 200] * 21), "cannot be written (File name too long)"
    ),
    "loop": (a_loop, "cannot be written"),
    "device": (lambda folder: Path("/dev/full"), "'/dev/full'"),
    "kernel": (lambda folder: Path("/proc/out"), "cannot be written"),
    "file": (a_file, "out'"),
}  # fmt: skip

# Of what is read, nothing exists: who looks there first says so.
COMMANDS = {
    "run": ["run", "--dataset", "nowhere", "--out"],
    "audit": ["audit", "nowhere", "--out"],
    "phantom": ["build", "phantom", "--n", "100000", "--out"],
    "lidc": ["build", "lidc", "--dicom", "nowhere", "--patients", "-1", "--out"],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("place", PLACES)
def test_what_cannot_be_written_is_refused_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, place: str
) -> None:
    make, message = PLACES[place]
    out = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert message in refused(capsys, *COMMANDS[command], out)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("command", ["run", "audit", "phantom"])
def test_a_link_is_no_new_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert "is a link" in refused(capsys, *COMMANDS[command], a_link(tmp_path))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_has_one_writer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    out = tmp_path / "out"
    code = """
        import sys
        from pathlib import Path
        from benchmark.runtime.folders import reserved
        with reserved(Path(sys.argv[1]), new=sys.argv[2] == "True"):
            print("begun", flush=True)
            sys.stdin.read()
    """
    new = str(command != "lidc")
    writer = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(out), new],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert writer.stdout is not None
    assert writer.stdout.readline() == "begun\n"
    assert "is being written by another process" in refused(capsys, *COMMANDS[command], out)
    writer.communicate("")
    assert "another process" not in refused(capsys, *COMMANDS[command], out)
    assert list(tmp_path.iterdir()) == []


def test_drafts_of_killed_processes_go_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    code = """
        import os, sys
        from pathlib import Path
        from benchmark.runtime.folders import new_folder, reserved
        out = Path(sys.argv[1])
        with reserved(out), new_folder(out) as draft:
            (draft / "half").write_text("half")
            print("begun", flush=True)
            sys.stdin.read()
    """
    writers = []
    for name in ("killed", "living"):
        writer = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / name)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert writer.stdout is not None
        assert writer.stdout.readline() == "begun\n"
        writers.append(writer)
    mine = tmp_path / ".killed-of-mine"
    mine.mkdir()
    writers[0].kill()
    writers[0].communicate()
    with reserved(tmp_path / "other"):
        left = {path.name.partition("-")[0] for path in tmp_path.iterdir()}
        assert left == {".killed", ".living", ".living.writing", ".other.writing"}
        assert list(tmp_path.glob(".killed*")) == [mine]
    writers[1].communicate("")
    assert (tmp_path / "living" / "half").is_file()


@pytest.mark.skipif(os.name != "posix", reason="/dev/full is a device of Linux")
def test_a_disk_that_fills_up_ends_a_command_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmark.datasets import phantom

    def full(path: Path, chosen: object) -> None:
        with Path("/dev/full").open("w") as handle:
            handle.write("manifest")

    monkeypatch.setattr(phantom, "_write_manifest", full)
    out = tmp_path / "out"
    arguments = ["build", "phantom", "--n", "1", "--jobs", "1", "--out"]
    message = refused(capsys, *arguments, out)
    assert message == f"error: '{out}': cannot be written (No space left on device)"
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_names_no_file_is_given_the_folders_name(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(OSError, match="No space") as caught, new_folder(out):
        raise OSError(28, "No space left on device")
    assert caught.value.filename == str(out)


def test_what_lies_outside_is_read_by_every_command_where_it_is_allowed(
    write_manifest: WriteManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_manifest(24)
    (root / "images").rename(tmp_path / "elsewhere")
    (root / "images").symlink_to(tmp_path / "elsewhere")
    out, again = tmp_path / "run", tmp_path / "again"
    arguments = ["--dataset", root, "--out", out, *SMALL]
    message = refused(capsys, "run", *arguments)
    assert "row 2 " in message
    assert "outside of the manifest's folder" in message
    assert "--allow-outside" in message
    assert invoke("audit", root, "--out", tmp_path / "a", "--jobs", "1") == 1
    assert invoke("audit", root, "--out", tmp_path / "b", "--jobs", "1", "--allow-outside") == 0
    assert invoke("run", *arguments, "--allow-outside") == 0
    assert invoke("run", "--profile", out / "config.toml", "--out", again, "--jobs", "1") == 0
    capsys.readouterr()
    assert invoke("report", out, "--jobs", "1", "--format", "md") == 0
    assert "no gallery" not in capsys.readouterr().err
    assert (out / "gallery.md").is_file()
