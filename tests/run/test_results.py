"""What is stored of the models' inputs: columns as they are, of images numbers that tell them."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.run.results import FeatureTable, feature_frame, stored_inputs


@pytest.mark.parametrize("shape", [(6, 8, 2), (4, 6, 8, 2)])
def test_a_flip_along_any_axis_shows_under_its_own_name(shape: tuple[int, ...]) -> None:
    """Of (rows, columns, channels) and of (slices, rows, columns, channels)."""
    image = np.random.default_rng(0).random(shape).astype(np.float32)
    names = ["slice", "row", "column"][4 - len(shape) :]
    flipped = [np.flip(image, axis) for axis in range(len(names))]
    table = FeatureTable(
        {f"r{i}": i for i in range(len(names) + 1)}, np.stack([image, *flipped]), ()
    )
    frame = feature_frame(table).set_index("roi_id")
    assert sorted(frame.columns) == sorted(["mean", "sd", *(f"mean_by_{name}" for name in names)])
    for i, name in enumerate(names, 1):
        changed = ~np.isclose(frame.loc[f"r{i}"], frame.loc["r0"], rtol=1e-6, atol=0)
        assert frame.columns[changed].tolist() == [f"mean_by_{name}"]
        assert frame.loc[f"r{i}", f"mean_by_{name}"] == pytest.approx(
            -frame.loc["r0", f"mean_by_{name}"]
        )


def test_columns_are_read_back_as_they_were() -> None:
    values = np.array([[0.1, np.nextafter(0.2, 1)], [3.0, np.nan]])
    table = FeatureTable({"r1": 0, "007": 1}, values, ("mm", "sd"))
    back = stored_inputs(feature_frame(table).set_index("roi_id"))
    assert back is not None
    assert (back.rows, back.columns) == (table.rows, table.columns)
    np.testing.assert_array_equal(back.values, values)


@pytest.mark.parametrize("shape", [(2, 6, 8, 1), (2, 4, 6, 8, 1)])
def test_numbers_that_stand_for_images_are_not_taken_for_inputs(shape: tuple[int, ...]) -> None:
    table = FeatureTable({"r1": 0, "r2": 1}, np.zeros(shape, np.float32))
    assert stored_inputs(feature_frame(table).set_index("roi_id")) is None
