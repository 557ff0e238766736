"""Reports of a comparison with the baseline: terminal tables, JSON, Markdown, JUnit XML."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from benchmark.columns import by_arm
from benchmark.drift import comparability, verdicts
from benchmark.drift.compare import Drift, version_changes
from benchmark.drift.sentences import (
    BAD,
    changes,
    describe,
    not_excluded,
    number,
    summary,
    ungated,
    what,
    word,
)
from benchmark.drift.timing import Timing
from benchmark.drift.verdicts import Verdict
from benchmark.plugins.arms import Arm
from benchmark.report.tables.main import HEADLINE
from benchmark.report.tables.table import Table, as_markdown, escape_markdown, with_interval
from benchmark.run.folder import RunFolder
from benchmark.runtime.failures import without_controls
from benchmark.runtime.folders import write_text

Rows = list[tuple[str, ...]]


def write_drift(found: Drift, folder: Path) -> list[Path]:
    """Write ``drift.json``, ``drift.md`` and ``drift.xml``."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, make in FORMATS.items():
        path = folder / f"drift.{name}"
        write_text(path, make(found))
        written.append(path)
    return written


def drift_tables(found: Drift) -> list[Table]:
    """Tables of data and protocol, models, times and strata; the second has the summary."""
    tables = [_data_table(found), _model_table(found), _timing_table(found)]
    if any(verdict.stratum for verdict in found.verdicts):
        tables.append(_strata_table(found))
    return [replace(table, synthetic=found.run.synthetic) for table in tables]


def _data_table(found: Drift) -> Table:
    rows: Rows = [(each.check, each.message, each.status) for each in found.findings]
    return Table("Data and protocol", ("check", "what", "status"), rows, [])


def _model_table(found: Drift) -> Table:
    rows: Rows = []
    for verdict in _shown(v for v in found.verdicts if not v.stratum):
        moved = verdict.verdict not in (verdicts.SAME, verdicts.NEW)
        changed = ", ".join(found.versions) if moved else ""
        rows.append(
            (
                verdict.arm.label, verdict.arm.features, verdict.metric or "-",
                number(verdict.baseline), number(verdict.run),
                with_interval(verdict.gain, verdict.low, verdict.high, sign=True),
                number(verdict.margin), word(verdict),
                "; ".join(filter(None, [verdict.reason, changed])),
            )
        )  # fmt: skip
    return Table(
        "Models",
        ("model", "features", "metric", "baseline", "run", "gain", "margin", "verdict",
         "reason; changed versions"),
        rows,
        [
            *summary(found),
            "gain: run less baseline, positive is better, on the same ROIs and the same resamples "
            "of patients. Bounds are one-sided; those of gated metrics share one error over the "
            "run.",
            ungated(found.verdicts),
        ],
    )  # fmt: skip


def _shown(judged: Iterable[Verdict]) -> Iterator[Verdict]:
    """Verdicts to show: gated ones, and arms as a whole; an arm that is the same takes one row."""
    unchanged = set()
    for verdict in judged:
        if verdict.verdict == verdicts.SAME:
            if verdict.arm not in unchanged:
                unchanged.add(verdict.arm)
                yield Verdict(verdict.arm, "all", verdicts.SAME, True)
        elif verdict.gated or not verdict.metric:
            yield verdict


def _strata_table(found: Drift) -> Table:
    rows: Rows = [
        (
            verdict.stratum, verdict.arm.label, verdict.arm.features, verdict.metric,
            number(verdict.baseline), number(verdict.run),
            with_interval(verdict.gain, verdict.low, verdict.high, sign=True),
            number(verdict.margin), word(verdict),
        )
        for verdict in found.verdicts if verdict.stratum
    ]  # fmt: skip
    header = ("stratum", "model", "features", "metric", "baseline", "run", "gain", "margin",
              "verdict")  # fmt: skip
    return Table("Within strata", header, rows, [])


def _timing_table(found: Drift) -> Table:
    rows: Rows = [
        (
            _label(each), each.features, each.stage, _ratio(each.baseline), _ratio(each.run),
            _ratio(each.slowdown), each.device, "slower" if each.slower else "",
        )
        for each in found.timings
        if each.stage != "predict"
    ]  # fmt: skip
    return Table(
        "Times, in units of the reference computation",
        ("model", "features", "stage", "baseline", "run", "run / baseline", "device", ""),
        rows,
        ["Times gate only with --max-slowdown; times of prediction are in drift.json."],
    )


def _markdown(found: Drift) -> str:
    """A pull request comment: the summary first, tables below, times folded away."""
    data, models, times, *strata = drift_tables(found)
    lines = [f"# Drift against the baseline: {_headline(found)}", ""]
    told = len(summary(found))
    lines += [f"- {escape_markdown(line)}" for line in models.remarks[: told + found.run.synthetic]]
    shown = replace(models, notes=models.notes[told:])
    lines += ["", as_markdown(shown, 2), as_markdown(data, 2)]
    shifted = found.shift[found.shift["p_holm"] <= 0.05].to_dict("records")
    if shifted:
        rows: Rows = [
            (row["features"], row["feature"], f"{row['ks']:.2f}", f"{row['p_holm']:.1e}",
             f"{row['n_changed']} of {row['n_shared']}")
            for row in shifted
        ]  # fmt: skip
        header = ("features", "feature", "KS distance", "p (Holm)", "changed ROIs")
        lines.append(_folded("Shifted features", Table("Shifted features", header, rows, [])))
    lines += [_folded(table.title, table) for table in strata]
    lines.append(_folded("Times", times))
    return "\n".join(lines)


def _folded(summary_: str, table: Table) -> str:
    return f"<details><summary>{summary_}</summary>\n\n{as_markdown(table, 3)}\n</details>\n"


def _json(found: Drift) -> str:
    content = {
        "status": found.status,
        "result": _headline(found),
        "strict": found.strict,
        "baseline": _identity(found.baseline),
        "run": _identity(found.run),
        "findings": [asdict(each) for each in found.findings],
        "verdicts": [_plain(_verdict_row(each)) for each in found.verdicts],
        "versions": {n: {"baseline": o, "run": r} for n, (o, r) in found.versions.items()},
        "timings": [_plain(asdict(each)) for each in found.timings],
        "shift": [_plain(row) for row in found.shift.to_dict("records")],
    }
    return json.dumps(content, indent=1) + "\n"


def _verdict_row(verdict: Verdict) -> dict[str, Any]:
    row = {name: value for name, value in vars(verdict).items() if name != "arm"}
    return {**verdict.arm.columns, **row, "fails_strict": verdict.fails_strict}


def _junit(found: Drift) -> str:
    """JUnit XML, one test case a check and a gated metric; open and new ones count as skipped."""
    suite = ET.Element("testsuite", name="drift")
    for finding in found.findings:
        case = ET.SubElement(suite, "testcase", classname="drift.data", name=finding.check)
        if finding.status == comparability.DRIFT:
            ET.SubElement(case, "failure", type=finding.status, message=finding.message)
        elif finding.status == verdicts.NOT_COMPARABLE:
            ET.SubElement(case, "error", type=finding.status, message=finding.message)
        elif finding.status == comparability.UNKNOWN:
            ET.SubElement(case, "skipped", message=finding.message)
    for verdict in found.verdicts:
        if verdict.metric and not verdict.gated:
            continue
        arm = f"drift.{verdict.arm.label}.{verdict.arm.features}"
        case = ET.SubElement(suite, "testcase", classname=arm, name=what(verdict) or "arm")
        doubtful = verdict in found.not_excluded
        message = not_excluded(verdict) if doubtful else describe(verdict)
        if verdict.verdict in BAD or doubtful:
            ET.SubElement(case, "failure", type=verdict.verdict, message=message)
        elif verdict.verdict == verdicts.NOT_COMPARABLE:
            ET.SubElement(case, "error", type=verdict.verdict, message=message)
        elif verdict.verdict == verdicts.NEW or not verdict.conclusive:
            ET.SubElement(case, "skipped", message=message)
    for each in found.timings:
        if each.slower:
            case = ET.SubElement(
                suite, "testcase", classname="drift.time", name=each.arm or each.features
            )
            ET.SubElement(case, "failure", type="slower", message=f"{each.slowdown:.2f} times")
    for kind, attribute in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(attribute, str(len(suite.findall(f"testcase/{kind}"))))
    suite.set("tests", str(len(suite)))
    ET.indent(suite)
    written: str = ET.tostring(suite, encoding="unicode", xml_declaration=True)
    return without_controls(written) + "\n"


FORMATS: dict[str, Callable[[Drift], str]] = {"json": _json, "md": _markdown, "xml": _junit}


def side_by_side(former: RunFolder | None, run: RunFolder) -> str:
    """The headline metrics of the former and the new baseline in one Markdown table."""
    old, new = (_headline_metrics(side) for side in (former, run))
    rows = []
    for arm in dict.fromkeys([*old, *new]):
        cells = []
        for metric in HEADLINE:
            cells += [number(side.get(arm, {}).get(metric, math.nan)) for side in (old, new)]
        rows.append((arm.label, arm.features, *cells))
    header = [f"{metric} {side}" for metric in HEADLINE for side in ("old", "new")]
    text = as_markdown(Table("Old and new", ("model", "features", *header), rows, []), 3)
    if former is None:
        return f"The first baseline.\n\n{text}"
    changed = version_changes(former, run)
    return f"{text}\nVersions: {changes(changed) or 'unchanged'}.\n"


def _headline_metrics(side: RunFolder | None) -> dict[Arm, dict[str, float]]:
    if side is None:
        return {}
    rows = by_arm(side.metrics)
    return {
        Arm(arm.model, arm.features, arm.name): dict(
            zip(rows[arm.name].metric, rows[arm.name].value, strict=True)
        )
        for arm in side.arms
    }


def _headline(found: Drift) -> str:
    return {0: "no drift", 1: "drift", 3: "not comparable"}[found.status]


def _identity(side: RunFolder) -> dict[str, Any]:
    dataset = side.environment["dataset"]
    return {
        "folder": side.path.name,
        "started": side.environment["started"],
        "revision": side.environment["revision"],
        "dataset": dataset["name"],
        "intensities": dataset["intensities"],
        "fingerprint": dataset["fingerprint"],
    }


def _plain(record: dict[Any, Any]) -> dict[str, Any]:
    """The record without NaN and infinity, which JSON lacks."""
    return {
        str(key): None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in record.items()
    }


def _label(each: Timing) -> str:
    return Arm(each.model, each.features, each.arm).label if each.arm else "-"


def _ratio(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"
