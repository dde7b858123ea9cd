"""Prompts: those of round 0, and the corrections of a simulated user."""

from evaluator.prompting.corrections import CORRECTIONS, correct
from evaluator.prompting.error_regions import dice, largest_error
from evaluator.prompting.initial_prompts import NoPrompt, choose_kind, simulate_prompts
from evaluator.prompting.random_stream import RandomStream
from evaluator.prompting.simulated_user import (
    RoundPrompts,
    SimulatedUser,
    StopReason,
    TargetPrompts,
)

__all__ = [
    "CORRECTIONS",
    "NoPrompt",
    "RandomStream",
    "RoundPrompts",
    "SimulatedUser",
    "StopReason",
    "TargetPrompts",
    "choose_kind",
    "correct",
    "dice",
    "largest_error",
    "simulate_prompts",
]
