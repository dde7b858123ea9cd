"""Record the tensors of a model's files from the architecture at full size."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from evaluator.errors import UserError
from evaluator.files import write_bytes
from evaluator.zoo.preflight.expectations import expectations_path, read_expectations
from evaluator.zoo.preflight.tensor_list import read_tensor_list

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

BEGIN = "# recorded by umd models preflight --record; edit what is above this line only\n"


def record_expectations(
    model: str, folder: Path, names: Mapping[str, str], ignored: tuple[str, ...], prefix: str = ""
) -> Path:
    """Write the tensors of random weights at full size to ``models/<model>/expected.toml``.

    What stands above the recorded part of the file is kept.

    Args:
        model: name of the model.
        folder: weights of ``random:full``.
        names: path of ``sources.toml`` -> path in the folder.
        ignored: parts of names of tensors that the loader does not use.
        prefix: of names; the loader removes it if it is there.

    Raises:
        UserError: a file has no tensors.
    """
    lines = [BEGIN]
    for into, name in names.items():
        tensors = read_tensor_list(folder / name)
        if tensors is None or not tensors.tensors:
            raise UserError(f"{folder / name} has no tensors")
        kept = {
            key: tensor
            for key, tensor in tensors.tensors.items()
            if not any(part in key for part in ignored)
        }
        numbers = type(tensors)(tensors=kept).numbers
        lines += [
            "[[file]]\n",
            f'into = "{into}"\n',
            f"tensors = {len(kept)}\n",
            f"numbers = {numbers}\n",
            f'digest = "{tensors.digest(ignored, prefix)}"\n',
        ]
        if ignored:
            quoted = ", ".join(f'"{part}"' for part in ignored)
            lines.append(f"ignored = [{quoted}]\n")
        if prefix:
            lines.append(f'prefix = "{prefix}"\n')
        lines.append("\n")
    path = expectations_path(model)
    text = path.read_text(encoding="utf-8") if path.exists() else _head()
    write_bytes(path, (text.partition(BEGIN)[0] + "".join(lines)).rstrip("\n").encode() + b"\n")
    read_expectations(model)
    return path


def _head() -> str:
    date = datetime.now(UTC).date().isoformat()
    return f'recorded = "random:full, from the architecture at full size, {date}"\n\n'
