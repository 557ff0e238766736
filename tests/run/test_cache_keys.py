"""Keys of the cache: each thing that a result depends on changes the key by itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmark.cohort.splits import Split
from benchmark.columns import METRIC_TABLE, PREDICTION_TABLE
from benchmark.config import Bootstrap
from benchmark.plugins.arms import Arm
from benchmark.plugins.contracts import Readings
from benchmark.plugins.registry import path_of
from benchmark.roi import RoiRecord
from benchmark.run import fitting
from benchmark.run.cache import _FITTING, RunCache, Tables
from benchmark.run.extraction import Extracted
from benchmark.run.fitting import Task
from benchmark.run.results import FeatureTable
from benchmark.runtime import provenance
from benchmark.runtime.store import Store
from tests.helpers.command_line import invoke
from tests.helpers.volumes import WriteManifest

FEATURES, MODEL = "diameter", "logistic"
RECORD = RoiRecord(
    "r1", "p1", malignancy_ratings=(3, 4),
    attributes=MappingProxyType({"texture": "4 5", "image": "a.nii", "split": "train"}),
)  # fmt: skip
ROI_ID = RECORD.roi_id


def memory(folder: Path, **changed: Any) -> RunCache:
    about: dict[str, Any] = {
        "contents": {"r1": "content", "r2": "content"}, "settings": {MODEL: {"C": [1.0]}},
        "machines": (("a processor",),),
    }  # fmt: skip
    return RunCache(Store(folder / "store"), **(about | changed))


def known_features(one: RunCache, record: RoiRecord = RECORD, name: str = FEATURES) -> bool:
    """Whether what was kept of ``RECORD`` is recalled for this record."""
    return record.roi_id in one.recall_features(name, [record])


@pytest.fixture
def kept_features(tmp_path: Path) -> Path:
    memory(tmp_path).keep_features(FEATURES, [RECORD], [Extracted(ROI_ID, 1.0, {"mm": 8.0})])
    assert known_features(memory(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"roi_id": "r2"}, id="roi id, content being the same"),
        pytest.param({"malignancy_ratings": (4, 4)}, id="ratings"),
        pytest.param({"malignancy_ratings": (4, 3)}, id="order of the readers"),
        pytest.param({"intensities": "synthetic"}, id="intensities"),
        pytest.param({"attributes": {"texture": "4 4"}}, id="an attribute"),
        pytest.param({"attributes": {}}, id="an attribute less"),
    ],
)
def test_a_feature_depends_on_the_record(kept_features: Path, changed: dict[str, Any]) -> None:
    assert not known_features(memory(kept_features), replace(RECORD, **changed))


@pytest.mark.parametrize(
    "changed",
    [
        {"attributes": {"texture": "4 5", "image": "b.nii", "mask": "m.nii", "split": "test"}},
        {"patient_id": "p9"},
        {"label": 1},
    ],
)
def test_a_feature_does_not_depend_on_where_it_lies_or_on_labels(
    kept_features: Path, changed: dict[str, Any]
) -> None:
    assert known_features(memory(kept_features), replace(RECORD, **changed))


@pytest.mark.parametrize(
    "changed", [{"contents": {"r1": "other voxels"}}, {"machines": (("another",),)}]
)
def test_a_feature_depends_on_content_and_machines(
    kept_features: Path, changed: dict[str, Any]
) -> None:
    assert not known_features(memory(kept_features, **changed))


def test_a_feature_depends_on_its_set(kept_features: Path) -> None:
    assert not known_features(memory(kept_features), name="radiomics")


Patch = Callable[[pytest.MonkeyPatch], None]


def other_source(path: Path) -> Patch:
    """Only this file reads otherwise."""
    digest = provenance.digest

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            provenance, "digest", lambda asked: "edited" if asked == path else digest(asked)
        )

    return patch


def other_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "surroundings", lambda: ("numpy 0",))


@pytest.mark.parametrize(
    "change", [other_source(path_of("features", FEATURES)), other_surroundings]
)
def test_a_feature_depends_on_source_and_surroundings(
    kept_features: Path, monkeypatch: pytest.MonkeyPatch, change: Patch
) -> None:
    change(monkeypatch)
    assert not known_features(memory(kept_features))


VALUES = np.arange(12.0).reshape(6, 2)
TASK = Task(
    Arm(MODEL, FEATURES), Split("kfold", 0, 0, ("a",), ("b",)), 7,
    train=np.array([0, 1, 2, 3]), test=np.array([4, 5]),
    y=np.array([0, 1, 0, 1]), groups=np.array(["p", "p", "q", "q"]),
    places=np.array([4, 5]), kept=False,
)  # fmt: skip
OTHER = replace(TASK, train=np.array([4, 5, 2, 3]), test=np.array([0, 1]))
FIT = fitting.Tested(np.array([0.2, 0.8]), 0.5, 0.9, 1.0, 0.1, "cpu", [], b"")


def table(values: np.ndarray = VALUES) -> FeatureTable:
    return FeatureTable({f"r{i}": i for i in range(len(values))}, values, ("x", "y"))


def known_fits(
    one: RunCache, *tasks: Task, together: bool, values: np.ndarray = VALUES
) -> list[bool]:
    found = one.recall_fits(tasks, table(values), together=together)
    return [each is not None for each in found]


@pytest.fixture(params=[False, True], ids=["alone", "together"])
def kept_fits(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Path, bool]:
    together = bool(request.param)
    memory(tmp_path).keep_fits([TASK, OTHER], [FIT, FIT], table(), together=together)
    assert known_fits(memory(tmp_path), TASK, OTHER, together=together) == [True, True]
    return tmp_path, together


def moved(place: tuple[int, int]) -> np.ndarray:
    values = VALUES.copy()
    values[place] += 1e-9
    return values


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"seed": 8}, id="seed"),
        pytest.param({"y": np.array([1, 0, 0, 1])}, id="labels"),
        pytest.param({"groups": np.array(["p", "q", "p", "q"])}, id="patients"),
        pytest.param({"train": np.array([0, 1, 2, 5])}, id="a training row"),
        pytest.param({"train": np.array([1, 0, 2, 3])}, id="order of training rows"),
        pytest.param({"test": np.array([4, 3])}, id="a test row"),
        pytest.param({"test": np.array([5, 4])}, id="order of test rows"),
        pytest.param({"arm": Arm("svm", FEATURES)}, id="model"),
        pytest.param({"arm": Arm(MODEL, FEATURES, "a", {"C": [2.0]})}, id="settings of the arm"),
        pytest.param({"readings": Readings(((4,), (2,), (5,), (1,)), ({},) * 4)}, id="readings"),
        pytest.param(
            {"train": np.array([0, 1, 2]), "test": np.array([3, 4, 5])}, id="division of the rows"
        ),
    ],
)
def test_a_fit_depends_on_its_task(kept_fits: tuple[Path, bool], changed: dict[str, Any]) -> None:
    folder, together = kept_fits
    other = replace(TASK, **changed)
    # What is fitted together is another whole where one of its tasks is another.
    expected = [False, not together]
    assert known_fits(memory(folder), other, OTHER, together=together) == expected


def test_a_fit_depends_on_each_rating_and_attribute(tmp_path: Path) -> None:
    told = Readings(((4,), (2,), (5,), (1,)), ({"texture": "1"}, {}, {}, {}))
    task = replace(TASK, readings=told)
    memory(tmp_path).keep_fits([task], [FIT], table())
    assert known_fits(memory(tmp_path), task, together=False) == [True]
    for other in (
        replace(told, ratings=((4,), (2,), (5,), (2,))),
        replace(told, attributes=({"texture": "2"}, {}, {}, {})),
    ):
        changed = replace(TASK, readings=other)
        assert known_fits(memory(tmp_path), changed, together=False) == [False]


def test_an_arms_name_alone_changes_no_fit(kept_fits: tuple[Path, bool]) -> None:
    folder, together = kept_fits
    tasks = [replace(t, arm=Arm(MODEL, FEATURES, "mine")) for t in (TASK, OTHER)]
    assert known_fits(memory(folder), *tasks, together=together) == [True, True]


@pytest.mark.parametrize("place", [(0, 1), (4, 0)], ids=["trained on", "tested"])
def test_a_fit_depends_on_values(kept_fits: tuple[Path, bool], place: tuple[int, int]) -> None:
    folder, together = kept_fits
    found = known_fits(memory(folder), TASK, OTHER, together=together, values=moved(place))
    assert found == [False, False]


def test_a_fit_does_not_depend_on_where_rows_stand(kept_fits: tuple[Path, bool]) -> None:
    """The same rows in another table: rows are known by what is in them."""
    folder, together = kept_fits
    order = np.array([3, 0, 5, 1, 4, 2])
    place_of = np.argsort(order)
    tasks = [replace(t, train=place_of[t.train], test=place_of[t.test]) for t in (TASK, OTHER)]
    found = known_fits(memory(folder), *tasks, together=together, values=VALUES[order])
    assert found == [True, True]


def test_a_fit_depends_on_the_type_of_its_input(kept_fits: tuple[Path, bool]) -> None:
    folder, together = kept_fits
    same_bytes = VALUES.view(np.int64)
    found = known_fits(memory(folder), TASK, OTHER, together=together, values=same_bytes)
    assert found == [False, False]


@pytest.mark.parametrize(
    "changed",
    [
        {"settings": {MODEL: {"C": [2.0]}}},
        {"settings": {}},
        {"machines": (("another",),)},
        {"machines": ()},
    ],
)
def test_a_fit_depends_on_settings_and_machines(
    kept_fits: tuple[Path, bool], changed: dict[str, Any]
) -> None:
    folder, together = kept_fits
    found = known_fits(memory(folder, **changed), TASK, OTHER, together=together)
    assert found == [False, False]


def test_a_fit_does_not_depend_on_other_models_settings(kept_fits: tuple[Path, bool]) -> None:
    folder, together = kept_fits
    settings = {MODEL: {"C": [1.0]}, "svm": {"C": [3.0]}}
    found = known_fits(memory(folder, settings=settings), TASK, OTHER, together=together)
    assert found == [True, True]


@pytest.mark.parametrize(
    "change",
    [other_source(path_of("models", MODEL)), other_source(_FITTING), other_surroundings],
    ids=["model source", "fitting source", "surroundings"],
)
def test_a_fit_depends_on_sources_and_surroundings(
    kept_fits: tuple[Path, bool], monkeypatch: pytest.MonkeyPatch, change: Patch
) -> None:
    folder, together = kept_fits
    change(monkeypatch)
    assert known_fits(memory(folder), TASK, OTHER, together=together) == [False, False]


def test_fits_made_together_are_not_those_made_alone(kept_fits: tuple[Path, bool]) -> None:
    folder, together = kept_fits
    assert known_fits(memory(folder), TASK, OTHER, together=not together) == [False, False]


def test_half_of_a_company_is_not_recalled(kept_fits: tuple[Path, bool]) -> None:
    """One task's model is wanted and was not kept: its company is fitted again with it."""
    folder, together = kept_fits
    one = memory(folder)
    found = known_fits(one, replace(TASK, kept=True), OTHER, together=together)
    assert found == [False, not together]
    assert one.fits.recalled == (0 if together else 1)


def test_what_is_recalled_is_what_was_kept(tmp_path: Path) -> None:
    history = [{"epoch": 1.0, "loss": 0.25}]
    kept = replace(FIT, device="gpu", epochs=history, packed=b"\x00model\n", predict_s=0.125)
    memory(tmp_path).keep_fits([TASK], [kept], table())
    (found,) = memory(tmp_path).recall_fits([replace(TASK, kept=True)], table())
    assert found is not None
    assert found.probabilities.tolist() == [0.2, 0.8]
    for name in ("threshold", "training_auc", "fit_s", "predict_s", "device", "epochs", "packed"):
        assert getattr(found, name) == getattr(kept, name), name
    assert found.cached


def test_images_are_recalled_as_they_were(tmp_path: Path) -> None:
    image = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
    memory(tmp_path).keep_features(FEATURES, [RECORD], [Extracted(ROI_ID, 0.5, image)])
    found = memory(tmp_path).recall_features(FEATURES, [RECORD])[ROI_ID]
    assert isinstance(found.value, np.ndarray)
    assert (found.value.dtype, found.seconds, found.cached) == (np.float32, 0.5, True)
    np.testing.assert_array_equal(found.value, image)


def test_other_seeds_and_patients_are_fitted_again_on_a_given_split(
    write_manifest: WriteManifest, tmp_path: Path
) -> None:
    """A split of the dataset's own stays as it is, so that nothing else changes the key."""
    sides = {i: {"split": "test" if i >= 16 else "train"} for i in range(24)}
    whole = write_manifest(change=sides)

    def fits(root: Path, out: str, *more: str) -> tuple[int, int]:
        arguments = ["--models", "logistic", "--set", 'arms=["logistic:diameter"]', "--jobs", "1",
                     "--set", "bootstrap.samples=100", "--set", "splits.scheme=given"]  # fmt: skip
        out_dir = tmp_path / out
        assert invoke("run", "--dataset", root, "--out", out_dir, *arguments, *more) == 0
        told = json.loads((out_dir / "environment.json").read_text())["cache"]["fits"]
        return told["recalled"], told["done"]

    assert fits(whole, "one") == (0, 1)
    assert fits(whole, "same") == (1, 0)
    assert fits(whole, "seed", "--set", "seed=1") == (0, 1)
    manifest = whole / "manifest.csv"
    # r5 becomes a nodule of r7's patient: both are trained on, and only the patients change.
    manifest.write_text(manifest.read_text().replace("\nr5,p5,", "\nr5,p7,"))
    assert fits(whole, "patients") == (0, 1)


PREDICTIONS = PREDICTION_TABLE.frame(
    {
        "roi_id": f"r{i}", "patient_id": f"p{i}", **Arm(MODEL, FEATURES).columns,
        "supervision": "labels", "scheme": "kfold", "repeat": 0, "fold": i % 2, "y_true": i % 2,
        "y_prob": 0.1 * i, "threshold": 0.5,
    }
    for i in range(6)
)  # fmt: skip
ROIS = pd.DataFrame({"roi_id": ["r0", "r1"], "equivalent_diameter_mm": [4.0, np.nan]})
SPLITS = [Split("kfold", 0, 0, ("r0", "r2"), ("r1",)), Split("kfold", 0, 1, ("r1",), ("r0",))]
ROWS = [(*Arm(MODEL, FEATURES).columns.values(), "labels", "auc", 1 / 3, np.nan, 1.0, 6, 6, "")]


def set_to(frame: pd.DataFrame, row: int, column: str, value: Any) -> pd.DataFrame:
    changed = frame.copy()
    changed.loc[row, column] = value
    return changed


def statistics(folder: Path, cache: dict[str, Any] | None = None, **changed: Any) -> RunCache:
    """A cache that was asked for statistics, which would be none."""
    one = memory(folder, **(cache or {}))
    asked = {"predictions": PREDICTIONS, "rois": ROIS, "splits": SPLITS,
             "bootstrap": Bootstrap(100), "seed": 0, "work_out": list}  # fmt: skip
    one.tables(**(asked | changed))
    return one


@pytest.fixture
def kept_statistics(tmp_path: Path) -> Path:
    assert statistics(tmp_path).statistics.done == 1
    assert statistics(tmp_path).statistics.recalled == 1
    return tmp_path


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(
            {"predictions": set_to(PREDICTIONS, 3, "y_prob", np.nextafter(0.1 * 3, 1))},
            id="a probability's last bit",
        ),
        pytest.param({"predictions": set_to(PREDICTIONS, 3, "threshold", 0.4)}, id="a threshold"),
        pytest.param({"predictions": set_to(PREDICTIONS, 3, "arm", "other")}, id="an arm's name"),
        pytest.param({"predictions": PREDICTIONS[:5]}, id="a prediction less"),
        pytest.param({"predictions": PREDICTIONS[::-1]}, id="order of the predictions"),
        pytest.param({"rois": set_to(ROIS, 1, "equivalent_diameter_mm", 4.0)}, id="a diameter"),
        pytest.param({"rois": set_to(ROIS, 1, "roi_id", "r2")}, id="a ROI"),
        pytest.param({"splits": SPLITS[:1]}, id="a split less"),
        pytest.param(
            {"splits": [replace(SPLITS[0], train=("r2", "r0")), SPLITS[1]]}, id="training rows"
        ),
        pytest.param({"bootstrap": Bootstrap(101)}, id="number of resamples"),
        pytest.param({"bootstrap": Bootstrap(100, "bca")}, id="method of intervals"),
        pytest.param({"seed": 1}, id="seed"),
        pytest.param({"cache": {"machines": (("another",),)}}, id="machines"),
    ],
)
def test_statistics_depend_on_all_that_they_are_told(
    kept_statistics: Path, changed: dict[str, Any]
) -> None:
    other = statistics(kept_statistics, **changed)
    assert (other.statistics.recalled, other.statistics.done) == (0, 1)


def other_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "all_code", lambda: "edited")


@pytest.mark.parametrize("change", [other_code, other_surroundings])
def test_statistics_depend_on_all_code_and_on_surroundings(
    kept_statistics: Path, monkeypatch: pytest.MonkeyPatch, change: Patch
) -> None:
    change(monkeypatch)
    assert statistics(kept_statistics).statistics.recalled == 0


def test_statistics_are_recalled_as_they_were_to_the_last_bit(tmp_path: Path) -> None:
    def work_out() -> Tables:
        return [(METRIC_TABLE, METRIC_TABLE.frame(ROWS))]

    statistics(tmp_path, work_out=work_out)
    ((table, frame),) = memory(tmp_path).tables(
        PREDICTIONS, ROIS, SPLITS, Bootstrap(100), 0, list
    )  # fmt: skip
    assert table == METRIC_TABLE
    pd.testing.assert_frame_equal(frame, METRIC_TABLE.frame(ROWS), check_exact=True)


def test_statistics_of_code_that_was_edited_meanwhile_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "all_unchanged", lambda: False)
    statistics(tmp_path)
    assert statistics(tmp_path).statistics.recalled == 0
