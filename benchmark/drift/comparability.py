"""Comparability of two runs: data, labels, protocol, splits, extraction.

Each check gives one line that names what it found. A changed label column, a moved fold, another
scanner or another extractor is thus called by its name, and no model is blamed for it.

=================  =============================================================================
status             meaning
=================  =============================================================================
same               nothing found
drift              inputs moved, and models are still compared on the same cases
not comparable     metrics of the two speak about different tasks; no model is judged
unknown            the baseline stored too little to tell
=================  =============================================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from benchmark.cohort.labels import AS_GIVEN
from benchmark.cohort.splits import Split
from benchmark.drift import shift
from benchmark.run.folder import RunFolder

SAME, DRIFT, NOT_COMPARABLE, UNKNOWN = "same", "drift", "not comparable", "unknown"


@dataclass(frozen=True)
class Finding:
    """One line about data or protocol.

    Attributes
    ----------
    check : str
        ``dataset``, ``arms``, ``rois``, ``patients``, ``labels``, ``label rule``, ``threshold``,
        ``splits``, ``features``, ``distribution``, ``label balance``.
    status : str
    message : str
    """

    check: str
    status: str
    message: str


def check(
    baseline: RunFolder, run: RunFolder, moved: pd.DataFrame, tolerance: float
) -> list[Finding]:
    """Run every check, in the order in which they explain each other.

    Parameters
    ----------
    baseline, run : RunFolder
    moved : DataFrame
        The table that :func:`benchmark.drift.shift.table` gives.
    tolerance : float
        The tolerance of ``moved``.
    """
    rois = [*_arms(baseline), _rois(baseline, run), *_of_shared(baseline, run)]
    redrawn = any(finding.status == NOT_COMPARABLE for finding in rois)
    return [
        _dataset(baseline, run, explained=redrawn),
        *rois,
        _label_rule(baseline, run),
        _threshold(baseline, run),
        _splits(baseline, run, redrawn=redrawn),
        _features(baseline, run, moved, tolerance),
        _distribution(moved),
        _label_balance(baseline, run),
    ]


def same_images(baseline: RunFolder, run: RunFolder) -> bool:
    """True if both runs read the same ROIs, patients, labels and voxels."""
    return _fingerprint(baseline) == _fingerprint(run)


def changed_sets(moved: pd.DataFrame) -> set[str]:
    """Feature sets with a changed value."""
    changed = moved[(moved["n_changed"] > 0) & (moved["features"] != shift.ROI_PROPERTIES)]
    return set(changed["features"])


def _fingerprint(side: RunFolder) -> str:
    return str(side.environment["dataset"]["fingerprint"])


def _dataset(baseline: RunFolder, run: RunFolder, *, explained: bool) -> Finding:
    old, new = _fingerprint(baseline), _fingerprint(run)
    if old == new:
        return Finding("dataset", SAME, f"{run.name}, fingerprint {new[:12]}")
    changed = f"fingerprint {new[:12]}, the baseline's is {old[:12]}"
    if baseline.name != run.name:
        changed += f"; dataset '{run.name}', the baseline's is '{baseline.name}'"
    why = (
        "the lines below say what differs"
        if explained
        else "ROIs, patients and labels are the baseline's, so voxel values or masks differ"
    )
    return Finding("dataset", NOT_COMPARABLE, f"{changed}: {why}")


def _arms(baseline: RunFolder) -> Iterator[Finding]:
    if baseline.predictions.empty:  # every arm of the run would be new, and nothing be judged
        yield Finding("arms", NOT_COMPARABLE, "the baseline has no predictions")


def _rois(baseline: RunFolder, run: RunFolder) -> Finding:
    old, new = set(baseline.rois["roi_id"]), set(run.rois["roi_id"])
    dropped, added = sorted(old - new), sorted(new - old)
    if not dropped and not added:
        return Finding("rois", SAME, f"{len(new)} ROIs")
    parts = []
    if dropped:
        parts.append(f"{len(dropped)} of the baseline's {len(old)} ROIs dropped ({_few(dropped)})")
    if added:
        parts.append(f"{len(added)} ROIs added ({_few(added)})")
    return Finding("rois", NOT_COMPARABLE, "; ".join(parts))


def _of_shared(baseline: RunFolder, run: RunFolder) -> Iterator[Finding]:
    old, new = (side.rois.set_index("roi_id") for side in (baseline, run))
    shared = old.index.intersection(new.index)
    patients = shared[(old.loc[shared, "patient_id"] != new.loc[shared, "patient_id"]).to_numpy()]
    if len(patients):
        yield Finding(
            "patients", NOT_COMPARABLE,
            f"patient_id differs for {len(patients)} of {len(shared)} ROIs ({_few(patients)})",
        )  # fmt: skip
    else:
        yield Finding("patients", SAME, f"{new['patient_id'].nunique()} patients")
    flipped = shared[(old.loc[shared, "y_true"] != new.loc[shared, "y_true"]).to_numpy()]
    if len(flipped):
        column = ": the label column is inverted" if len(flipped) == len(shared) else ""
        yield Finding(
            "labels", NOT_COMPARABLE,
            f"labels flipped for {len(flipped)} of {len(shared)} ROIs ({_few(flipped)}){column}",
        )  # fmt: skip
    else:
        yield Finding("labels", SAME, f"{int(new['y_true'].sum())} of {len(new)} malignant")


def _label_rule(baseline: RunFolder, run: RunFolder) -> Finding:
    protocols = [side.environment["protocol"]["label"] for side in (baseline, run)]
    given = [AS_GIVEN in protocol for protocol in protocols]
    rules = [side.config["label"] for side in (baseline, run)]
    if all(given) or (given[0] == given[1] and rules[0] == rules[1]):
        return Finding("label rule", SAME, protocols[1])
    return Finding("label rule", NOT_COMPARABLE, f"{protocols[1]}; the baseline's {protocols[0]}")


def _threshold(baseline: RunFolder, run: RunFolder) -> Finding:
    old, new = (side.config["threshold"] for side in (baseline, run))
    if old == new:
        return Finding("threshold", SAME, str(run.environment["protocol"]["threshold"]))
    return Finding("threshold", NOT_COMPARABLE, f"threshold = {new}, the baseline's is {old}")


Place = tuple[str, int, int]
Sides = tuple[frozenset[str], frozenset[str]]


def _splits(baseline: RunFolder, run: RunFolder, *, redrawn: bool) -> Finding:
    """Compare the splits on ROIs that both have: a dropped ROI alone moves no fold."""
    shared = set(baseline.rois["roi_id"]) & set(run.rois["roi_id"])
    old, new = (_sides(side.splits, shared) for side in (baseline, run))
    if old == new:
        return Finding("splits", SAME, str(run.environment["protocol"]["split"]))
    if old.keys() != new.keys():
        message = (
            f"{_scheme(new)} of {len(new)} splits, the baseline's {_scheme(old)} of {len(old)}"
        )
    else:
        message = "; ".join(_moved_folds(old, new))
    if redrawn:
        message += " (splits are drawn from ROIs, patients and labels, which differ)"
    return Finding("splits", NOT_COMPARABLE, message)


def _sides(splits: Sequence[Split], shared: set[str]) -> dict[Place, Sides]:
    return {
        (s.scheme, s.repeat, s.fold): (frozenset(s.train) & shared, frozenset(s.test) & shared)
        for s in splits
    }


def _scheme(splits: dict[Place, Sides]) -> str:
    return "/".join(sorted({scheme for scheme, _, _ in splits}))


def _moved_folds(old: dict[Place, Sides], new: dict[Place, Sides]) -> Iterator[str]:
    places = {sides: place for place, sides in old.items()}
    for place, (train, test) in new.items():
        if old[place] == (train, test):
            continue
        where = f"repeat {place[1]} fold {place[2]}"
        if (origin := places.get((train, test))) is not None:
            yield f"{where} is the baseline's repeat {origin[1]} fold {origin[2]} (folds swapped)"
        elif (test, train) == old[place]:
            yield f"{where}: training and test side are swapped"
        else:
            gained, lost = test - old[place][1], old[place][1] - test
            yield (
                f"{where}: {len(gained)} ROIs newly tested, {len(lost)} no longer "
                f"({_few(sorted(gained | lost))}), {len(train ^ old[place][0])} changed on the "
                "training side"
            )


def _features(
    baseline: RunFolder, run: RunFolder, moved: pd.DataFrame, tolerance: float
) -> Finding:
    parts = []
    shared = set(baseline.rois["roi_id"]) & set(run.rois["roi_id"])
    for name in sorted(baseline.features.keys() & run.features.keys()):
        old, new = (list(side.features[name].columns) for side in (baseline, run))
        if old != new:
            gone, come = sorted(set(old) - set(new)), sorted(set(new) - set(old))
            parts.append(
                f"{name}: {len(gone)} columns gone ({_few(gone)}), {len(come)} new ({_few(come)})"
                if gone or come
                else f"{name}: columns in another order"
            )
        had, has = (shared & set(side.features[name].index) for side in (baseline, run))
        if had != has:
            parts.append(
                f"{name}: {len(had - has)} ROIs without features that had them "
                f"({_few(sorted(had - has))}), {len(has - had)} with them that had none"
            )
    for name in changed_sets(moved):
        own = moved[moved["features"] == name]
        changed = own[own["n_changed"] > 0]
        parts.append(
            f"{name}: {len(changed)} of {len(own)} features differ in up to "
            f"{changed['n_changed'].max()} of {own['n_shared'].iloc[0]} ROIs, by up to "
            f"{changed['largest_change'].max():.2g} standard deviations"
        )
    if parts:
        cause = (
            "feature extraction changed (images and masks are the baseline's)"
            if same_images(baseline, run)
            else "features differ, and so do the data"
        )
        return Finding("features", DRIFT, f"{cause}: {'; '.join(parts)}")
    missing = sorted(run.features.keys() - baseline.features.keys())
    if missing:
        return Finding("features", UNKNOWN, f"the baseline stored none of {', '.join(missing)}")
    return Finding(
        "features", SAME,
        f"{len(moved)} features equal within {tolerance:g} standard deviations",
    )  # fmt: skip


def _distribution(moved: pd.DataFrame) -> Finding:
    test = "two-sample Kolmogorov-Smirnov, one ROI a patient, Holm"
    shifted = moved[moved["p_holm"] <= shift.LEVEL].sort_values("ks", ascending=False)
    if not len(shifted):
        return Finding("distribution", SAME, f"0 of {len(moved)} features shifted ({test})")
    named = [f"{row['feature']} D {row['ks']:.2f}" for row in shifted.head(3).to_dict("records")]
    rest = f" and {len(shifted) - 3} more" if len(shifted) > 3 else ""
    return Finding(
        "distribution", DRIFT,
        f"{len(shifted)} of {len(moved)} features shifted: {', '.join(named)}{rest} ({test})",
    )  # fmt: skip


def _label_balance(baseline: RunFolder, run: RunFolder) -> Finding:
    old, new, p = shift.label_balance(baseline, run)
    shares = f"{new[0]} of {new[1]} malignant, the baseline's {old[0]} of {old[1]}"
    status = DRIFT if p <= shift.LEVEL else SAME
    return Finding("label balance", status, f"{shares} (Fisher, one ROI a patient: p {p:.2g})")


def _few(ids: Any) -> str:
    names = [str(name) for name in ids]
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + rest
