"""The run folder: where its files lie, what each record holds, and its tables."""
