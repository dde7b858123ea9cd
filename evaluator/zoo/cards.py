"""Model cards: what an image says of itself by its labels, read from the image or from the Dockerfile's text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.containers.contracts import CONTRACTS
from evaluator.errors import ManifestError

if TYPE_CHECKING:
    from evaluator.types import ModelCard

import re
import shlex
from typing import TYPE_CHECKING, Any, cast, get_args

from evaluator.types import MODALITIES, Modality, ModelCard, PromptKind
from zoo_sdk.wire import PROMPT_KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping

UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "kB": 10**3, "MB": 10**6, "GB": 10**9}
WEIGHTS = ("", "published", "random:small", "random:full", "mounted")
GPU_NEEDS = ("required", "optional", "none")


def parse_card(labels: Mapping[str, str], where: str = "the image") -> ModelCard:
    """The card in an image's labels. Raises ManifestError that names every label that is missing or wrong."""
    faults: list[str] = []

    def read(name: str, parse: Any, default: str | None = None) -> Any:
        text = labels.get(name, default)
        try:
            if text is None:
                raise ValueError("is missing")
            return parse(text.strip())
        except ValueError as error:
            faults.append(f"label {name}: {error}")
            return None

    fields = {
        "contract": read("umd.contract", _one_of(tuple(CONTRACTS))),
        "name": read("umd.name", _name),
        "title": read("umd.title", str, labels.get("umd.name", "")),
        "inputs": read("umd.inputs", _inputs),
        "units": read("umd.units", _units, ""),
        "prompts": read("umd.prompts", _prompts, ""),
        "targets": read("umd.targets", _targets, "*"),
        "many_rounds": read("umd.rounds", _one_of(("many", "one")), "one") == "many",
        "session": read("umd.session", _one_of(("stdio", "")), "") == "stdio",
        "gpu": read("umd.gpu", _one_of(GPU_NEEDS), "none"),
        "gpu_memory": read("umd.gpu-memory", _size, ""),
        "memory": read("umd.memory", _size, ""),
        "shm": read("umd.shm", _size, ""),
        "timeout": read("umd.timeout", _seconds, "300"),
        "weights": read("umd.weights", _one_of(WEIGHTS), ""),
        "options": read("umd.options", _options, ""),
    }
    if faults:
        raise ManifestError("\n  ".join([f"{where} has no usable model card:", *faults]))
    return ModelCard(
        **fields,
        citation=labels.get("umd.citation", ""),
        weights_sha256=labels.get("umd.weights.sha256", ""),
        weights_license=labels.get("umd.weights.license", ""),
        trained_on=labels.get("umd.trained-on", ""),
        labels={
            name: value
            for name, value in labels.items()
            if name.startswith(("umd.", "org.opencontainers.image."))
        },
    )


def dockerfile_labels(text: str) -> dict[str, str]:
    """The labels that the last stage of a Dockerfile sets, without building it. Raises ManifestError for a broken line."""
    labels: dict[str, str] = {}
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\[ \t]*\n", " ", "\n".join(lines))
    for line in joined.splitlines():
        instruction, _, rest = line.strip().partition(" ")
        if instruction.upper() == "FROM":
            labels = {}  # another stage; what it inherits from a base image is not in this text
        if instruction.upper() != "LABEL":
            continue
        try:
            parts = shlex.split(rest)
        except ValueError as error:
            raise ManifestError(f"a LABEL line cannot be read ({error}): {line.strip()}") from None
        for part in parts:
            key, equals, value = part.partition("=")
            if not equals:
                raise ManifestError(
                    f'a LABEL is written key=value or key="a value": {part!r} in {line.strip()}'
                )
            labels[key] = value
    return labels


def _one_of(allowed: tuple[str, ...]) -> Any:
    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"{text!r} is not one of {', '.join(map(repr, allowed))}")
        return text

    return parse


def _name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9]+([.-][a-z0-9]+)*", text):
        raise ValueError(
            f"{text!r} is not made of small letters, digits, and single dots or dashes between them"
        )
    return text


def _inputs(text: str) -> tuple[tuple[Modality, ...], ...]:
    inputs = tuple(
        tuple(part.strip() for part in alternative.split("+")) for alternative in text.split("|")
    )
    if unknown := {name for names in inputs for name in names} - set(MODALITIES):
        raise ValueError(
            f"{', '.join(sorted(map(repr, unknown)))} is no modality; they are {', '.join(MODALITIES)}"
        )
    return cast("tuple[tuple[Modality, ...], ...]", inputs)


def _units(text: str) -> dict[str, str]:
    pairs = [part.strip().partition("=") for part in text.split(",") if part.strip()]
    if wrong := [
        name
        for name, _, unit in pairs
        if name not in MODALITIES or unit not in ("HU", "SUVbw", "a.u.")
    ]:
        raise ValueError(f"{', '.join(wrong)}: write CT=HU,PT=SUVbw,MR=a.u.")
    return {name: unit for name, _, unit in pairs}


def _prompts(text: str) -> tuple[PromptKind, ...]:
    kinds = tuple(part.strip() for part in text.split(",") if part.strip())
    assert set(PROMPT_KINDS) < set(get_args(PromptKind))
    if unknown := set(kinds) - set(PROMPT_KINDS):
        raise ValueError(
            f"{', '.join(sorted(unknown))} is no kind of prompt; they are {', '.join(PROMPT_KINDS)}"
        )
    return cast("tuple[PromptKind, ...]", kinds)


def _targets(text: str) -> tuple[str, ...] | None:
    if text == "*":
        return None
    targets = tuple(part.strip() for part in text.split(",") if part.strip())
    if not targets:
        raise ValueError('is empty; write "*" for anything that is prompted, or the organs')
    return targets


def _options(text: str) -> dict[str, tuple[str, ...]]:
    options: dict[str, tuple[str, ...]] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, equals, rest = part.partition("=")
        values = tuple(value.strip() for value in rest.split("|"))
        well_named = all(
            re.fullmatch(r"[a-z0-9][a-z0-9.-]*", word) for word in (name.strip(), *values)
        )
        if (
            not equals
            or not well_named
            or len(set(values)) != len(values)
            or name.strip() in options
        ):
            raise ValueError(
                f"{part!r}: write name=default|other, separated by semicolons, each once"
            )
        options[name.strip()] = values
    return options


def _size(text: str) -> int | None:
    if not text:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)", text)
    if not match or match[2] not in UNITS:
        raise ValueError(f"{text!r} is no size such as 10GiB or 512MiB")
    return int(float(match[1]) * UNITS[match[2]])


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < 1e6:
        raise ValueError(f"{text!r} is no number of seconds")
    return seconds


LABEL = "umd.texts"


def read_wordings(card: ModelCard) -> dict[str, str]:
    """Organ -> words. Raises ManifestError for a label that is not of the form ``organ=words; organ=words``."""
    words: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in card.labels.get(LABEL, "").split(";"))):
        name, equals, text = (piece.strip() for piece in part.partition("="))
        if not (name and equals and text) or name in words:
            raise ManifestError(
                f"model {card.name}: label {LABEL}: {part!r}: write organ=words, each organ once, semicolons between them"
            )
        words[name] = text
    return words
