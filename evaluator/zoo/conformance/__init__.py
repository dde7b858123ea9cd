"""Conformance tests: does a model's container follow the contract."""
