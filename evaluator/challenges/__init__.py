"""Rules and totals of public challenges."""
