"""Reports made from a run folder, without retraining anything."""

from benchmark.report.tables import FORMATS, write_tables

__all__ = ["FORMATS", "write_tables"]
