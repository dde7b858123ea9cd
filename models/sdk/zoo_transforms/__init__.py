"""Geometry and intensities around a network: pure functions on arrays, for adapters to choose from.

Needs numpy, and scipy where a docstring names it. It is not in the base image: each model's
Dockerfile copies the modules that the model imports, so a change of one module rebuilds the images
that use it and no other. Python >= 3.8.
"""
