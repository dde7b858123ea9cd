"""Prompts: the first ones, and the corrections of a simulated user."""
