"""The gate's own test: a planted regression, which it has to find."""

from __future__ import annotations

from collections.abc import Callable

from benchmark.columns import by_arm
from benchmark.drift.compare import Drift
from benchmark.drift.verdicts import REGRESSION
from benchmark.plugins.arms import Arm
from benchmark.run.folder import RunFolder


def plant(run: RunFolder, baseline: RunFolder) -> tuple[Arm, RunFolder]:
    """Of the arms that both have, the one of the highest AUC, and the run with it reversed.

    Raises
    ------
    ValueError
        Where no such arm ranks better than chance, so that none can be made worse.
    """
    auc = run.metrics[run.metrics["metric"] == "auc"].set_index("arm")["value"]
    known = {arm.name for arm in baseline.arms}
    shared = [arm for arm in run.arms if arm.name in known and auc[arm.name] > 0.5]
    if not shared:
        raise ValueError(
            f"'{run.path}': no arm of the baseline's has an AUC above 0.5 in it, so none can be "
            "made worse"
        )
    arm = max(shared, key=lambda arm: float(auc[arm.name]))
    rows = run.predictions
    of_arm = rows.index.isin(by_arm(rows)[arm.name].index)
    reversed_ = rows.assign(y_prob=rows["y_prob"].mask(of_arm, 1 - rows["y_prob"]))
    return arm, run.replaced(predictions=reversed_)


def check_gate(
    run: RunFolder, baseline: RunFolder, compare: Callable[[RunFolder], Drift]
) -> tuple[bool, str]:
    """Whether the gate finds what is planted, and the result in a line.

    Parameters
    ----------
    run, baseline : RunFolder
    compare : callable
        The gate: the comparison of a run with the baseline.
    """
    arm, worse = plant(run, baseline)
    found = compare(worse)
    if found.of_itself:
        return (
            False,
            "the baseline is the run itself; a gate compares a new run with an older one",
        )
    if not found.comparable:
        return False, "the run and the baseline are not comparable, so this gate judges no model"
    for verdict in found.verdicts:
        if (verdict.arm, verdict.metric, verdict.verdict) == (arm, "auc", REGRESSION):
            was, now = verdict.baseline, verdict.run
            if found.status == 1:
                return True, f"a planted loss of {arm} (auc {was:.3f} to {now:.3f}) is found"
    return False, f"a planted loss of {arm}, its probabilities reversed, is not found"
