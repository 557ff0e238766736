"""Image warnings: each where it is due, with count, extremes and ROIs."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest

from benchmark.columns import ROI_TABLE
from benchmark.report.wording.image_warnings import image_warnings


def said(**columns: dict[str, object]) -> list[str]:
    """Warnings on twenty ROIs, of which some have other values in some columns."""
    ids = [f"r{i:02}" for i in range(20)]
    rois = pd.DataFrame({"roi_id": ids, "margin_mm": 3.0, "obliquity_deg": 0.0, "doubt": ""})
    rois = rois.set_index("roi_id", drop=False)
    for column, values in columns.items():
        for roi_id, value in values.items():
            rois.loc[roi_id, column] = value
    return list(image_warnings(SimpleNamespace(rois=rois.reset_index(drop=True))))  # type: ignore[arg-type]


def test_nothing_is_said_of_usual_images() -> None:
    assert said() == []


def test_runs_of_before_have_nothing_to_say(tmp_path) -> None:
    old = replace(ROI_TABLE, types={name: ROI_TABLE.types[name] for name in ROI_TABLE.columns[:8]})
    old.write(old.frame([("r", "p", 1, 4.0, 1.0, 4.0, 1.0, 5.0)]), tmp_path, "acquired")
    run = SimpleNamespace(rois=ROI_TABLE.read(tmp_path))
    assert list(image_warnings(run)) == []  # type: ignore[arg-type]


def test_doubted_values_are_named() -> None:
    (warning,) = said(doubt={"r03": "no negative value (0 to 255)", "r07": "2 grey levels"})
    assert warning == (
        "Hardly HU: the values of 2 of 20 ROIs (10 %) are unusual (r03: no negative value (0 to "
        "255); r07: 2 grey levels)"
    )


def test_a_few_are_named_of_many() -> None:
    (warning,) = said(doubt={f"r{i:02}": "odd" for i in range(6)})
    assert "r04: odd; ...)" in warning
    assert "r05" not in warning


@pytest.mark.parametrize(("degrees", "n"), [(0.9, 0), (1.1, 1)])
def test_oblique_axes_are_named_with_the_largest_angle(degrees: float, n: int) -> None:
    warnings = said(obliquity_deg={"r01": degrees, "r02": degrees / 2})
    assert len(warnings) == n
    if n:
        assert warnings[0].startswith("Oblique: the axes of 1 of 20 ROIs (5 %) are turned")
        assert "by up to 1.1 degrees" in warnings[0]
        assert "(r01)" in warnings[0]


@pytest.mark.parametrize(("margin_mm", "n"), [(2.99, 1), (3.0, 0), (float("nan"), 0)])
def test_files_that_end_near_the_mask_are_counted(margin_mm: float, n: int) -> None:
    warnings = said(margin_mm={"r11": margin_mm})
    assert len(warnings) == n
    if n:
        assert "1 of 20 ROIs (5 %) have less than 3 mm of image around the mask" in warnings[0]
        assert "(r11)" in warnings[0]
