"""Reporting checklists, answered from the run where it can and left open where it cannot."""

from __future__ import annotations

import string
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmark.report.tables.table import Table

FILES = ("claim_2024.toml", "metrics_2024.toml")
ANSWERED, PARTLY, OPEN = "answered", "partly", "open"

_FOLDER = Path(__file__).parent / "checklist_items"


@dataclass(frozen=True)
class Item:
    """One item of a checklist; ``answer`` has facts in braces, ``add`` is for the author."""

    number: int
    section: str
    text: str
    answer: str = ""
    add: str = ""

    def fill(self, known: Mapping[str, str]) -> tuple[str, str]:
        """Status and text; open where there is no answer or one of its facts is missing."""
        needed = [name for _, name, _, _ in string.Formatter().parse(self.answer) if name]
        if not self.answer or not all(known[name] for name in needed if name != "warnings"):
            return OPEN, f"Author: {self.add}." if self.add else ""
        said = self.answer.format_map(known).strip()
        if self.add:
            return PARTLY, f"{said} Author: {self.add}."
        return ANSWERED, said


@dataclass(frozen=True)
class Checklist:
    """A checklist as its authors published it, in our short words."""

    name: str
    citation: str
    items: tuple[Item, ...]


def read_checklist(file: str) -> Checklist:
    """Read one of ``FILES``.

    Raises
    ------
    ValueError
        Where items are missing or out of order.
    """
    tree = tomllib.loads((_FOLDER / file).read_text(encoding="utf-8"))
    items = tuple(Item(**item) for item in tree["item"])
    if [item.number for item in items] != list(range(1, tree["n_items"] + 1)):
        raise ValueError(f"{file}: items must be numbered from 1 to {tree['n_items']}")
    return Checklist(tree["name"], tree["citation"], items)


def checklist_tables(known: Mapping[str, str]) -> list[Table]:
    """Each checklist with the status of its items, counted in the title; ``known`` are facts."""
    tables = []
    for checklist in map(read_checklist, FILES):
        filled = [(item, *item.fill(known)) for item in checklist.items]
        counts = {
            status: sum(found == status for _, found, _ in filled)
            for status in (ANSWERED, PARTLY, OPEN)
        }
        counted = ", ".join(f"{n} {status}" for status, n in counts.items())
        tables.append(
            Table(
                f"{checklist.name}: {len(filled)} items, {counted}",
                ("item", "section", "what is asked", "status", "from this run"),
                [(str(i.number), i.section, i.text, status, said) for i, status, said in filled],
                [
                    f"{checklist.citation}. Items are in our own short words. Pre-filled from "
                    "the run's metadata; an author checks every answer and fills in the rest."
                ],
                widths=(0.05, 0.15, 0.25, 0.09, 0.46),
            )
        )
    return tables
