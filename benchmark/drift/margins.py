"""Margins of the gate: ``margins.toml``, read and checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from benchmark.formats.text import read_toml
from benchmark.plugins.registry import unknown
from benchmark.statistics.metrics import METRICS

PATH = Path(__file__).with_name("margins.toml")


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True)
class Margin:
    """The largest loss of one metric that is tolerated.

    Attributes
    ----------
    margin : float
        Largest tolerated loss, in the metric's own unit.
    reason : str
    share : float
        Share of the family's error that tests of this metric may use; 0: reported, not gated.
    """

    margin: float
    reason: str
    share: float = 0.0

    def __post_init__(self) -> None:
        if not self.margin > 0:
            raise ValueError(f"margin is {self.margin}; it must be above 0")
        if not self.reason.strip():
            raise ValueError("reason is empty; every margin says why it is what it is")
        if not 0 <= self.share <= 1:
            raise ValueError(f"share is {self.share}; it must be from 0 to 1")


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True)
class Tolerance:
    """The largest difference at which numbers of two machines count as the same.

    Attributes
    ----------
    probability : float
        Absolute difference of P(malignant).
    feature : float
        Difference relative to the feature's standard deviation over the baseline's ROIs.
    reason : str
    """

    probability: float
    feature: float
    reason: str


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True)
class Margins:
    """The content of ``margins.toml``.

    Attributes
    ----------
    family_error : float
        Chance of any false regression in one run, over all gated arms and metrics together.
    tolerance : Tolerance
    metrics : dict of str to Margin
        One margin for each metric of the suite.
    models : dict of str to dict of str to Margin
        Margins of a model's own, by model and metric; ``share`` is the metric's.
    """

    family_error: float
    tolerance: Tolerance
    metrics: dict[str, Margin]
    models: dict[str, dict[str, Margin]] = field(default_factory=dict)

    @property
    def gated(self) -> list[str]:
        """Metrics that decide the exit status."""
        return [name for name, margin in self.metrics.items() if margin.share > 0]

    def of(self, model: str, metric: str) -> Margin:
        """The margin of a model's metric."""
        return self.models.get(model, {}).get(metric, self.metrics[metric])

    def error(self, metric: str, n_arms: int) -> float:
        """One-sided error of each end of an interval when ``n_arms`` arms are tested.

        It is the family's error times the metric's share, divided by the number of arms:
        Bonferroni's inequality, weighted, holds whatever the dependence. A metric that is not
        gated gets 2.5 %.
        """
        share = self.metrics[metric].share
        return self.family_error * share / n_arms if share else 0.025


def read_margins(path: Path = PATH) -> Margins:
    """Read margins.

    Raises
    ------
    ValueError
        Naming the file, the entry and the rule.
    """
    what = f"margins '{path}'"
    tree = read_toml(path, what)
    try:
        margins: Margins = TypeAdapter(Margins).validate_python(tree)
        _check(margins)
    except ValidationError as error:
        raise ValueError(f"{what}: {_first(error)}") from error
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from error
    return margins


def _check(margins: Margins) -> None:
    own = [metric for entries in margins.models.values() for metric in entries]
    for metric in [*margins.metrics, *own]:
        if metric not in METRICS:
            raise ValueError(unknown("metric", metric, list(METRICS)))
    missing = sorted(METRICS.keys() - margins.metrics.keys())
    if missing:
        raise ValueError(f"no margin for {', '.join(missing)}; every metric needs one")
    shares = sum(margin.share for margin in margins.metrics.values())
    if not 0 < shares <= 1 + 1e-9:
        raise ValueError(f"shares add up to {shares:g}; above 0 and up to 1 is allowed")
    if not 0 < margins.family_error < 0.5:
        raise ValueError(f"family_error is {margins.family_error}; it must lie between 0 and .5")


def _first(error: ValidationError) -> str:
    first: Any = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where or 'entry'}: {first['msg'].removeprefix('Value error, ')}"
