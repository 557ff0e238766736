"""Failures: what did not run, and why."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Failure:
    """Something that did not run, and why.

    ``status`` is ``failed``, or ``skipped`` where the dataset lacks what an arm or a feature set
    needs. Fields that do not apply are empty or -1; ``arm`` is empty in runs of before arms had
    names.
    """

    status: str
    stage: str
    reason: str
    model: str = ""
    features: str = ""
    roi_id: str = ""
    repeat: int = -1
    fold: int = -1
    arm: str = ""


def describe_error(error: Exception) -> str:
    """An exception's type and message on one line."""
    return f"{type(error).__name__}: {one_line(str(error))}"


def without_controls(markup: str) -> str:
    """HTML or XML without the control characters that neither can have."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", "\ufffd", markup)


def one_line(text: str) -> str:
    """The text on one line; what a terminal, XML or a reader's eye would obey is spelled out.

    Control characters start terminals' sequences, and others turn the order of writing round.
    """
    shown = " ".join(text.split())
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown)
