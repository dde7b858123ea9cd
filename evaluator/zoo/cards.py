"""Model cards: the description of a model in the labels of its image or Dockerfile."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any, cast, get_args

from evaluator.containers.contracts import CONTRACTS
from evaluator.errors import ManifestError
from evaluator.plain_text import clean_text
from evaluator.types import MODALITIES, Modality, ModelCard, PromptKind
from zoo_sdk.wire import PROMPT_KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping

UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "kB": 10**3, "MB": 10**6, "GB": 10**9}
BOXES = ("voxels", "mm")
WEIGHTS = ("", "published", "random:small", "random:full", "mounted")
GPU_NEEDS = ("required", "optional", "none")
TEXTS_LABEL = "umd.texts"


def parse_card(labels: Mapping[str, str], where: str = "the image") -> ModelCard:
    """Parse the card in the labels of an image.

    Args:
        labels: all labels.
        where: their origin, for messages.

    Raises:
        ManifestError: labels are missing or wrong; the message names each of them.
    """
    labels = {name: clean_text(value) for name, value in labels.items()}
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
        "box": read("umd.box", _one_of(BOXES), "voxels"),
        "weights": read("umd.weights", _one_of(WEIGHTS), ""),
        "uses_image": read("umd.uses-image", _one_of(("yes", "no")), "yes") == "yes",
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
            if name.startswith(("umd.", "org.opencontainers.image.", "org.grand-challenge."))
        },
    )


def dockerfile_labels(text: str) -> dict[str, str]:
    """The labels that the last stage of a Dockerfile sets, without building it.

    Raises:
        ManifestError: a LABEL line cannot be parsed.
    """
    labels: dict[str, str] = {}
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\[ \t]*\n", " ", "\n".join(lines))
    for line in joined.splitlines():
        instruction, _, rest = line.strip().partition(" ")
        if instruction.upper() == "FROM":
            # a new stage; labels that it inherits from a base image are not in this text
            labels = {}
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
            f"{text!r} must consist of lower-case letters and digits, with single dots or dashes "
            "between them"
        )
    return text


def _inputs(text: str) -> tuple[tuple[Modality, ...], ...]:
    inputs = tuple(tuple(map(str.strip, alternative.split("+"))) for alternative in text.split("|"))
    if unknown := set[str]().union(*inputs) - set(MODALITIES):
        raise ValueError(
            f"{', '.join(sorted(map(repr, unknown)))} is not a modality; "
            f"modalities are {', '.join(MODALITIES)}"
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
    # "class": the model also answers without a prompt, from the name of the target
    accepted = (*PROMPT_KINDS, "class")
    assert set(accepted) <= set(get_args(PromptKind))
    if unknown := set(kinds) - set(accepted):
        raise ValueError(
            f"{', '.join(sorted(unknown))} is not a kind of prompt; "
            f"prompts are {', '.join(accepted)}"
        )
    return cast("tuple[PromptKind, ...]", kinds)


def _targets(text: str) -> tuple[str, ...] | None:
    if text == "*":
        return None
    targets = tuple(part.strip() for part in text.split(",") if part.strip())
    if not targets:
        raise ValueError('is empty; write "*" for any prompted target, or list the organs')
    return targets


def _options(text: str) -> dict[str, tuple[str, ...]]:
    options: dict[str, tuple[str, ...]] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, equals, rest = part.partition("=")
        values = tuple(value.strip() for value in rest.split("|"))
        names = (name.strip(), *values)
        valid_names = all(re.fullmatch(r"[a-z0-9][a-z0-9.-]*", word) for word in names)
        repeated = len(set(values)) != len(values) or name.strip() in options
        if not equals or not valid_names or repeated:
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
        raise ValueError(f"{text!r} is not a size such as 10GiB or 512MiB")
    return int(float(match[1]) * UNITS[match[2]])


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < 1e6:
        raise ValueError(f"{text!r} is not a number of seconds between 0 and 1e6")
    return seconds


def read_text_prompts(card: ModelCard) -> dict[str, str]:
    """The model's text prompts: organ -> text, from the label ``umd.texts``.

    Raises:
        ManifestError: the label is not of the form ``organ=words; organ=words``.
    """
    texts: dict[str, str] = {}
    for part in filter(None, map(str.strip, card.labels.get(TEXTS_LABEL, "").split(";"))):
        name, equals, text = map(str.strip, part.partition("="))
        if not (name and equals and text) or name in texts:
            raise ManifestError(
                f"model {card.name}: label {TEXTS_LABEL}: {part!r}: write organ=words, each organ "
                "once, separated by semicolons"
            )
        texts[name] = text
    return texts
