"""Conformance tests: whether a model's container follows the contract."""
