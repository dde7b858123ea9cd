"""Runs of a suite on several machines: jobs of Slurm, and what they have done."""
