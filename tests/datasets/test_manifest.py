from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from benchmark.datasets import manifest
from benchmark.roi import Roi, RoiRecord, UnavailableError
from tests.helpers.volumes import WriteManifest, write_volume


def read_all(root: Path) -> None:
    dataset = manifest.open_dataset(root)
    for record in dataset.records:
        dataset.read(record)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_axes_and_spacing_are_z_y_x(tmp_path: Path, suffix: str) -> None:
    image = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
    mask = np.zeros((2, 3, 4), np.uint8)
    mask[1, 2, 3] = 1
    write_volume(tmp_path / f"i{suffix}", image, (2.5, 0.5, 0.75))
    write_volume(tmp_path / f"m{suffix}", mask, (2.5, 0.5, 0.75))
    (tmp_path / "manifest.csv").write_text(
        f"roi_id,patient_id,image,mask,label,site\na,p,i{suffix},m{suffix},1,here\n"
    )
    dataset = manifest.open_dataset(tmp_path)
    roi = dataset.read(dataset.records[0])
    assert roi.spacing_mm == pytest.approx((2.5, 0.5, 0.75))
    np.testing.assert_array_equal(roi.image, image)
    assert list(zip(*np.nonzero(roi.mask), strict=True)) == [(1, 2, 3)]
    assert roi.volume_mm3 == pytest.approx(2.5 * 0.5 * 0.75)
    assert roi.record.attributes["site"] == "here"


def test_csv_may_be_named_itself(write_manifest: WriteManifest) -> None:
    root = write_manifest(4)
    renamed = (root / "manifest.csv").rename(root / "mine.csv")
    assert manifest.open_dataset(renamed).name == "mine"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "2"}, r"row 4 \(roi_id 'r2'\): label is '2'; it must be 0"),
        ({"label": "malignant"}, r"label is 'malignant'"),
        ({"roi_id": "r0"}, r"row 4 \(roi_id 'r0'\): row 2 has the same roi_id"),
        ({"roi_id": " "}, "row 4 .*roi_id is empty"),
        ({"patient_id": ""}, "row 4 .*patient_id is empty"),
        ({"label": ""}, "row 4 .*neither label nor malignancy_ratings"),
    ],
)
def test_rows_are_checked(
    write_manifest: WriteManifest, change: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        manifest.open_dataset(write_manifest(4, change={2: change}))


@pytest.mark.parametrize("ratings", ["3 7", "4.5", "0", "high"])
def test_ratings_are_checked(write_manifest: WriteManifest, ratings: str) -> None:
    root = write_manifest(4, labels=False, change={1: {"malignancy_ratings": ratings}})
    with pytest.raises(ValueError, match=r"row 3 \(roi_id 'r1'\): malignancy_ratings has"):
        manifest.open_dataset(root)


def test_unknown_intensities_are_refused(write_manifest: WriteManifest) -> None:
    root = write_manifest(2)
    text = (root / "manifest.csv").read_text().splitlines()
    (root / "manifest.csv").write_text(f"{text[0]},intensities\n{text[1]},simulated\n")
    with pytest.raises(ValueError, match="intensities is 'simulated'; it must be one of acq"):
        manifest.open_dataset(root)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column roi_id, patient_id, image, mask"),
        ("roi_id,patient_id,image,mask\na,b,c,d\n", "no column label or malignancy_ratings"),
        ("roi_id,patient_id,image,mask,label\n", "no rows"),
        (
            "roi_id,patient_id,image,mask,label,label\na,b,c,d,1,1\n",
            "columns 5 and 6 .* 'label' and 'label'",
        ),
        ("roi_id,patient_id,image,mask,label\na,b,c\n", "row 2 .*not 5 values"),
        ("roi_id,patient_id,image,mask,label\na,b,c,d,1,7\n", "row 2 .*not 5 values"),
    ],
)
def test_tables_are_checked(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        manifest.open_dataset(tmp_path)


def test_not_text(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_bytes(b"\x89PNG\xff\xfe\x00")
    with pytest.raises(ValueError, match="not a CSV in UTF-8"):
        manifest.open_dataset(tmp_path)


def test_missing_file(write_manifest: WriteManifest) -> None:
    root = write_manifest(4)
    (root / "masks/r3.nii.gz").unlink()
    with pytest.raises(ValueError, match=r"row 5 \(roi_id 'r3'\): mask 'masks/r3.nii.gz' does"):
        read_all(root)


def test_damaged_file(write_manifest: WriteManifest) -> None:
    root = write_manifest(4)
    (root / "images/r0.nii.gz").write_bytes(b"nothing like NIfTI")
    with pytest.raises(ValueError, match=r"row 2 .*image 'images/r0.nii.gz' is named .gz and"):
        read_all(root)


SHAPE = (7, 16, 16)


@pytest.mark.parametrize(
    ("image", "mask", "message"),
    [
        (np.zeros(SHAPE), np.zeros(SHAPE, np.uint8), "mask is empty"),
        (np.zeros((7, 16, 15)), np.ones(SHAPE, np.uint8), "and mask has 7 x 16 x 16 voxels"),
        (np.full(SHAPE, np.nan), np.ones(SHAPE, np.uint8), "image has 1792 NaN"),
        (np.full(SHAPE, -np.inf), np.ones(SHAPE, np.uint8), "image has 1792 NaN or infinite"),
        (np.zeros(SHAPE), np.arange(1792, dtype=np.uint8).reshape(SHAPE) % 3, "the values 1, 2"),
    ],
)
def test_voxels_are_checked(
    write_manifest: WriteManifest, image: np.ndarray, mask: np.ndarray, message: str
) -> None:
    root = write_manifest(4)
    write_volume(root / "images/r2.nii.gz", image.astype(np.float32))
    write_volume(root / "masks/r2.nii.gz", mask)
    with pytest.raises(ValueError, match=rf"manifest.csv row 4 \(roi_id 'r2'\): .*{message}"):
        read_all(root)


def test_spacing_of_image_and_mask_must_agree(write_manifest: WriteManifest) -> None:
    root = write_manifest(4)
    write_volume(root / "masks/r1.nii.gz", np.ones(SHAPE, np.uint8), (1.0, 0.7, 0.8))
    with pytest.raises(ValueError, match=r"row 3 .*mask has .* of 1 x 0.7 x 0.8 mm .*one grid"):
        read_all(root)


def write_planes(root: Path, suffix: str, thickness: str | None, *, flat: bool) -> None:
    """One ROI whose files have two dimensions, or three of which one is a single slice."""
    rng = np.random.default_rng(0)
    image = rng.normal(-600, 50, (1, 5, 6)).round().astype(np.int16)
    mask = np.zeros((1, 5, 6), np.uint8)
    mask[0, 1, 4] = 1
    for name, array in (("i", image), ("m", mask)):
        write_volume(root / f"{name}{suffix}", array[0] if flat else array, (2.5, 0.5, 0.75))
    column, value = ("", "") if thickness is None else (",slice_thickness_mm", f",{thickness}")
    (root / "manifest.csv").write_text(
        f"roi_id,patient_id,image,mask,label{column}\na,p,i{suffix},m{suffix},1{value}\n"
    )


@pytest.mark.parametrize("flat", [True, False], ids=["2D file", "one slice"])
@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_single_slices(tmp_path: Path, suffix: str, flat: bool) -> None:
    # A file with a slice spacing of its own keeps it, whatever the column says.
    write_planes(tmp_path, suffix, "1.25", flat=flat)
    dataset = manifest.open_dataset(tmp_path)
    roi = dataset.read(dataset.records[0])
    assert roi.spacing_mm == pytest.approx((1.25 if flat else 2.5, 0.5, 0.75))
    assert list(zip(*np.nonzero(roi.mask), strict=True)) == [(0, 1, 4)]


@pytest.mark.parametrize("thickness", [None, ""])
def test_two_dimensions_need_a_thickness(tmp_path: Path, thickness: str | None) -> None:
    write_planes(tmp_path, ".nrrd", thickness, flat=True)
    with pytest.raises(ValueError, match=r"row 2 .*'i.nrrd' is two-dimensional and slice_thick"):
        read_all(tmp_path)


def test_four_dimensions_are_refused(write_manifest: WriteManifest) -> None:
    root = write_manifest(4)
    volume = nib.Nifti1Image(np.zeros((4, 4, 4, 2), np.int16), np.eye(4))
    nib.save(volume, root / "images/r1.nii.gz")
    with pytest.raises(ValueError, match="has 4 dimensions; it must have two or three"):
        read_all(root)


def test_formats_may_be_mixed(write_manifest: WriteManifest) -> None:
    """NIfTI, NRRD and MHA images and masks in one manifest, in every pairing."""
    same = manifest.open_dataset(write_manifest(6, folder="same"))
    suffixes = [".nii.gz", ".nrrd", ".mha", ".nii"]
    change = {}
    for i in range(6):
        pair = {"image": f"images/r{i}{suffixes[i % 4]}", "mask": f"masks/r{i}{suffixes[i % 3]}"}
        change[i] = pair
    root = write_manifest(6, folder="mixed", change=change)
    for record, pair in zip(same.records, change.values(), strict=True):
        roi = same.read(record)
        write_volume(root / pair["image"], roi.image.astype(np.int16))
        write_volume(root / pair["mask"], roi.mask.astype(np.uint8))
    for path in root.rglob("*.nii.gz"):
        if f"{path.parent.name}/{path.name}" not in {
            v for p in change.values() for v in p.values()
        }:
            path.unlink()
    mixed = manifest.open_dataset(root)
    hashes = [[d.read(r).content_hash() for r in d.records] for d in (same, mixed)]
    assert hashes[0] == hashes[1]
    assert len(set(hashes[0])) == 6


def test_content_hash_follows_content_only(write_manifest: WriteManifest) -> None:
    first = manifest.open_dataset(write_manifest(4, folder="a"))
    second = manifest.open_dataset(write_manifest(4, folder="b", suffix=".nrrd"))
    a, b = (d.read(d.records[0]).content_hash() for d in (first, second))
    other = first.read(first.records[1]).content_hash()
    assert a == b != other


def with_readers(
    write_manifest: WriteManifest, second: np.ndarray, spacing_mm: tuple[float, ...] = (1, 0.7, 0.7)
) -> Path:
    """Four ROIs with two readers' masks each; the second reader of r2 is the one given."""
    named = {i: {"reader_masks": f"a/r{i}.nii.gz a/s{i}.nii.gz"} for i in range(4)}
    root = write_manifest(4, change=named)
    for i in range(4):
        mask = np.zeros(SHAPE, np.uint8)
        mask[3, 4:8, 5:9] = 1
        write_volume(root / f"a/r{i}.nii.gz", mask)
        write_volume(root / f"a/s{i}.nii.gz", np.roll(mask, 1, axis=2))
    write_volume(root / "a/s2.nii.gz", second, spacing_mm)
    return root


def test_readers_masks_come_in_the_order_named(write_manifest: WriteManifest) -> None:
    third = np.zeros(SHAPE, np.uint8)
    third[5, 3, 2] = 255
    dataset = manifest.open_dataset(with_readers(write_manifest, third))
    first, second = dataset.read(dataset.records[2]).reader_masks
    assert (first.dtype, first.sum()) == (bool, 16)
    assert list(zip(*np.nonzero(second), strict=True)) == [(5, 3, 2)]


@pytest.mark.parametrize(
    ("mask", "spacing_mm", "message"),
    [
        (np.zeros(SHAPE, np.uint8), (1, 0.7, 0.7), "reader mask 2 is empty"),
        (np.ones((7, 16, 17), np.uint8), (1, 0.7, 0.7), "reader mask 2 has 7 x 16 x 17"),
        (np.ones(SHAPE, np.uint8), (1, 0.7, 0.8), "reader mask 2 has .* 1 x 0.7 x 0.8 mm"),
        (np.arange(1792, dtype=np.uint8).reshape(SHAPE) % 3, (1, 0.7, 0.7), "2 has the values 1"),
    ],
)
def test_readers_masks_are_checked(
    write_manifest: WriteManifest, mask: np.ndarray, spacing_mm: tuple[float, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=rf"manifest.csv row 4 \(roi_id 'r2'\): .*{message}"):
        read_all(with_readers(write_manifest, mask, spacing_mm))


def test_a_missing_reader_mask_is_named(write_manifest: WriteManifest) -> None:
    root = with_readers(write_manifest, np.ones(SHAPE, np.uint8))
    (root / "a/r1.nii.gz").unlink()
    with pytest.raises(ValueError, match=r"row 3 .*: reader mask 1 'a/r1.nii.gz' does not exist"):
        read_all(root)


def test_without_readers_masks_the_reason_is_given(write_manifest: WriteManifest) -> None:
    dataset = manifest.open_dataset(write_manifest(4))
    with pytest.raises(UnavailableError, match=r"roi_id 'r0' has no readers' masks \(manifest col"):
        _ = dataset.read(dataset.records[0]).reader_masks


def test_content_hash_covers_readers_masks(write_manifest: WriteManifest) -> None:
    dataset = manifest.open_dataset(with_readers(write_manifest, np.ones(SHAPE, np.uint8)))
    roi = dataset.read(dataset.records[0])
    bare = replace(roi, reader_outlines=())
    fewer = replace(roi, reader_outlines=roi.reader_outlines[:1])
    swapped = replace(roi, reader_outlines=roi.reader_outlines[::-1])
    lone = replace(roi, outline=None, reader_outlines=(roi.mask,))
    nothing_drawn = replace(roi, reader_outlines=(), outline=roi.mask)
    hashes = {r.content_hash() for r in (roi, bare, fewer, swapped, lone)}
    assert len(hashes) == 5
    assert nothing_drawn.content_hash() == bare.content_hash()


def test_content_hash_without_readers_masks_stays_what_it_was() -> None:
    """Fingerprints of committed results are made of it."""
    mask = np.zeros((2, 3, 4), bool)
    mask[1, 1, 1] = True
    image = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    roi = Roi(RoiRecord("r", "p", label=0), image, mask, (2.0, 0.5, 0.5))
    assert roi.content_hash() == "ad0beac83bd6c9691b762b615baba451969efe7cd54fa187995ccaaf089baa61"


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz"])
def test_the_same_places_in_another_order_are_the_same_roi(
    write_manifest: WriteManifest, suffix: str
) -> None:
    """Rows and columns of the image are reversed, the mask is stored plainly, as 3D Slicer does."""
    change = {1: {"mask": f"masks/r1{suffix}"}}
    dataset = manifest.open_dataset(write_manifest(4, change=change))
    root = dataset.read.manifest.parent  # type: ignore[attr-defined]
    plain = manifest.open_dataset(write_manifest(4, folder="plain"))
    expected = plain.read(plain.records[1])
    image = sitk.ReadImage(str(root / "images/r1.nii.gz"))
    sitk.WriteImage(sitk.Flip(image, (True, True, False)), str(root / "images/r1.nii.gz"))
    sitk.WriteImage(sitk.ReadImage(str(root / "masks/r1.nii.gz")), str(root / f"masks/r1{suffix}"))
    roi = dataset.read(dataset.records[1])
    assert roi.content_hash() == expected.content_hash()


def test_a_mask_of_a_smaller_box_is_placed(write_manifest: WriteManifest) -> None:
    dataset = manifest.open_dataset(write_manifest(4))
    path = dataset.read.manifest.parent / "masks/r2.nii.gz"  # type: ignore[attr-defined]
    expected = dataset.read(dataset.records[2])
    found = np.argwhere(expected.mask)
    (z, y, x), (d, h, w) = found.min(axis=0).tolist(), (np.ptp(found, axis=0) + 1).tolist()
    mask = sitk.ReadImage(str(path))
    sitk.WriteImage(sitk.RegionOfInterest(mask, (w, h, d), (x, y, z)), str(path))
    assert dataset.read(dataset.records[2]).content_hash() == expected.content_hash()


def test_whatever_a_reader_stumbles_on_is_told_by_its_row(write_manifest: WriteManifest) -> None:
    """Nibabel misses the last byte with an OSError of two lines."""
    root = write_manifest(4, suffix=".nii")
    image = root / "images/r2.nii"
    image.write_bytes(image.read_bytes()[:-1])
    with pytest.raises(
        ValueError, match=r"manifest.csv row 4 \(roi_id 'r2'\): image 'images/r2.nii' .*damaged"
    ) as told:
        read_all(root)
    assert len(str(told.value).splitlines()) == 1
