"""Builders and extractors of a run's plug-ins, as the loop is handed them."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.plugins import registry
from benchmark.plugins.arms import Arm
from benchmark.plugins.contracts import Extract, FitTogether


def extractors(arms: Sequence[Arm], made: Container[str] = ()) -> dict[str, Extract]:
    """``extract`` of every feature set that the arms are fed, those ``made`` elsewhere left out."""
    names = dict.fromkeys(name for arm in arms for name in arm.feature_sets)
    return {name: registry.load_feature_set(name).extract for name in names if name not in made}


def fits_together(arm: Arm) -> FitTogether | None:
    """Find what trains several models of the arm at once; None where each is fitted by itself."""
    return registry.load_model(arm.model).fit_together


@dataclass(frozen=True)
class Builder:
    """Builds an arm's model with the settings of a configuration; picklable.

    Attributes
    ----------
    settings : mapping of str to dict
        Settings by model name, for every arm of that model.
    jobs : int
        Processes or threads that a model may use.
    """

    settings: Mapping[str, Mapping[str, Any]]
    jobs: int

    def __call__(self, arm: Arm, seed: int) -> Any:
        settings = arm.settings_beside(self.settings)
        return registry.load_model(arm.model).build(seed, jobs=self.jobs, **settings)

    def unavailable(self, arm: Arm) -> str:
        """Why an arm's model cannot be built here; empty where it can."""
        asked = registry.load_model(arm.model).unavailable
        return asked(arm.settings_beside(self.settings)) if asked else ""
