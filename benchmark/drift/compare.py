"""Comparison with a baseline: data and protocol first, then verdicts on arms, versions, times.

:mod:`benchmark.drift.verdicts` has the rule behind a verdict,
:mod:`benchmark.drift.comparability` the checks of the data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from benchmark.columns import by_arm
from benchmark.drift import comparability, shift, timing
from benchmark.drift.comparability import DRIFT, NOT_COMPARABLE, Finding
from benchmark.drift.margins import Margins
from benchmark.drift.verdicts import MISSING, NEW, REGRESSION, ROW, Verdict, judge_arms
from benchmark.plugins.arms import Arm, arms_in
from benchmark.run.folder import RunFolder
from benchmark.statistics.cases import cases
from benchmark.statistics.strata import enough, members


@dataclass(frozen=True, eq=False)
class Drift:
    """The comparison of a run with a baseline.

    Attributes
    ----------
    baseline, run : RunFolder
    findings : list of Finding
        Findings about data and protocol.
    verdicts : list of Verdict
    shift : DataFrame
        The table that :func:`benchmark.drift.shift.table` gives.
    versions : dict of str to (str, str)
        Package, interpreter or processor -> the baseline's and the run's, where they differ.
    timings : list of Timing
    strict : bool
    untested : list of str
        Levels of strata with too few patients to be judged; empty where strata were not asked for.
    """

    baseline: RunFolder
    run: RunFolder
    findings: list[Finding]
    verdicts: list[Verdict]
    shift: pd.DataFrame
    versions: dict[str, tuple[str, str]]
    timings: list[timing.Timing]
    strict: bool
    untested: list[str]

    @property
    def of_itself(self) -> bool:
        """True if the baseline is this very run, so that nothing is tested."""
        return bool(self.baseline.environment["started"] == self.run.environment["started"])

    @property
    def comparable(self) -> bool:
        """True if metrics of the two speak about one task."""
        return all(finding.status != NOT_COMPARABLE for finding in self.findings)

    @property
    def open(self) -> list[Verdict]:
        """Gated verdicts ``noise`` that could as well be a loss beyond the margin, of all rows."""
        return [v for v in self.verdicts if v.gated and not v.conclusive and not v.stratum]

    @property
    def not_excluded(self) -> list[Verdict]:
        """Verdicts that fail a strict run, and that alone; empty where the run is not strict."""
        failing = (v for v in self.verdicts if v.fails_strict and v.verdict != REGRESSION)
        return list(failing) if self.strict else []

    @property
    def status(self) -> int:
        """Exit status: 3 not comparable, 1 drift, 0 fine.

        A run on other data or under another protocol gives 3, whatever its metrics say. On the
        same task, a loss that is found outranks an arm that cannot be compared.
        """
        gated = {v.verdict for v in self.verdicts if v.gated}
        if not self.comparable:
            return 3
        drifted = any(finding.status == DRIFT for finding in self.findings)
        slow = any(each.slower for each in self.timings)
        if drifted or slow or gated & {REGRESSION, MISSING} or self.not_excluded:
            return 1
        return 3 if NOT_COMPARABLE in gated else 0


def compare(
    baseline: RunFolder,
    run: RunFolder,
    margins: Margins,
    *,
    max_slowdown: float | None = None,
    strict: bool = False,
    by_stratum: bool = False,
) -> Drift:
    """Compare a run with a baseline.

    Parameters
    ----------
    baseline, run : RunFolder
    margins : Margins
    max_slowdown : float or None
        An arm is too slow above this ratio, run over baseline, of times relative to the
        reference computation; None gates no time.
    strict : bool
        Also fail where a gated loss of ``STRICT_MARGINS`` margins is not excluded.
    by_stratum : bool
        Also judge the gated metrics within each stratum.
    """
    moved = shift.table(baseline, run, margins.tolerance.feature)
    findings = comparability.check(baseline, run, moved, margins.tolerance.feature)
    blocked = [finding.check for finding in findings if finding.status == NOT_COMPARABLE]
    tested, untested = _strata(baseline) if by_stratum else ({}, [])
    fed_otherwise = comparability.changed_sets(moved)
    return Drift(
        baseline=baseline,
        run=run,
        findings=findings,
        verdicts=_verdicts(baseline, run, margins, blocked, fed_otherwise, tested),
        shift=moved,
        versions=version_changes(baseline, run),
        timings=timing.compare(baseline, run, max_slowdown),
        strict=strict,
        untested=untested,
    )


def _strata(side: RunFolder) -> tuple[dict[str, pd.MultiIndex], list[str]]:
    """Levels of the strata with their rows, and those of too few patients."""
    tested, untested = {}, []
    for stratum, level, rows in members(side.predictions, side.rois):
        name = f"{stratum} {level}"
        arms = by_arm(rows).values()
        if arms and all(enough(cases(of_arm)) for of_arm in arms):
            tested[name] = pd.MultiIndex.from_frame(rows[ROW].drop_duplicates())
        else:
            untested.append(name)
    return tested, untested


def _verdicts(
    baseline: RunFolder,
    run: RunFolder,
    margins: Margins,
    blocked: Sequence[str],
    changed_sets: set[str],
    strata: Mapping[str, pd.MultiIndex],
) -> list[Verdict]:
    old, new = _arms(baseline), _arms(run)
    whole: list[Verdict] = []
    pairs = {}
    for arm in dict.fromkeys([*old, *new]):
        if arm not in new:
            whole.append(Verdict(arm, "", MISSING, True, reason=_failed(run, arm)))
        elif arm not in old:
            whole.append(Verdict(arm, "", NEW, False, reason="not in the baseline"))
        elif blocked:
            reason = f"other {', '.join(blocked)}"
            whole.append(Verdict(arm, "", NOT_COMPARABLE, True, reason=reason))
        elif why := _other_rows(old[arm], new[arm], run, arm):
            whole.append(Verdict(arm, "", NOT_COMPARABLE, True, reason=why))
        else:
            pairs[arm] = old[arm].reset_index(), new[arm].loc[old[arm].index].reset_index()
    judged = [
        _fed_otherwise(verdict) if changed_sets & set(verdict.arm.feature_sets) else verdict
        for verdict in judge_arms(pairs, margins, strata=strata)
    ]
    return [*judged, *whole]


def _fed_otherwise(verdict: Verdict) -> Verdict:
    cause = f"its inputs changed ({verdict.arm.features}), not the model alone"
    return replace(verdict, reason="; ".join(filter(None, [verdict.reason, cause])))


def _arms(side: RunFolder) -> dict[Arm, pd.DataFrame]:
    rows = by_arm(side.predictions)
    # Arms of the two sides are paired by name, model and features, whatever they learn from.
    return {
        Arm(arm.model, arm.features, arm.name): rows[arm.name].set_index(ROW)
        for arm in arms_in(side.predictions)
    }


def _other_rows(old: pd.DataFrame, new: pd.DataFrame, run: RunFolder, arm: Arm) -> str:
    gone = old.index.difference(new.index)
    come = new.index.difference(old.index)
    if not len(gone) and not len(come):
        return ""
    first = (gone if len(gone) else come)[0]
    what = (
        f"{len(gone)} of {len(old)} tested rows are missing"
        if len(gone)
        else (f"{len(come)} rows that the baseline lacks")
    )
    return f"{what}, first roi_id '{first[0]}'{_failure(run, arm, str(first[0]))}"


def _failed(run: RunFolder, arm: Arm) -> str:
    return f"the run has no predictions of it{_failure(run, arm)}"


def _failure(run: RunFolder, arm: Arm, roi_id: str = "") -> str:
    """Reason that failures.json gives for an arm, or for a ROI of its features."""
    for failure in run.failures:
        of_features = not arm.external and failure.features in (arm.features, *arm.feature_sets)
        of_arm = of_features and failure.model in ("", arm.model) and failure.arm in ("", arm.name)
        if of_arm and failure.roi_id in ("", roi_id):
            return f" ({failure.status} {failure.stage}: {failure.reason})"
    return ""


def version_changes(baseline: RunFolder, run: RunFolder) -> dict[str, tuple[str, str]]:
    """Packages, interpreter, processor and cores that differ, each as (baseline's, run's)."""
    old, new = (_flat(side) for side in (baseline, run))
    names = dict.fromkeys([*old, *new])
    return {
        name: (old.get(name, "none"), new.get(name, "none"))
        for name in names
        if old.get(name) != new.get(name)
    }


def _flat(side: RunFolder) -> dict[str, str]:
    environment = side.environment
    whole = {name: str(environment[name]) for name in ("python", "processor", "cores")}
    return {**environment["packages"], **whole}
