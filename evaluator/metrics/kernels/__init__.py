"""Numba kernels of the metrics: label grids, surfaces, components, skeletons."""
