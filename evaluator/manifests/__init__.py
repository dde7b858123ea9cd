"""Reads and checks manifests/: datasets, protocols, suites, organs, published results."""
