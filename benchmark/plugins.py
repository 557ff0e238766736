"""What the harness is handed: the extractors and builders of a run's plug-ins."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark import registry
from benchmark.config import Arm, Config
from benchmark.harness import Build, Extract, Model


def extractors(arms: Sequence[Arm]) -> dict[str, Extract]:
    """``extract`` of every feature set that the arms are fed."""
    return {arm.features: registry.load("features", arm.features).extract for arm in arms}


def builder(config: Config, jobs: int) -> Build:
    """Builds an arm's model with the configuration's settings."""

    def build(arm: Arm, seed: int) -> Model:
        settings = config.models.get(arm.model, {})
        model: Model = registry.load("models", arm.model).build(seed, jobs=jobs, **settings)
        return model

    return build
