"""Copies of a scan are found whatever was done to them; look-alikes are not."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from benchmark.cohort import near_duplicates
from benchmark.cohort.near_duplicates import Pair, across, descriptor, find, find_table
from benchmark.cohort.splits import Split
from benchmark.datasets import manifest
from benchmark.roi import Roi, RoiRecord
from tests.helpers import copies
from tests.helpers.volumes import ball


def nodule(seed: int) -> Roi:
    """A ball in noise of its own, such as a scan has: 0.7 mm pixels, sd 60 HU, correlated."""
    rng = np.random.default_rng(seed)
    mask = ball((5, 40, 40), 4)
    noise = ndimage.gaussian_filter(rng.normal(size=mask.shape), (0, 0.8, 0.8))
    image = np.where(mask, 30, -850) + 60 * noise / noise.std()
    record = RoiRecord(f"r{seed:02}", f"p{seed:02}", label=seed % 2)
    return Roi(record, image.astype(np.float32), mask, (2.0, 0.7, 0.7))


def similarity(one: Roi, other: Roi) -> float:
    return copies.best(descriptor(one), descriptor(other))


LOOK_ALIKES = [nodule(seed) for seed in range(30)]


# A mask that was drawn anew may be largest in another slice, and then it is missed.
SURE = [change for change in copies.CHANGES if change is not copies.redrawn]


@pytest.mark.parametrize("change", SURE, ids=lambda f: f.__name__)
def test_a_changed_copy_is_found(change) -> None:
    rng = np.random.default_rng(0)
    for roi in LOOK_ALIKES[:5]:
        assert similarity(roi, change(roi, rng)) >= near_duplicates.THRESHOLD


def test_look_alikes_are_not_found() -> None:
    assert find([r.record.roi_id for r in LOOK_ALIKES], [descriptor(r) for r in LOOK_ALIKES]) == []


def test_a_planted_copy_is_the_one_found_in_any_order() -> None:
    copy = copies.noisy(LOOK_ALIKES[3], np.random.default_rng(1))
    rois = {r.record.roi_id: r for r in LOOK_ALIKES} | {"copy": copy}
    (pair,) = find(list(rois), [descriptor(r) for r in rois.values()])
    assert (pair.roi_a, pair.roi_b) == ("copy", "r03")
    assert 0.9 < pair.similarity < 1
    backwards = dict(reversed(rois.items()))
    (again,) = find(list(backwards), [descriptor(r) for r in backwards.values()])
    # Matrix products sum in another order: float32 keeps seven digits.
    assert again == Pair("copy", "r03", pytest.approx(pair.similarity, abs=1e-5))


def test_labels_take_no_part() -> None:
    roi = nodule(0)
    other = replace(roi, record=RoiRecord("x", "y", label=1))
    assert np.array_equal(descriptor(roi), descriptor(other))


def test_blocks_give_what_one_block_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    thumbnails = np.stack([descriptor(r) for r in LOOK_ALIKES])
    whole = near_duplicates.similarities(thumbnails)
    monkeypatch.setattr(near_duplicates, "_BLOCK", 7)
    upper = np.triu_indices(len(thumbnails))
    # Products of other shapes sum in another order; float32 keeps seven digits.
    np.testing.assert_allclose(
        near_duplicates.similarities(thumbnails)[upper], whole[upper], atol=1e-5
    )


def test_pairs_are_all_that_brute_force_finds_among_many_copies_and_crops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Most at once: copies, crops that show little, and look-alikes, in blocks that part them."""
    monkeypatch.setattr(near_duplicates, "_BLOCK", 7)
    rng = np.random.default_rng(2)
    thumbnails = []
    for roi in LOOK_ALIKES[:6]:
        changed = [change(roi, rng) for change in copies.CHANGES]
        thumbnails += [descriptor(each) for each in (roi, roi, *changed)]
        corner = thumbnails[-1].copy()
        corner[:, :10] = 0
        thumbnails.append(corner)
    ids = [f"x{i:02}" for i in rng.permutation(len(thumbnails))]
    by_hand = {}
    for i, one in enumerate(thumbnails):
        for j in range(len(thumbnails)):
            alike = copies.best(one, thumbnails[j])
            if ids[i] < ids[j] and alike >= near_duplicates.THRESHOLD:
                by_hand[ids[i], ids[j]] = alike
    found = {(pair.roi_a, pair.roi_b): pair.similarity for pair in find(ids, thumbnails)}
    assert len(by_hand) > len(thumbnails)
    # Products of other shapes sum in another order; float32 keeps seven digits.
    assert found == pytest.approx(by_hand, abs=1e-5)


def test_many_pairs_take_little_memory() -> None:
    """All are alike: 179,700 pairs of 600 ROIs, found again in the order of their ids."""
    n = 600
    ids, thumbnails = [f"r{i:03}" for i in range(n)], [descriptor(LOOK_ALIKES[0])] * n
    few = _traced(ids[:2], thumbnails[:2])
    pairs = find_table(ids, thumbnails)
    assert len(pairs) == n * (n - 1) / 2
    assert not pairs.duplicated(["roi_a", "roi_b"]).any()
    assert (pairs["roi_a"] < pairs["roi_b"]).all()
    for_work = 64 * n * near_duplicates.SIDE**2
    assert _traced(ids, thumbnails) - few < 100 * len(pairs) + for_work


def _traced(ids: list[str], thumbnails: list[near_duplicates.Descriptor]) -> int:
    """Most memory that the search takes, in bytes."""
    tracemalloc.start()
    find_table(ids, thumbnails)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def test_small_and_maskless_rois_have_a_descriptor() -> None:
    roi = nodule(0)
    middle = replace(roi, outline=roi.mask & (np.arange(5) == 2)[:, None, None])
    without = replace(roi, outline=None)
    assert similarity(without, middle) >= near_duplicates.THRESHOLD
    tiny = Roi(roi.record, roi.image[:1, :3, :3], np.ones((1, 3, 3), bool), (2.0, 0.7, 0.7))
    assert np.count_nonzero(descriptor(tiny)) <= 9
    assert similarity(tiny, tiny) == -1  # it shows too little to tell
    assert find(["a"], [descriptor(tiny)]) == []


def test_pairs_across_a_split() -> None:
    splits = [
        Split("kfold", 0, 0, ("a", "b", "c"), ("d", "e")),
        Split("kfold", 0, 1, ("d", "e"), ("a", "b", "c")),
    ]
    pairs = [Pair("a", "b", 0.99), Pair("a", "d", 0.9), Pair("b", "d", 0.9)]
    assert across(splits, pairs) == (3, pairs[1:])


def test_a_roi_counts_once_a_split_and_a_pair_once_in_all() -> None:
    """Of a and its two copies; b and c stand alone on either side."""
    pairs = [Pair("a", "a1", 0.99), Pair("a", "a2", 0.9), Pair("a1", "a2", 0.9)]
    train = Split("kfold", 0, 0, ("a1", "a2", "b"), ("a", "c"))
    test = Split("kfold", 1, 0, ("a", "b"), ("a1", "a2", "c"))
    whole = Split("kfold", 2, 0, ("b", "c"), ("a", "a1", "a2"))
    assert across([train], pairs) == (1, pairs[:2])
    assert across([test], pairs) == (2, pairs[:2])
    assert across([whole], pairs) == (0, [])
    assert across([train, test, whole], pairs) == (3, pairs[:2])


ROW_MM, COLUMN_MM = 0.5, 0.8


def bright(first_row: int, first_column: int, *, rows: int = 10, columns: int = 10) -> Roi:
    """Pixels that are not square in an image that is not: a bright mask in air."""
    mask = np.zeros((3, 80, 60), bool)
    mask[1, first_row : first_row + rows, first_column : first_column + columns] = True
    image = np.where(mask, 400, -1000).astype(np.float32)
    return Roi(RoiRecord("r", "p", label=0), image, mask, (2.0, ROW_MM, COLUMN_MM))


def test_a_thumbnail_is_in_mm_along_rows_and_along_columns() -> None:
    shown = descriptor(bright(40, 20)) > 128
    # 5 by 8 mm around the middle; the blurred edge may fall on either side.
    assert shown.any(axis=1).sum() == pytest.approx(10 * ROW_MM, abs=1)
    assert shown.any(axis=0).sum() == pytest.approx(10 * COLUMN_MM, abs=0)
    middle = (near_duplicates.SIDE - 1) / 2
    for where in np.nonzero(shown):
        assert where.mean() == pytest.approx(middle, abs=0.51)


def test_a_thumbnail_ends_where_the_image_does() -> None:
    """Its 24 mm reach 12 mm to all sides of the mask's middle, 5 mm of which are there."""
    near_corner = descriptor(bright(5, 50, columns=10))
    # Rows: the middle is row 10, 5 mm from the first; columns: column 55, 4 mm from the last.
    assert not near_corner[:7].any()
    assert near_corner[7:, :16].all()
    assert not near_corner[:, 16:].any()


def test_rows_for_columns_gives_the_thumbnail_turned() -> None:
    roi = replace(nodule(0), spacing_mm=(2.0, 0.6, 0.9))
    turned = Roi(
        roi.record,
        np.ascontiguousarray(roi.image.swapaxes(1, 2)),
        np.ascontiguousarray(roi.mask.swapaxes(1, 2)),
        (2.0, 0.9, 0.6),
    )
    np.testing.assert_array_equal(descriptor(turned), descriptor(roi).T)


def test_a_copy_with_pixels_that_are_not_square_is_found() -> None:
    for roi in LOOK_ALIKES[:5]:
        image = ndimage.zoom(roi.image, (1, 0.8, 1.1), order=1)
        mask = ndimage.zoom(roi.mask.astype(np.float32), (1, 0.8, 1.1), order=1) >= 0.5
        copy = Roi(roi.record, image, mask, (2.0, 0.7 / 0.8, 0.7 / 1.1))
        assert similarity(roi, copy) >= near_duplicates.THRESHOLD


def test_too_many_are_said_to_be_not_sought(monkeypatch: pytest.MonkeyPatch) -> None:
    assert near_duplicates.too_many(10_000) == ""
    assert near_duplicates.too_many(10_001).startswith("not sought: 10001 ROIs")


def test_pairs_come_most_similar_first_each_in_order_of_id() -> None:
    rng = np.random.default_rng(0)
    rough, fine = LOOK_ALIKES[1], LOOK_ALIKES[2]
    noise = rng.normal(0, 25, rough.image.shape).astype(np.float32)
    rois = {
        "z": rough, "b": replace(rough, image=rough.image + noise),
        "y": fine, "a": copies.noisy(fine, rng), "other": LOOK_ALIKES[3],
    }  # fmt: skip
    found = find(list(rois), [descriptor(roi) for roi in rois.values()])
    assert [(pair.roi_a, pair.roi_b) for pair in found] == [("a", "y"), ("b", "z")]
    assert found[0].similarity > found[1].similarity >= near_duplicates.THRESHOLD


def test_real_nodules_of_different_patients_are_no_duplicates(lidc_crops: Path) -> None:
    dataset = manifest.open_dataset(lidc_crops)
    rois = [dataset.read(record) for record in dataset.records[::4]]
    patient_of = {roi.record.roi_id: roi.record.patient_id for roi in rois}
    found = find([roi.record.roi_id for roi in rois], [descriptor(roi) for roi in rois])
    assert [p for p in found if patient_of[p.roi_a] != patient_of[p.roi_b]] == []
    rng = np.random.default_rng(0)
    alike = [similarity(roi, copies.cropped(roi, rng)) for roi in rois[::5]]
    assert np.mean(np.array(alike) >= near_duplicates.THRESHOLD) > 0.95
