"""Reports made from a run folder, without retraining anything."""
