"""Paired comparison of modalities and models (``docs/statistics.md``)."""
