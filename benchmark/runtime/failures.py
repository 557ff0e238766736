"""Failures: what did not run, and why."""

from __future__ import annotations

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
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
