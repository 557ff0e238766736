"""Runs side by side: what each arm reached in each, and what differs between the runs."""

from __future__ import annotations

from collections.abc import Mapping

from benchmark.config import flat_settings
from benchmark.plugins.arms import Arm
from benchmark.report.tables.labels import label_note
from benchmark.report.tables.main import arm_rows, interval_methods, lift_over_size
from benchmark.report.tables.table import SYNTHETIC, Table, marked, sentence, with_interval
from benchmark.run.folder import RunFolder

Runs = Mapping[str, RunFolder]
"""Runs by what they are called here."""

_ABSENT = "-"


def side_by_side_tables(runs: Runs) -> list[Table]:
    """Results, an arm and a run a row, and what differs between the runs."""
    rows: list[tuple[str, ...]] = [
        (arm.name, run_label(name, run), *_counts(run, arm), *_results(run, arm))
        for arm in arms_of(runs)
        for name, run in runs.items()
        if arm in run.arms
    ]
    methods = {interval_methods(run.metrics): None for run in runs.values()}
    notes = [
        *_simulated(runs),
        _same_rois(runs),
        f"Brackets: 95 % interval, {'; '.join(methods)}. n: ROIs tested. AUC - size: paired "
        "difference to size_only within the run.",
        *{label_note(run): None for run in runs.values()},
    ]
    header = ("arm", "run", "n", "malignant", "AUC", "AUC - size")
    return [
        Table(
            "Runs side by side", header, rows, notes,
            dispensable=("malignant", "n"), synthetic=all_synthetic(runs),
        ),
        _differences(runs),
    ]  # fmt: skip


def run_label(name: str, run: RunFolder) -> str:
    """What a run is called, which says so where its voxels are simulated."""
    return marked(name, run.synthetic)


def all_synthetic(runs: Runs) -> bool:
    """True if no run has acquired voxels; where only some have, their rows say so."""
    return all(run.synthetic for run in runs.values())


def _simulated(runs: Runs) -> list[str]:
    named = [name for name, run in runs.items() if run.synthetic]
    if not named or all_synthetic(runs):
        return []
    return [f"{SYNTHETIC} This concerns: {', '.join(named)}."]


def arms_of(runs: Runs) -> list[Arm]:
    """The arms of all runs, in the order in which they first appear."""
    return list(dict.fromkeys(arm for run in runs.values() for arm in run.arms))


def _counts(run: RunFolder, arm: Arm) -> tuple[str, str]:
    tested = run.predictions[run.predictions.arm == arm.name].drop_duplicates("roi_id")
    return str(len(tested)), str(int(tested.y_true.sum()))


def _results(run: RunFolder, arm: Arm) -> tuple[str, str]:
    auc = arm_rows(run.metrics, arm)["auc"]
    shown = with_interval(auc.value, auc.ci_low, auc.ci_high)
    lift = lift_over_size(run.comparisons, arm)
    if lift is None:
        return shown, _ABSENT
    return shown, with_interval(lift.difference, lift.low, lift.high, sign=True)


def _same_rois(runs: Runs) -> str:
    """What the runs have in common, and that nothing is claimed of one against another."""
    labels = [
        run.predictions.drop_duplicates("roi_id").set_index("roi_id").y_true.to_dict()
        for run in runs.values()
    ]
    prints = {run.environment["dataset"]["fingerprint"] for run in runs.values()}
    if len(prints) == 1 and all(each == labels[0] for each in labels):
        return (
            f"The runs test the same {len(labels[0])} ROIs with the same labels. Intervals that "
            "overlap decide nothing between them, and no test is made here; 'drift RUN_DIR "
            "--baseline RUN_DIR' makes a paired one of each arm."
        )
    common = set.intersection(*map(set, labels))
    other = sum(len({each[roi] for each in labels}) > 1 for roi in common)
    return (
        f"The runs differ in what they test: by their ids, {len(common)} ROIs stand in all of "
        f"them, {other} of these with different labels. A row of one run beside a row of another "
        "may differ by its nodules, its labels or chance, and nothing is claimed of it."
    )


def _differences(runs: Runs) -> Table:
    facts = [_facts(run) for run in runs.values()]
    names = dict.fromkeys(name for each in facts for name in each)
    rows = [
        (name, *values)
        for name in names
        if len(set(values := [each.get(name, _ABSENT) for each in facts])) > 1
    ]
    notes = [] if rows else ["Nothing that the run folders state differs."]
    share = 0.8 / len(runs)
    return Table(
        "What differs between the runs", ("what", *runs), rows, notes,
        widths=(0.2, *(share for _ in runs)), synthetic=all_synthetic(runs),
    )  # fmt: skip


def _facts(run: RunFolder) -> dict[str, str]:
    """What a run folder states of data, protocol, settings, software and machine."""
    told = run.environment
    dataset, protocol = told["dataset"], told["protocol"]
    settings = {key: v for key, v in flat_settings(run.config).items() if key != "arms"}
    return {
        **{name: str(dataset[name]) for name in ("name", "intensities", "fingerprint", "cohort")},
        **{name: sentence(protocol[name]) for name in ("label", "split", "threshold")},
        "arms": ", ".join(map(str, run.arms)),
        **{f"setting {key}": str(value) for key, value in settings.items()},
        **{f"package {name}": version for name, version in told["packages"].items()},
        **{name: str(told[name]) for name in ("python", "platform", "processor", "revision")},
    }
