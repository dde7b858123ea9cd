"""Prompts: those of round 0, and the corrections of a simulated user."""
