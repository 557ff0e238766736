"""An arm with a name of its own, as a profile writes it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from pydantic import ConfigDict, with_config


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True)
class NamedArm:
    """An arm with a name of its own, as a table in a profile.

    Attributes
    ----------
    name : str
        Name in every table; no other arm of the run has it.
    model : str
    features : str
        One feature set, or several joined by ``+``; empty for the model's own.
    settings : dict
        Settings of the model, in this arm alone.
    """

    name: str
    model: str
    features: str = ""
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w .,()=+@:-]{1,60}", self.name) or self.name != self.name.strip():
            raise ValueError(
                f"arms: name is {self.name!r}; use 1 to 60 letters, digits, spaces and any of "
                "_ . , ( ) = + @ : -"
            )
