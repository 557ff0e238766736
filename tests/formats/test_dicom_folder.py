"""Series found in folders of DICOM files, links and bad files among them."""

from __future__ import annotations

from pathlib import Path

from benchmark.formats.dicom_folder import SeriesKey, find_series
from tests.helpers.lidc_dicom import SHORTEST, Quiet, write_slice

KEY = SeriesKey(SHORTEST.patient_id, SHORTEST.study_instance_uid, SHORTEST.series_instance_uid)


def found(folder: Path) -> list[str]:
    files = find_series(folder, [KEY], Quiet()).get(KEY.series_instance_uid, ())
    return [path.relative_to(folder).as_posix() for path in files]


def test_the_layout_by_ids_is_recognised_without_reading(tmp_path, monkeypatch):
    path = write_slice(tmp_path)
    monkeypatch.setattr("benchmark.formats.dicom_folder.read_fields", None)
    (path.parent / ".hidden.dcm").touch()
    (path.parent / "068.xml").touch()
    (path.parent / f"{path.name}12345").touch()  # what a killed s5cmd leaves
    assert found(tmp_path) == [path.relative_to(tmp_path).as_posix()]


def test_links_are_followed_and_nothing_is_found_twice(tmp_path):
    write_slice(tmp_path / "store", layout="a/1-001.dcm")
    dicom = tmp_path / "dicom"
    dicom.mkdir()
    (dicom / "patient").symlink_to(tmp_path / "store" / "a")
    assert found(dicom) == ["patient/1-001.dcm"]
    (dicom / "patient again").symlink_to(dicom / "patient")
    assert found(dicom) == ["patient/1-001.dcm"]
    (tmp_path / "store" / "a" / "round").symlink_to(dicom)
    (dicom / "nowhere").symlink_to(tmp_path / "absent")
    assert found(dicom) == ["patient/1-001.dcm"]


def test_a_link_to_a_folder_of_the_layout_by_ids(tmp_path):
    path = write_slice(tmp_path / "store")
    patient = tmp_path / "store" / SHORTEST.patient_id
    (tmp_path / "dicom").mkdir()
    (tmp_path / "dicom" / SHORTEST.patient_id).symlink_to(patient)
    expected = [path.relative_to(tmp_path / "store").as_posix()]
    assert found(tmp_path / "dicom") == expected


def test_links_that_are_files(tmp_path):
    path = write_slice(tmp_path / "store", layout="1-001.dcm")
    (tmp_path / "dicom").mkdir()
    (tmp_path / "dicom" / "1-001.dcm").symlink_to(path)
    assert found(tmp_path / "dicom") == ["1-001.dcm"]


def test_files_that_cannot_be_read_may_belong_to_what_lies_beside_them(tmp_path):
    write_slice(tmp_path, layout="a/2.dcm")
    (tmp_path / "b").mkdir()
    for name in ("a/1.dcm", "a/3.dcm", "b/1.dcm"):
        (tmp_path / name).touch()
    (tmp_path / "a" / "4").touch()  # not even named as DICOM
    assert sorted(found(tmp_path)) == ["a/1.dcm", "a/2.dcm", "a/3.dcm"]
