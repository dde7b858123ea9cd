"""Preflight: whether weights are the expected ones, before anything is computed with them.

Files are recognised by their bytes, hash, and the names, shapes and types of their tensors. No
code of a file is executed, and torch is not needed.
"""
