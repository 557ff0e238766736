"""Image files of every format: what is read, what damage is noticed, what is refused."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from benchmark.formats import images

SPACING = (2.5, 0.75, 0.5)
VOXELS = np.random.default_rng(0).normal(-600, 200, (4, 5, 6)).round().astype(np.int16)
AFFINE = np.diag([-0.5, -0.75, 2.5, 1])


def never() -> float:
    raise AssertionError("the thickness is asked for planes only")


def load(path: Path) -> images.Volume:
    return images.load(path.parent, path.name, never)


def write(path: Path, voxels: np.ndarray = VOXELS, *, compressed: bool = True) -> Path:
    """By nibabel or by ITK, with the same places in the patient."""
    if path.name.lower().endswith((".nii", ".nii.gz", ".hdr", ".img", ".img.gz")):
        kind = nib.Nifti1Image if ".nii" in path.name.lower() else nib.Nifti1Pair
        nib.save(kind(voxels.T, AFFINE), path)
    else:
        image = sitk.GetImageFromArray(voxels)
        image.SetSpacing(SPACING[: -len(SPACING) - 1 : -1][: voxels.ndim])
        sitk.WriteImage(image, str(path), useCompression=compressed)
    return path


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.NII.GZ", "a.NII", "a.hdr", "a.img",
    "a.img.gz", "a.mha", "a.mhd", "a.nrrd", "a.nhdr", "a.MHA", "a.NRRD"])  # fmt: skip
def test_every_format_gives_the_same(name, compressed, tmp_path):
    lower = write(tmp_path / name.lower(), compressed=compressed)
    if lower.name != name:
        lower = lower.rename(tmp_path / name)
    volume = load(lower)
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    assert volume.geometry.spacing_mm == SPACING
    assert volume.geometry.origin_mm == pytest.approx(np.zeros(3))
    assert volume.geometry.obliquity_deg == 0


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.img", "a.mha", "a.nrrd"])
def test_nan_stays_nan(name, tmp_path):
    voxels = VOXELS.astype(np.float32)
    voxels[1, 2, 3] = np.nan
    volume = load(write(tmp_path / name, voxels))
    assert np.argwhere(np.isnan(volume.voxels)).tolist() == [[1, 2, 3]]


@pytest.mark.parametrize("name", ["a.nii.gz", "a.mha", "a.nrrd"])
def test_a_flipped_bit_is_noticed(name, tmp_path):
    """A flip is refused, unless it is one of gzip's time stamp and system, and all is the same."""
    path = write(tmp_path / name)
    content = path.read_bytes()
    header_ends = {"a.nii.gz": b"", "a.mha": b"LOCAL\n", "a.nrrd": b"\n\n"}[name]
    begins = content.find(header_ends) + len(header_ends)
    rng = np.random.default_rng(0)
    accepted = 0
    for at in rng.integers(begins, len(content), 300).tolist():
        damaged = bytearray(content)
        damaged[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            volume = load(path)
        except ValueError:
            continue
        accepted += 1
        np.testing.assert_array_equal(volume.voxels, VOXELS)
        assert volume.geometry.spacing_mm == SPACING
    assert accepted < 30


@pytest.mark.parametrize("at", [-1, -5])
def test_the_gzip_trailer_is_checked(at, tmp_path):
    """Its last eight bytes are the checksum and the size."""
    path = write(tmp_path / "a.nii.gz")
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is damaged"):
        load(path)


@pytest.mark.parametrize("rest", [b"more", b"\x1f\x8b damaged"])
def test_nothing_may_follow_the_gzip_trailer(rest, tmp_path):
    path = write(tmp_path / "a.nii.gz")
    path.write_bytes(path.read_bytes() + rest)
    with pytest.raises(ValueError, match="is damaged"):
        load(path)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.img", "a.mha", "a.nrrd"])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_file_that_was_cut_off_is_refused(name, share, tmp_path):
    path = write(tmp_path / name)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(Exception, match=r"."):
        load(path)


def test_what_is_named_gz_is_gzip(tmp_path):
    path = write(tmp_path / "a.nii").rename(tmp_path / "a.nii.gz")
    with pytest.raises(ValueError, match=r"is named \.gz and is not gzip"):
        load(path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.dcm", "a.npy", "a", "a.gz"])
def test_other_formats_are_refused(name, tmp_path):
    path = tmp_path / name
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((5, 5), np.uint8)), str(tmp_path / "x.png"))
    path.write_bytes((tmp_path / "x.png").read_bytes())
    with pytest.raises(ValueError, match="is none of the formats that are read"):
        load(path)
    disguised = path.rename(tmp_path / "a.nrrd")
    with pytest.raises(ValueError, match="is not NRRD"):
        load(disguised)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.img", "a.mha", "a.nrrd"])
def test_colours_are_refused(name, tmp_path):
    path = tmp_path / name
    rgb = np.zeros((6, 5, 4), np.dtype([(c, "u1") for c in "RGB"]))
    if name in ("a.nii.gz", "a.img"):
        kind = nib.Nifti1Image if name == "a.nii.gz" else nib.Nifti1Pair
        nib.save(kind(rgb, AFFINE), path)
    else:
        sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 5, 6, 3), np.uint8), True), str(path))
    with pytest.raises(ValueError, match=r"of type RGB|several values a voxel|has 4 dimensions"):
        load(path)


def test_colours_that_look_like_an_axis_are_refused(tmp_path):
    path = write(tmp_path / "a.nrrd", np.zeros((1, 5, 3), np.int16), compressed=False)
    changed(path, b"dimension: 3", b"dimension: 4")
    changed(path, b"sizes: 3 5 1", b"sizes: 3 5 1 1")
    changed(path, b"kinds: domain", b"kinds: 3-color domain")
    changed(path, b"space directions:", b"space directions: none")
    with pytest.raises(ValueError, match="has several values a voxel; it must have one"):
        load(path)


def test_nrrd_may_say_that_it_is_in_mm(tmp_path):
    path = write(tmp_path / "a.nrrd", compressed=False)
    changed(
        path, b"space origin: (0,0,0)\n", b'space origin: (0,0,0)\nspace units: "mm" "mm" "mm"\n'
    )
    np.testing.assert_array_equal(load(path).voxels, VOXELS)


def test_analyze_files_say_no_place(tmp_path):
    nib.save(nib.AnalyzeImage(VOXELS.T, AFFINE), tmp_path / "a.img")
    with pytest.raises(ValueError, match="is not NIfTI"):
        load(tmp_path / "a.img")


def test_the_other_half_of_a_pair_is_missed(tmp_path):
    write(tmp_path / "a.img")
    (tmp_path / "a.hdr").unlink()
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "a.img")


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd", "a.nii.gz"])
def test_a_fourth_axis_of_one_is_left_out(name, tmp_path):
    path = tmp_path / name
    if name == "a.nii.gz":
        nib.save(nib.Nifti1Image(VOXELS.T[..., None], AFFINE), path)
    else:
        image = sitk.JoinSeries([sitk.ReadImage(str(write(tmp_path / "three.mha")))])
        sitk.WriteImage(image, str(path))
    if name == "a.nrrd":  # its space has no name in NRRD
        with pytest.raises(ValueError, match="has the space"):
            load(path)
        return
    np.testing.assert_array_equal(load(path).voxels, VOXELS)


def changed(path: Path, old: bytes, new: bytes) -> Path:
    content = path.read_bytes()
    assert content.count(old) == 1, content[:600]
    path.write_bytes(content.replace(old, new))
    return path


META = b"ElementSpacing = 0.5 0.75 2.5\n"
MATRIX = b"TransformMatrix = 1 0 0 0 1 0 0 0 1\n"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (META, b"", "has no ElementSize"),
        (META, b"ElementSpacing = 0.5 0.75\n", "'0.5 0.75'; 3 finite numbers"),
        (META, b"ElementSpacing = 0.5 0.75 nan\n", "nan'; 3 finite numbers"),
        (META, b"ElementSpacing = 0.5 0.75 0\n", "cannot be read"),
        (META, b"ElementSpacing = 0.5 0.75 mm\n", "3 finite numbers"),
        (META, META + META, "says ElementSpacing twice"),
        (MATRIX, b"", "has no TransformMatrix"),
        (MATRIX, MATRIX.replace(b"1 0 0 0 1 0 0 0 1", b"1 0 0 1"), "9 finite numbers"),
        (MATRIX, MATRIX.replace(b"1 0 0 0 1", b"1 0 .2 0 1"), "not at right angles"),
        (b"NDims = 3", b"NDims = 300000", "NDims '300000'"),
        (b"NDims = 3", b"NDims = -1", "NDims '-1'"),
        (b"NDims = 3", b"NDims = 2", "they must agree"),
        (b"NDims = 3\n", b"", "NDims ''"),
        (b"DimSize = 6 5 4", b"DimSize = 6 5 4000000000", "whole numbers"),
        (b"DimSize = 6 5 4", b"DimSize = 6 5 0", "they must agree"),
        (b"DimSize = 6 5 4", b"DimSize = 6 5 5", "240 bytes of voxels, 300 by its header"),
        (b"ElementType = MET_SHORT", b"ElementType = MET_USHORT_ARRAY", "ElementType 'MET_USHORT_"),
        (b"ElementType = MET_SHORT", b"ElementType = MET_CHAR", "240 bytes of voxels, 120 by"),
        (b"LOCAL", b"LIST", "one file in the same folder"),
        (b"LOCAL", b"/etc/passwd", "one file in the same folder"),
        (b"LOCAL", b"../a.raw", "one file in the same folder"),
        (b"LOCAL", b"a%03d.raw 1 4 1", "one file in the same folder"),
        (b"BinaryData = True", b"BinaryData = False", "as text or at an offset"),
    ],
)
def test_metaimage_headers_are_checked(old, new, message, tmp_path):
    path = write(tmp_path / "a.mha", compressed=False)
    with pytest.raises(ValueError, match=message):
        load(changed(path, old, new))


def test_metaimage_headers_must_end(tmp_path):
    path = tmp_path / "a.mha"
    path.write_bytes(b"ObjectType = Image\n" * 1)
    with pytest.raises(ValueError, match="does not end with ElementDataFile"):
        load(path)


DIRECTIONS = b"space directions: (0.5,0,0) (0,0.75,0) (0,0,2.5)\n"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (DIRECTIONS, b"", "has no space directions"),
        (DIRECTIONS, b"spacings: 0.5 0.75 2.5\n", "has no space directions"),
        (DIRECTIONS, DIRECTIONS.replace(b"(0,0,2.5)", b"none"), "9 finite numbers"),
        (b"space: left-posterior-superior", b"space: scanner-xyz", "has the space 'scanner-xyz'"),
        (b"space: left-posterior-superior\n", b"", "has the space ''"),
        (b"space origin: (0,0,0)", b"space origin: (0,0,nan)", "3 finite numbers"),
        (b"space origin: (0,0,0)\n", b"space origin: (0,0,0)\nspace units: \"cm\" \"cm\" \"cm\"\n",
         "has the space unit 'cm'"),
        (b"dimension: 3", b"dimension: 16", "dimension '16'"),
        (b"sizes: 6 5 4", b"sizes: 6 5 5", "240 bytes of voxels, 300 by its header"),
        (b"type: short", b"type: block", "has the type 'block'"),
        (b"encoding: raw", b"encoding: hex", "has the encoding 'hex'"),
        (b"encoding: raw", b"encoding: gzip", "compressed voxels cannot be read"),
        (b"encoding: raw", b"encoding: raw\nbyte skip: 4", "has byte skip 4"),
        (b"encoding: raw", b"encoding: raw\ndata file: /etc/passwd", "in the same folder"),
        (b"encoding: raw", b"encoding: raw\ndata file: LIST", "in the same folder"),
        (b"NRRD0004", b"NRRF0004", "is not NRRD"),
    ],
)  # fmt: skip
def test_nrrd_headers_are_checked(old, new, message, tmp_path):
    path = write(tmp_path / "a.nrrd", compressed=False)
    with pytest.raises(ValueError, match=message):
        load(changed(path, old, new))


@pytest.mark.parametrize(
    ("space", "axes"), [(b"right-anterior-superior", (-1, -1, 1)), (b"LAS", (1, -1, 1))]
)
def test_spaces_of_nrrd_are_turned(space, axes, tmp_path):
    path = changed(write(tmp_path / "a.nrrd"), b"left-posterior-superior", space)
    x, y, z = axes
    expected = VOXELS[::z, ::y, ::x]
    np.testing.assert_array_equal(load(path).voxels, expected)


def test_damaged_compressed_voxels_are_refused(tmp_path):
    """ITK gives what it has of them."""
    path = write(tmp_path / "a.mha")
    content = path.read_bytes()
    begins = content.find(b"LOCAL\n") + 6
    other = zlib.compress(np.zeros_like(VOXELS).tobytes())
    path.write_bytes(content[:begins] + other[:-4] + b"\0\0\0\0")
    with pytest.raises(ValueError, match="is damaged: its compressed voxels cannot be read"):
        load(path)


def test_several_gzip_members_are_one_file(tmp_path):
    """As bgzip and pigz write them."""
    plain = write(tmp_path / "a.nii").read_bytes()
    path = tmp_path / "b.nii.gz"
    path.write_bytes(gzip.compress(plain[:200]) + gzip.compress(plain[200:]))
    np.testing.assert_array_equal(load(path).voxels, VOXELS)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mha"])
def test_a_plane_becomes_a_slice(name, tmp_path):
    path = write(tmp_path / name, VOXELS[0])
    volume = images.load(path.parent, path.name, lambda: 3.0)
    np.testing.assert_array_equal(volume.voxels, VOXELS[:1])
    assert volume.geometry.spacing_mm == (3.0, 0.75, 0.5)


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd", "a.nii.gz"])
def test_turned_axes_are_those_of_itk(name, tmp_path):
    """Each voxel lies where ITK says that it lies."""
    image = sitk.GetImageFromArray(VOXELS)
    image.SetSpacing(SPACING[::-1])
    image.SetOrigin((10.0, -20.0, 30.0))
    a, b = np.cos(0.3), np.sin(0.3)
    image.SetDirection((a, -b, 0, b, a, 0, 0, 0, 1))
    sitk.WriteImage(image, str(tmp_path / name))
    volume = load(tmp_path / name)
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    assert volume.geometry.obliquity_deg == pytest.approx(np.degrees(0.3), abs=1e-3)
    for z, y, x in [(0, 0, 0), (3, 0, 0), (0, 4, 0), (0, 0, 5), (1, 2, 3)]:
        place = volume.geometry.origin_mm + (np.array((z, y, x)) * SPACING) @ volume.geometry.axes
        assert place == pytest.approx(image.TransformIndexToPhysicalPoint((x, y, z)), abs=1e-4)
