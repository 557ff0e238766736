"""The gate within strata, and the gate's own test: a planted regression that it must find."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.drift import margins
from benchmark.drift.canary import plant
from benchmark.drift.compare import compare
from benchmark.drift.report import FORMATS
from benchmark.drift.verdicts import ROW, Verdict, judge_arms
from benchmark.plugins.arms import Arm
from benchmark.run.folder import RunFolder, read_baseline
from benchmark.runtime.paths import BASELINE
from tests.helpers.command_line import invoke

ARM = Arm("svm", "radiomics", "svm:radiomics")
N, PART = 1200, 100


@pytest.fixture
def later(tmp_path: Path) -> Path:
    """The baseline's run, as if it had been made again."""
    folder = Path(shutil.copytree(BASELINE, tmp_path / "later"))
    content = json.loads((folder / "environment.json").read_text())
    content["started"] = "2099-01-01T00:00:00+00:00"
    (folder / "environment.json").write_text(json.dumps(content))
    return folder


def scores(*, reversed_part: bool) -> pd.DataFrame:
    """Rows of a good model, whose first hundred probabilities are reversed where asked."""
    rng = np.random.default_rng(0)
    y = np.arange(N) % 2
    probability = 1 / (1 + np.exp(-rng.normal(3 * y - 1.5, 1)))
    if reversed_part:
        probability[:PART] = 1 - probability[:PART]
    names = [f"r{i}" for i in range(N)]
    return pd.DataFrame({
        "roi_id": names, "patient_id": names, "repeat": 0, "fold": 0, "y_true": y,
        "y_prob": probability, "threshold": 0.5,
    })  # fmt: skip


def judged(strata: dict[str, slice]) -> list[Verdict]:
    old, new = scores(reversed_part=False), scores(reversed_part=True)
    members = {name: pd.MultiIndex.from_frame(old[ROW][part]) for name, part in strata.items()}
    limits = margins.read_margins()
    # Of all rows together the loss is about .15: tolerated here, so that the part alone fails.
    wide = {
        name: margins.Margin(0.5, "a test", each.share) for name, each in limits.metrics.items()
    }
    limits = margins.Margins(limits.family_error, limits.tolerance, wide)
    return judge_arms({ARM: (old, new)}, limits, resamples=400, strata=members)


def test_a_loss_within_a_stratum_is_found_there_alone() -> None:
    found = judged({"part": slice(PART), "rest": slice(PART, N)})
    bad = {(v.metric, v.stratum) for v in found if v.verdict == "regression" and v.gated}
    assert bad == {(m, "part") for m in ("auc", "sensitivity", "specificity")}
    inside = {v.stratum: v for v in found if v.metric == "auc"}
    assert inside["part"].run == pytest.approx(1 - inside["part"].baseline)
    assert inside["rest"].gain == 0
    assert {v.metric for v in found if v.stratum} == set(margins.read_margins().gated)


def test_all_tests_share_one_error() -> None:
    """Bounds of the same difference are wider where more is tested beside it."""
    one, three = (
        next(v for v in judged(strata) if v.metric == "auc" and not v.stratum)
        for strata in ({}, {"part": slice(PART), "rest": slice(PART, N)})
    )
    assert three.low < one.low < one.gain == three.gain < one.high < three.high
    assert one.strict_low == three.strict_low


def test_an_undefined_metric_of_a_stratum_fails_nothing() -> None:
    malignant = slice(1, PART, 2)
    found = [v for v in judged({"malignant": malignant}) if v.stratum and v.metric == "auc"]
    assert [(v.verdict, v.gated) for v in found] == [("not comparable", False)]


def test_strata_of_a_run(later: Path) -> None:
    """Of the committed baseline's, one level has enough patients of either kind."""
    run, before = read_baseline(later), read_baseline(BASELINE)
    arm, worse = plant(run, before)
    found = compare(before, worse, margins.read_margins(), by_stratum=True)
    within = {v.stratum for v in found.verdicts if v.stratum}
    assert within == {"texture solid (4 to 5)"}
    assert "size < 8 mm" in found.untested
    texture = run.rois.set_index("roi_id")["texture"]
    rows = run.predictions[run.predictions["arm"] == arm.name]
    solid = rows[texture[rows["roi_id"]].to_numpy() >= 4]
    (verdict,) = [v for v in found.verdicts if v.stratum and (v.arm, v.metric) == (arm, "auc")]
    assert verdict.verdict == "regression"
    pairs = [
        (one > other) + 0.5 * (one == other)
        for one in solid.y_prob[solid.y_true == 1] for other in solid.y_prob[solid.y_true == 0]
    ]  # fmt: skip
    assert verdict.baseline == pytest.approx(np.mean(pairs))
    assert f"{arm} auc in texture solid (4 to 5)" in FORMATS["md"](found)
    assert 'name="auc in texture solid (4 to 5)"' in FORMATS["xml"](found)
    plain = compare(before, worse, margins.read_margins())
    assert not plain.untested
    assert not any(v.stratum for v in plain.verdicts)


def test_the_command_gates_strata(later: Path, tmp_path: Path) -> None:
    assert invoke("drift", later, "--strata", "--out", tmp_path / "out") == 0
    assert "strata that are not judged" in (tmp_path / "out" / "drift.md").read_text()
    _, worse = plant(read_baseline(later), read_baseline(BASELINE))
    worse.predictions.to_parquet(later / "predictions.parquet")
    assert invoke("drift", later, "--strata", "--out", tmp_path / "out") == 1


def canary(run: RunFolder | Path, *options: str | Path) -> int:
    return invoke("drift", run.path if isinstance(run, RunFolder) else run, "--canary", *options)


def test_the_canary_is_found(later: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in later.rglob("*")}
    assert canary(later) == 0
    assert (
        "canary: a planted loss of logistic:ratings (auc 0.963 to 0.037)" in capsys.readouterr().out
    )
    assert {path: path.stat().st_mtime_ns for path in later.rglob("*")} == before


def test_a_gate_that_compares_a_run_with_itself_is_noticed(
    later: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert canary(later, "--baseline", later) == 1
    assert canary(later, "--baseline", shutil.copytree(later, tmp_path / "copy")) == 1
    assert "the baseline is the run itself" in capsys.readouterr().out
    assert invoke("drift", later, "--baseline", later, "--out", tmp_path / "out") == 0
    assert "The baseline is this run itself" in (tmp_path / "out" / "drift.md").read_text()


def test_a_gate_that_tolerates_everything_is_noticed(
    later: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = margins.PATH.read_text().splitlines()
    wide = ["margin = 0.99" if line.startswith("margin") else line for line in lines]
    (tmp_path / "wide.toml").write_text("\n".join(wide))
    assert canary(later, "--margins", tmp_path / "wide.toml") == 1
    assert "is not found" in capsys.readouterr().out


def test_another_task_is_noticed(later: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (later / "config.toml").read_text()
    (later / "config.toml").write_text(text.replace('threshold = "train"', "threshold = 0.5"))
    assert canary(later) == 1
    assert "not comparable" in capsys.readouterr().out


def test_only_what_is_above_chance_can_be_made_worse(later: Path) -> None:
    run = read_baseline(later)
    prior = run.replaced(metrics=run.metrics[run.metrics["model"] == "prior"])
    for sides in ((prior, run), (run, prior)):
        with pytest.raises(ValueError, match=r"has an AUC above 0\.5"):
            plant(*sides)


def test_a_new_and_better_arm_is_no_canary(later: Path) -> None:
    """The baseline knows nothing of it, so no loss of it can be found."""
    run = read_baseline(later)
    without = run.replaced(metrics=run.metrics[run.metrics["features"] != "ratings"])
    arm, _ = plant(run, without)
    assert arm.name == "random_forest:radiomics"
