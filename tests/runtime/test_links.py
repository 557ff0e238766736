"""Links and addresses in a run folder: nothing is written through, or contacted at, them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmark.report.anonymise import anonymise
from benchmark.report.document import write_report
from benchmark.run.folder import RunFolder, read_run
from benchmark.runtime.folders import folder_inside, write_text
from tests.helpers.command_line import invoke
from tests.helpers.made_run import gallery, make_run


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return make_run(tmp_path_factory.mktemp("good") / "run", n=80)


@pytest.fixture
def run(good: RunFolder, tmp_path: Path) -> RunFolder:
    return read_run(Path(shutil.copytree(good.path, tmp_path / "run")))


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A folder that must stay as it is."""
    folder = tmp_path / "outside"
    (folder / "gallery").mkdir(parents=True)
    (folder / "gallery" / "kept.png").write_text("mine")
    (folder / "kept.txt").write_text("mine")
    yield folder
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {"gallery/kept.png", "kept.txt"}
    assert {path.read_text() for path in folder.rglob("*.*")} == {"mine"}


def test_links_in_a_files_place_are_replaced(run: RunFolder, outside: Path) -> None:
    names = ("report.md", "checklists.csv", "gallery.md", "gallery.json", "explanations.csv")
    for name in (*names, "drift.md", "drift.json"):
        (run.path / name).symlink_to(outside / "kept.txt")
    (run.path / ".report.md.draft").symlink_to(outside / "kept.txt")
    (run.path / "report.csv").symlink_to(outside / "new.txt")
    write_report(run, ["md", "csv"], gallery(run))
    assert invoke("drift", run.path, "--baseline", run.path) == 0
    for name in (*names, "report.csv", "drift.md", "drift.json"):
        assert (run.path / name).is_file()
        assert not (run.path / name).is_symlink()


def test_folders_that_are_links_are_refused(run: RunFolder, outside: Path) -> None:
    (run.path / "figures").symlink_to(outside)
    with pytest.raises(ValueError, match="figures' is a link or a file"):
        write_report(run, ["md"], gallery(run))
    with pytest.raises(ValueError, match="figures' is a link or a file"):
        write_report(run, ["svg"])


def test_links_to_folders_that_are_replaced_are_removed(run: RunFolder, outside: Path) -> None:
    (run.path / "anonymised").symlink_to(outside)
    copy, _ = anonymise(run)
    assert not copy.path.is_symlink()
    (run.path / "figures").mkdir()
    (run.path / "figures" / "gallery").symlink_to(outside)
    (run.path / "figures" / "shap-a.png").symlink_to(outside / "kept.txt")
    write_report(run, ["md"], gallery(run))
    assert list((run.path / "figures" / "gallery").glob("*.png"))


def test_a_new_baseline_has_only_the_runs_features(
    run: RunFolder, outside: Path, tmp_path: Path
) -> None:
    shutil.rmtree(run.path / "features")
    (run.path / "features").symlink_to(outside)
    (run.path / "failures.json").write_text("[]")
    (tmp_path / "base").symlink_to(outside / "gallery")
    baseline = tmp_path / "new"
    reason = "--refresh", "--reason", "first"
    assert invoke("drift", run.path, "--baseline", baseline, *reason) == 0
    assert not list((baseline / "features").iterdir())


def test_a_file_is_written_where_its_name_is_and_folders_are_made(tmp_path: Path) -> None:
    folder = folder_inside(tmp_path, "a", "b")
    write_text(folder / "c.txt", "one\ntwo\n")
    write_text(folder / "c.txt", "three\n")
    assert (folder / "c.txt").read_bytes() == b"three\n"
    assert [path.name for path in folder.iterdir()] == ["c.txt"]


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/rois", "//host/share", "s3://bucket/x"])
def test_no_address_of_a_stranger_is_contacted(
    address: str,
    run: RunFolder,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = (run.path / "config.toml").read_text()
    (run.path / "config.toml").write_text(config.replace("somewhere/made", address))
    opened: list[str] = []

    def open_dataset(name: str, *_: object) -> None:
        opened.append(name)
        raise ValueError("opened")

    monkeypatch.setattr("benchmark.run.inputs.open_dataset", open_dataset)
    assert invoke("report", run.path, "--format", "md") == 0
    said = capsys.readouterr().err
    assert f"names '{address}', which is not on this machine's disks" in said
    assert invoke("audit", run.path, "--out", tmp_path / "audit") == 2
    assert "--trust" in capsys.readouterr().err
    assert opened == []
    assert invoke("report", run.path, "--format", "md", "--trust") == 0
    assert "no gallery: opened" in capsys.readouterr().err
    assert opened == [address]
