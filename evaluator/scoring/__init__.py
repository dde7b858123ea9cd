"""Scores of predicted masks: of a run, of one scan, of files without a run."""
