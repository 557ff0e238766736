"""Folders of this project."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The project's folder, where ``python -m benchmark`` is called."""

PROFILES = ROOT / "benchmark" / "profiles"
RESULTS = ROOT / "results"
RUNS = RESULTS / "runs"
"""Where a run's folder is made unless ``--out`` names another; git ignores it."""

BASELINE = RESULTS / "baseline"
"""What ``drift`` compares with unless ``--baseline`` names another."""
