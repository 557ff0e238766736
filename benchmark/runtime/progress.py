"""Progress protocol: work reports how far it is, without knowing whether anyone watches."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told how far the work is; a terminal may show it."""

    def update(self, task: str, done: float, total: float) -> None:
        """Task ``task`` stands at ``done`` of ``total``."""
