"""The run in plain words; a sentence claims what the corrected comparisons show, and no more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmark.plugins.arms import Arm, arms_in
from benchmark.report.tables.labels import READER, label_note, label_sources
from benchmark.report.tables.main import arm_rows, lift_over_size, size_arm
from benchmark.report.tables.pairwise import auc_pairs, verdict
from benchmark.report.tables.table import SYNTHETIC, sentence, with_interval
from benchmark.report.wording.method_warnings import rated_arms
from benchmark.run.folder import RunFolder
from benchmark.statistics.comparisons import SIZE_ONLY

CEILING = "ratings"
"""Feature set of the readers' own ratings: what is fed by it is no competitor."""

_NOTHING = "No model finished; failures.json has the reasons."
_NO_LIFT = "Nothing was compared with size alone, so what a model adds to size cannot be said."

NO_CLINICAL_USE = "Nothing here is a medical device or evidence for clinical use."


def summary(run: RunFolder) -> list[str]:
    """Sentences on a run, in the order in which they should be read."""
    if run.predictions.empty:
        return [_NOTHING]
    return [
        *([SYNTHETIC] if run.synthetic else []),
        *_tested(run),
        *_against_size(run),
        *_among_models(run),
        label_note(run),
        NO_CLINICAL_USE,
    ]


def conclusion(run: RunFolder) -> str:
    """One sentence: which models are shown to rank these nodules better than size, or worse."""
    if run.predictions.empty:
        return _NOTHING
    rated = [arm for arm in rated_arms(run) if arm.features != CEILING]
    lifts = {arm: lift_over_size(run.comparisons, arm) for arm in rated}
    by_verdict: dict[int, list[str]] = {1: [], -1: [], 0: []}
    for arm, lift in lifts.items():
        if lift is not None:
            by_verdict[lift.verdict].append(arm.name)
    better, worse, others = by_verdict.values()
    if better or worse:
        parts = [
            *([f"better than size alone: {_listed(better)}"] if better else []),
            *([f"worse than size alone: {_listed(worse)}"] if worse else []),
        ]
        said = f"shown to rank these nodules {'; '.join(parts)}"
        said += f"; not shown to differ: {_listed(others)}" if others else ""
    elif others:
        said = "no model is shown to rank these nodules better or worse than size alone"
    else:
        return _NO_LIFT
    where = "on synthetic intensities, " if run.synthetic else ""
    return sentence(f"{where}{said} (AUC, {_size_comparisons(run)})")


def _listed(names: Sequence[str]) -> str:
    """``a, b and c``."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _size_comparisons(run: RunFolder) -> str:
    n = int((auc_pairs(run).model_b == SIZE_ONLY).sum())
    return f"corrected for {n} comparisons with size" if n > 1 else "a single comparison"


def _tested(run: RunFolder) -> Iterator[str]:
    tested = run.predictions.drop_duplicates("roi_id")
    arms = arms_in(run.predictions)
    protocol = run.environment["protocol"]
    yield (
        f"{len(arms)} models were tested on {len(tested)} ROIs of {tested.patient_id.nunique()} "
        f"patients from {run.environment['dataset']['name']}, {int(tested.y_true.sum())} of them "
        f"malignant. {sentence(protocol['label'])} {sentence(protocol['split'])}"
    )


def _against_size(run: RunFolder) -> Iterator[str]:
    arms = rated_arms(run)
    size = size_arm(arms)
    if size is None:
        yield _NO_LIFT
        return
    yield f"Size alone ({size}) reaches an AUC of {_auc(run, size)}."
    found: dict[int, list[str]] = {1: [], 0: [], -1: []}
    for arm in arms:
        lift = lift_over_size(run.comparisons, arm)
        if lift is not None:
            shown = with_interval(lift.difference, lift.low, lift.high, sign=True)
            found[lift.verdict].append(f"{arm} {shown}")
    corrected = _size_comparisons(run)
    for decided, how in ((1, "better"), (-1, "worse")):
        if found[decided]:
            listed = "; ".join(found[decided])
            yield f"Ranks these nodules {how} than size alone, AUC - size ({corrected}): {listed}."
    if found[0]:
        yield (
            f"No difference from size alone is shown, AUC - size ({corrected}): "
            f"{'; '.join(found[0])}. That does not make them equal."
        )


def _among_models(run: RunFolder) -> Iterator[str]:
    """Models against each other, without size, constants and the readers' own ratings."""
    arms = rated_arms(run)
    competitors = [arm for arm in arms if arm.model != SIZE_ONLY and arm.features != CEILING]
    differences = _differences(run, competitors)
    if differences:
        corrected = f"corrected for all {len(auc_pairs(run))} pairs"
        shown = [text for decided, text in differences if decided]
        open_ = len(differences) - len(shown)
        if shown:
            yield f"Of the models among themselves ({corrected}): {'; '.join(shown)}."
        if open_:
            which = "no" if not shown else f"for the other {open_} of {len(differences)} pairs no"
            yield (
                f"Between the models themselves, {which} difference in AUC is shown "
                f"({corrected}); the order in which the table puts them is no ranking."
            )
    made_labels = set(label_sources(run)) == {READER}
    why = "the same readers made the labels" if made_labels else "it sees no image"
    for arm in arms:
        if arm.features == CEILING:
            yield (
                f"{arm} (AUC {_auc(run, arm)}) is fed by the readers' other ratings and is "
                f"no competitor: {why}."
            )


def _differences(run: RunFolder, competitors: Sequence[Arm]) -> list[tuple[int, str]]:
    found, names = [], {arm.name for arm in competitors}
    for row in auc_pairs(run).to_dict("records"):
        a, b = row["arm_a"], row["arm_b"]
        if {a, b} <= names:
            difference, low, high = row["difference"], row["ci_low"], row["ci_high"]
            decided = verdict(difference, low, high, row["p_holm"])
            if decided < 0:
                a, b, difference, low, high = b, a, -difference, -high, -low
            shown = with_interval(difference, low, high, sign=True)
            found.append((decided, f"{a} ranks better than {b} by {shown}"))
    return found


def _auc(run: RunFolder, arm: Arm) -> str:
    row = arm_rows(run.metrics, arm)["auc"]
    return with_interval(row.value, row.ci_low, row.ci_high)
