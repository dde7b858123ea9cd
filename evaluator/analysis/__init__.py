"""Analysis of scores: summaries, comparisons, rankings and failures."""
