"""Plain words claim what the corrected comparisons show, and no more."""

from __future__ import annotations

import pytest

from benchmark.report.wording.summary import conclusion, summary
from benchmark.run.folder import RunFolder
from tests.helpers.small_run import N, calibrated, run


def told(family: str = "p_holm", **p_holm: float) -> tuple[str, RunFolder]:
    """The summary of a run with size_only and two models, after p values are set by hand.

    The p of the other family says the opposite.
    """
    p, y_true = calibrated(N, 0)
    made = run({"size_only": p * 0.5 + 0.2, "a": p, "b": 1 - p}, y_true)
    comparisons = made.comparisons.copy()
    for pair, value in p_holm.items():
        a, b = pair.split("_vs_")
        chosen = (comparisons.model_a == a) & (comparisons.model_b == b)
        comparisons.loc[chosen, ["p_holm", "p_holm_size"]] = 0.9 if value < 0.05 else 0.01
        comparisons.loc[chosen, family] = value
        comparisons.loc[chosen, ["difference", "ci_low", "ci_high"]] = (0.1, 0.05, 0.15)
    protocol = {"label": "label: readers", "split": "split: one", "threshold": "threshold: 0.5"}
    environment = {
        "dataset": {"name": "made", "intensities": "acquired"}, "protocol": protocol,
    }  # fmt: skip
    made = made.replaced(comparisons=comparisons, environment=environment)
    return "\n".join(summary(made)), made


@pytest.mark.parametrize(
    ("p_holm", "claimed"), [(0.049, True), (0.051, False), (float("nan"), False)]
)
def test_better_than_size_only_after_correction(p_holm: float, claimed: bool) -> None:
    text, _ = told("p_holm_size", a_vs_size_only=p_holm)
    line = next(x for x in text.splitlines() if "a:f +0.100 [+0.050, +0.150]" in x)
    assert line.startswith("Ranks these nodules better" if claimed else "No difference from size")
    assert "corrected for 2 comparisons with size" in line


@pytest.mark.parametrize(("p_holm", "claimed"), [(0.01, True), (0.2, False)])
def test_models_among_themselves(p_holm: float, claimed: bool) -> None:
    text, _ = told(a_vs_b=p_holm)
    assert ("a:f ranks better than b:f by +0.100" in text) is claimed
    assert ("no difference in AUC is shown" in text) is not claimed
    assert "corrected for all 3 pairs" in text


@pytest.mark.parametrize(("p_holm", "better"), [(0.049, True), (0.051, False)])
def test_the_conclusion_claims_what_is_shown(p_holm: float, better: bool) -> None:
    _, made = told("p_holm_size", a_vs_size_only=p_holm)
    end = " (AUC, corrected for 2 comparisons with size)."
    said = "Shown to rank these nodules better than size alone: a:f; worse than size alone: b:f"
    if not better:
        said = "Shown to rank these nodules worse than size alone: b:f; not shown to differ: a:f"
    assert conclusion(made) == said + end
    synthetic = {**made.environment, "dataset": {"name": "made", "intensities": "synthetic"}}
    marked = conclusion(made.replaced(environment=synthetic))
    assert marked.startswith("On synthetic intensities, shown to rank")
    alone = made.predictions[made.predictions.model == "a"]
    assert "cannot be said" in conclusion(
        made.replaced(predictions=alone, comparisons=made.comparisons[:0])
    )


def test_a_worse_model_is_called_worse() -> None:
    text, _ = told()
    line = next(x for x in text.splitlines() if x.startswith("Ranks these nodules worse"))
    assert "b:f -0." in line


def test_what_labels_stand_for_and_no_clinical_use() -> None:
    text, _ = told()
    assert "suspicion, not pathology" in text
    assert "evidence for clinical use" in text.splitlines()[-1]


def test_synthetic_intensities_come_first(reported: RunFolder) -> None:
    assert summary(reported)[0].startswith("SYNTHETIC INTENSITIES")
    ceiling = [x for x in summary(reported) if x.startswith("logistic:ratings")]
    assert len(ceiling) == 1
    assert "no competitor" in ceiling[0]


def test_a_run_without_predictions_or_without_size_says_so() -> None:
    _, made = told()
    (said,) = summary(made.replaced(predictions=made.predictions[:0]))
    assert said.startswith("No model finished")
    p, y_true = calibrated(N, 0)
    alone = run({"a": p, "b": 1 - p}, y_true).replaced(environment=made.environment)
    assert any(line.startswith("Nothing was compared with size") for line in summary(alone))
