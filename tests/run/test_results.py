"""What is stored of images: numbers that tell a moved, turned or exchanged one."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.run.results import FeatureTable, feature_frame


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
