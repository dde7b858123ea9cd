"""Evaluation: one model over one dataset under one protocol, as a run."""
