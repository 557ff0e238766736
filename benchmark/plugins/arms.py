"""Arms: a model with the features that it is fed, its settings, and what it learns from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # at run time it would make commands without tables wait for pandas
    import pandas as pd

LABELS, RATINGS, LEFT_OUT_TOO = "labels", "ratings", "ratings+left_out"

EXTERNAL = "external"
"""Model and supervision of an arm that was made elsewhere and is known by its predictions alone."""

SUPERVISIONS = (LABELS, RATINGS, LEFT_OUT_TOO)
"""Kinds of supervision: what a model may learn from.

``labels``: the labels of training ROIs. ``ratings``: also what readers said of those ROIs.
``ratings+left_out``: also the ROIs of training patients that the label rule leaves out, unless
a ROI of the same patient is tested.
"""


NO_LABEL = -1
"""Label of a training ROI that the label rule leaves out."""


@dataclass(frozen=True)
class Arm:
    """A model with the features that it is fed and the settings that are its own.

    Attributes
    ----------
    model : str
    features : str
        One feature set, or several joined by ``+``; empty where predictions alone are known.
    name : str
        Name of the arm; ``model:features`` unless it is given another.
    settings : mapping of str to object
        Settings of the model in this arm alone, beside those of the configuration.
    supervision : {"labels", "ratings", "ratings+left_out", "external"}
        The model's supervision, as its module declares it.
    """

    model: str
    features: str
    name: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict, compare=False)
    supervision: str = LABELS

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", f"{self.model}:{self.features}")

    def __str__(self) -> str:
        return self.name

    @property
    def feature_sets(self) -> tuple[str, ...]:
        """Names of the feature sets, in the order in which they were named."""
        return tuple(filter(None, self.features.split("+")))

    def settings_beside(self, of_models: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """All settings of the arm's model: those of every arm of this model, and the arm's own."""
        return {**of_models.get(self.model, {}), **self.settings}

    @property
    def external(self) -> bool:
        """True if the arm was made elsewhere, and its predictions were read from a file."""
        return self.supervision == EXTERNAL

    @property
    def named(self) -> bool:
        """True if the arm has a name of its own."""
        return self.name != f"{self.model}:{self.features}"

    @property
    def label(self) -> str:
        """Label in a table's column for the model: its name, or the arm's own."""
        return self.name if self.named else self.model

    def fed_by(self, features: str) -> Arm:
        """The arm on other features; it keeps a name of its own."""
        return replace(self, features=features, name=self.name if self.named else "")

    def as_config(self) -> str | dict[str, Any]:
        """The arm as an entry of ``arms`` in a profile."""
        if not self.named and not self.settings:
            return self.name
        return {
            "name": self.name, "model": self.model, "features": self.features,
            "settings": dict(self.settings),
        }  # fmt: skip

    @property
    def columns(self) -> dict[str, str]:
        """The arm's columns in a row of a stored table."""
        return {"arm": self.name, "model": self.model, "features": self.features}


def arms_in(table: pd.DataFrame) -> list[Arm]:
    """The arms of a stored table, in the order in which they first appear."""
    rows = table[table["arm"] != ""].drop_duplicates("arm").to_dict("records")
    return [
        Arm(
            str(row["model"]), str(row["features"]), str(row["arm"]),
            supervision=str(row.get("supervision", LABELS)),
        )
        for row in rows
    ]  # fmt: skip
