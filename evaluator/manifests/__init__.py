"""The facts in manifests/: datasets, protocols and organs, read and checked."""
