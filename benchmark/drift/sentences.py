"""Sentences about a comparison with the baseline."""

from __future__ import annotations

import math
from collections.abc import Iterable

from benchmark.drift import comparability, verdicts
from benchmark.drift.compare import Drift
from benchmark.drift.verdicts import Verdict
from benchmark.report.tables.table import with_interval
from benchmark.statistics.strata import MIN_PATIENTS

BAD = (verdicts.REGRESSION, verdicts.MISSING)
"""Verdicts that fail the gate."""

_SENTENCES = {
    0: "No drift: nothing gated got worse than the noise that the margins allow.",
    1: "DRIFT.",
    3: "NOT COMPARABLE: the figures of the two runs speak about different tasks.",
}


def summary(found: Drift) -> list[str]:
    """The result in sentences: what failed, what stayed open, what else changed."""
    lines = [_SENTENCES[found.status]]
    if found.of_itself:
        lines.append("The baseline is this run itself, so nothing is tested.")
    for finding in found.findings:
        if finding.status in (verdicts.NOT_COMPARABLE, comparability.DRIFT):
            lines.append(f"{finding.check}: {finding.status}: {finding.message}")
    for verdict in found.verdicts:
        if verdict.gated and verdict.verdict in BAD:
            lines.append(f"{verdict.verdict}: {describe(verdict)}")
        elif verdict.verdict == verdicts.NOT_COMPARABLE and verdict.gated and found.comparable:
            lines.append(f"not comparable: {describe(verdict)}")
    lines += [f"not excluded: {not_excluded(verdict)}" for verdict in found.not_excluded]
    lines += [
        f"slower: {each.arm or each.features} {each.stage} takes {each.slowdown:.2f} times the "
        "baseline's, both relative to the reference computation"
        for each in found.timings
        if each.slower
    ]
    if found.open:
        names = ", ".join(f"{v.arm} {v.metric}" for v in found.open)
        lines.append(
            f"open: {len(found.open)} gated differences are called noise, though the cases are "
            f"too few to exclude a loss beyond the margin ({names})"
        )
    lines += _of_strata(found)
    lines.append(_versions(found))
    return lines


def _of_strata(found: Drift) -> list[str]:
    within = [verdict for verdict in found.verdicts if verdict.stratum]
    vague = sum(not verdict.conclusive for verdict in within)
    lines = []
    if within:
        lines.append(
            f"strata: {len(within)} metrics judged within them; of {vague} a loss beyond the "
            "margin is not excluded"
        )
    if found.untested:
        lines.append(
            f"strata that are not judged, under {MIN_PATIENTS} patients with a malignant or a "
            f"benign ROI: {', '.join(found.untested)}"
        )
    return lines


def ungated(judged: Iterable[Verdict]) -> str:
    """The metrics that moved and are not gated."""
    moved = [
        f"{v.arm} {v.metric} {v.verdict} {v.gain:+.3f}"
        for v in judged
        if v.metric
        and not v.gated
        and not v.stratum
        and v.verdict in (verdicts.REGRESSION, verdicts.IMPROVEMENT)
    ]
    listed = f": {'; '.join(moved)}" if moved else ": none moved"
    return f"Reported, not gated, each with a 95 % interval of its own{listed}."


def _versions(found: Drift) -> str:
    return f"Changed versions: {changes(found.versions) or 'none'}."


def changes(versions: dict[str, tuple[str, str]]) -> str:
    """Changed versions in a line; empty where none changed."""
    return ", ".join(f"{name} {old} -> {new}" for name, (old, new) in versions.items())


def describe(verdict: Verdict) -> str:
    """A verdict's figures, or why there are none."""
    arm = verdict.arm
    if not verdict.metric:
        return f"{arm} ({verdict.reason})"
    figures = (
        f"{arm} {what(verdict)} {number(verdict.baseline)} -> {number(verdict.run)}, gain "
        f"{with_interval(verdict.gain, verdict.low, verdict.high, sign=True)}, margin "
        f"{number(verdict.margin)}"
    )
    return f"{figures} ({verdict.reason})" if verdict.reason else figures


def what(verdict: Verdict) -> str:
    """Metric and stratum; empty where the arm as a whole is judged."""
    within = f" in {verdict.stratum}" if verdict.stratum else ""
    return f"{verdict.metric}{within}"


def not_excluded(verdict: Verdict) -> str:
    """Why a verdict fails a strict run."""
    return (
        f"{describe(verdict)}; --strict asks to exclude a loss of "
        f"{verdicts.STRICT_MARGINS * verdict.margin:.3f}, and the one-sided "
        f"{1 - verdicts.STRICT_ERROR:.0%} bound of the loss is {-verdict.strict_low:.3f}"
    )


def word(verdict: Verdict) -> str:
    """The verdict, marked where it is open."""
    return verdict.verdict if verdict.conclusive else f"{verdict.verdict} (open)"


def number(value: float) -> str:
    """Three decimals, or a dash."""
    return "-" if math.isnan(value) else f"{value:.3f}"
