"""Margins: complete, each with a reason, refused by name where they are not."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from benchmark.drift import margins
from benchmark.plugins import registry
from benchmark.statistics.metrics import METRICS


def test_the_margins_of_this_project() -> None:
    rules = margins.read_margins()
    assert rules.metrics.keys() == METRICS.keys()
    assert set(rules.models) <= set(registry.names("models"))
    assert "auc" in rules.gated
    assert len(rules.tolerance.reason) > 40
    for entry in [*rules.metrics.values(), *(m for o in rules.models.values() for m in o.values())]:
        assert len(entry.reason) > 5
    assert rules.models["paper_cnn"].keys() >= set(rules.gated)
    assert rules.of("paper_cnn", "auc") == rules.models["paper_cnn"]["auc"]
    assert rules.of("svm", "auc") == rules.metrics["auc"]


def test_errors_of_all_tests_add_up_to_the_familys() -> None:
    rules = margins.read_margins()
    for n_arms in (1, 8):
        total = sum(rules.error(metric, n_arms) * n_arms for metric in rules.gated)
        assert total == pytest.approx(rules.family_error)
    assert rules.error("brier", 8) == 0.025


BROKEN: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda t: t["metrics"].pop("mcc"), "no margin for mcc; every metric needs one"),
    (lambda t: t["metrics"]["auc"].pop("reason"), "metrics.auc.reason: Field required"),
    (lambda t: t["metrics"]["auc"].update(reason=" "), "every margin says why"),
    (lambda t: t["metrics"]["auc"].update(margin=0), "margin is 0.0; it must be above 0"),
    (lambda t: t["metrics"]["auc"].update(share=-0.5), "share is -0.5; it must be from 0 to 1"),
    (lambda t: t["metrics"]["auc"].update(share=0.95), "shares add up to 1.15"),
    (lambda t: t["metrics"]["auc"].update(shares=1), "metrics.auc.shares"),
    (lambda t: t["metrics"].update(auk=t["metrics"]["auc"]), "did you mean 'auc'?"),
    (lambda t: t.update(family_error=0.7), "family_error is 0.7"),
]


@pytest.mark.parametrize(("change", "message"), BROKEN)
def test_what_is_refused(
    change: Callable[[dict[str, Any]], Any], message: str, tmp_path: Path
) -> None:
    tree = tomllib.loads(margins.PATH.read_text())
    change(tree)
    path = tmp_path / "margins.toml"
    path.write_text(tomli_w.dumps(tree))
    with pytest.raises(ValueError, match=r"margins '.*/margins\.toml': ") as refused:
        margins.read_margins(path)
    assert message in str(refused.value)


def test_an_encoding_is_told_and_a_byte_order_mark_is_none(tmp_path: Path) -> None:
    text, path = margins.PATH.read_text(), tmp_path / "margins.toml"
    path.write_text(text, encoding="utf-8-sig")
    assert margins.read_margins(path) == margins.read_margins()
    path.write_text(text, encoding="utf-16")
    with pytest.raises(ValueError, match=r"margins '.*toml': not TOML \(it is in UTF-16; save it"):
        margins.read_margins(path)
    with pytest.raises(ValueError, match=r"margins '.*none.toml': no such file"):
        margins.read_margins(tmp_path / "none.toml")
