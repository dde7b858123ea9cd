"""Scores of masks against references, exact, for all targets of a scan at once.

Surfaces are defined as in DeepMind's surface-distance (``evaluator.metrics.kernels.surface_area``).
Names are imported from their modules, so the table of metrics needs no compiled code.
"""
