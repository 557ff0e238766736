"""AUC of a blend beside its parts and their plain sum, of the models that a run has stored.

    python -m scripts.measure_blend_parts RUN_DIR [--arm NAME] [--with NAME]

Nothing is fitted: the blend that each fold of repeat 0 left in the run folder is asked for what its
regressions say of the nodules that the fold tested. The plain sum adds up what each says, divided
by its standard deviation over those nodules; that with another arm of the run adds the logits of
the blend and of that arm in the same way. Differences are paired, by the run's own bootstrap.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from benchmark.columns import by_arm
from benchmark.config import Bootstrap
from benchmark.run import stored_models
from benchmark.run.folder import RunFolder
from benchmark.statistics.calibration import logits
from benchmark.statistics.cases import cases
from benchmark.statistics.pairs import subtract
from benchmark.statistics.scoring import metric_interval, resample


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--arm", default="blend:radiomics_filtered+imagenet2d")
    parser.add_argument("--with", dest="other", help="an arm of the run")
    chosen = parser.parse_args()
    run = RunFolder(chosen.run)
    arms = {
        name: rows.query("repeat == 0").sort_values(["fold", "roi_id"], ignore_index=True)
        for name, rows in by_arm(run.predictions).items()
    }
    blend = arms[chosen.arm]
    frames = {chosen.arm: blend}
    every = part_scores(run, chosen.arm, blend)
    if chosen.other:
        frames[chosen.other] = arms[chosen.other]
        every[f"plain sum with {chosen.other}"] = plain_sum(blend, arms[chosen.other])
    for name, scores in every.items():
        frames[name] = blend.assign(y_prob=scores.rank(pct=True))  # the AUC knows ranks alone
    bootstrap, seed = Bootstrap(**run.config["bootstrap"]), run.config["seed"]
    found = {
        name: resample(cases(frame), bootstrap, seed, ["auc"])["auc"]
        for name, frame in frames.items()
    }
    print("| scores | AUC | AUC of the blend - AUC |\n|---|---:|---:|")
    for name, resampled in found.items():
        ends, _ = metric_interval("auc", resampled, bootstrap)
        more = subtract(found[chosen.arm], resampled, bootstrap)
        difference = f"{more.value:+.4f} [{more.interval.low:+.4f}, {more.interval.high:+.4f}]"
        own = name == chosen.arm
        print(
            f"| {name} | {resampled.value:.4f} [{ends.low:.4f}, {ends.high:.4f}] | "
            f"{'-' if own else difference} |"
        )


def plain_sum(one: pd.DataFrame, other: pd.DataFrame) -> pd.Series:
    """Logits of two arms on the same rows, each divided by its standard deviation in the fold."""
    if not one["roi_id"].equals(other["roi_id"]):
        raise SystemExit("the arms were not tested on the same nodules")
    scores = pd.DataFrame({"one": logits(one["y_prob"]), "other": logits(other["y_prob"])})
    return (scores / scores.groupby(one["fold"]).transform("std")).sum(axis=1)


def part_scores(run: RunFolder, name: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Scores of each part, and their plain sum, one row a row of the blend's predictions."""
    (arm,) = (each for each in run.arms if each.name == name)
    tables = {each: run.features[each] for each in arm.feature_sets}
    found = []
    for fold, tested in rows.groupby("fold"):
        model = stored_models.load(run.path, arm, int(str(fold)), trust=False)
        if model is None:
            raise SystemExit(f"{run.path}: fold {fold} has kept no model of '{name}'")
        X = {each: table.loc[tested["roi_id"]].to_numpy() for each, table in tables.items()}
        scores = pd.DataFrame(model.part_scores(X), index=tested.index)  # type: ignore[attr-defined]
        scores["plain sum"] = (scores / scores.std()).sum(axis=1)
        found.append(scores)
    return pd.concat(found).loc[rows.index]


if __name__ == "__main__":
    main()
