"""Names, shapes and types of the tensors in a checkpoint, read without torch.

safetensors, torch's zip archives (TorchScript too), and numpy's npz. A pickle is read by an
unpickler that knows the constructors of tensors only. Whatever else a pickle asks for is replaced
by an inert object and named, so a file with code cannot run it.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import struct
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from evaluator.errors import ModelFilesError
from evaluator.zoo.preflight.file_kinds import PICKLE, ZIP, is_safetensors, not_the_file, read_start

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

#: keys under which checkpoints hold the tensors of a network
WRAPPERS = ("model_state_dict", "network_weights", "state_dict", "model")
#: what a pickle of tensors may ask for besides tensors; everything else could be code
HARMLESS = {
    ("collections", "OrderedDict"), ("torch", "Size"), ("torch", "device"), ("torch", "dtype"),
    ("torch._utils", "_rebuild_tensor_v2"), ("torch._utils", "_rebuild_parameter"),
    ("torch.jit._pickle", "restore_type_tag"), ("torch.serialization", "_get_layout"),
    ("numpy", "dtype"), ("numpy", "ndarray"), ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"), ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"), ("_codecs", "encode"),
}  # fmt: skip
STORAGES = {
    "FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16", "LongStorage": "int64", "IntStorage": "int32",
    "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8", "BoolStorage": "bool",
}  # fmt: skip
SAFETENSORS_TYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64",
    "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
#: a header of safetensors larger than this is no header
LARGEST_HEADER = 100 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """Shape and type of a tensor."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorList:
    """All tensors of a file, by name without the wrapper."""

    tensors: Mapping[str, Tensor]
    #: names that the file's pickle asks for and that are no part of tensors
    foreign: tuple[str, ...] = ()
    #: the number of training steps, if the checkpoint states it
    step: int | None = None

    @property
    def numbers(self) -> int:
        """Numbers in all tensors."""
        return sum(prod(tensor.shape) for tensor in self.tensors.values())

    def digest(self, ignored: tuple[str, ...] = (), prefix: str = "") -> str:
        """sha256 of the sorted lines "name shape type".

        Args:
            ignored: parts of names; tensors whose name contains one of them are left out.
            prefix: removed from the names that have it.
        """
        lines = [
            f"{name.removeprefix(prefix)} {'x'.join(map(str, tensor.shape))} {tensor.dtype}"
            for name, tensor in self.tensors.items()
            if not any(part in name for part in ignored)
        ]
        return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()

    def common_prefix(self) -> str:
        """The first part of all names, with its dot; empty if they differ in it."""
        parts = {name.partition(".")[0] for name in self.tensors}
        return f"{parts.pop()}." if len(parts) == 1 else ""


def read_tensor_list(path: Path) -> TensorList | None:
    """The tensors of a checkpoint; None for a file of another kind.

    Raises:
        ModelFilesError: the file is truncated or damaged; the message says what it looks like.
    """
    start = read_start(path)
    if instead := not_the_file(start):
        raise ModelFilesError(f"{path}: {instead}")
    is_named_safetensors = path.suffix == ".safetensors"
    try:
        if is_named_safetensors and (is_safetensors(start) or not start.startswith((ZIP, PICKLE))):
            return _safetensors(path)
        if not is_named_safetensors and zipfile.is_zipfile(path):
            return _zip(path)
    except (ValueError, KeyError, OSError, EOFError, struct.error, zipfile.BadZipFile) as error:
        raise ModelFilesError(f"{path}: damaged or truncated ({error})") from None
    except (pickle.UnpicklingError, AttributeError, IndexError, TypeError) as error:
        raise ModelFilesError(f"{path}: not a checkpoint that can be read ({error})") from None
    if start.startswith(ZIP) and not is_named_safetensors:
        raise ModelFilesError(
            f"{path}: truncated. It begins like a checkpoint of torch and has no end; fetch again"
        )
    return None


def _safetensors(path: Path) -> TensorList:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > LARGEST_HEADER:
            raise ValueError("its header has no sensible length")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    end = 8 + length + max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if path.stat().st_size != end:
        raise ValueError(f"it has {path.stat().st_size} bytes and its header says {end}")
    tensors = {
        name: Tensor(
            shape=tuple(entry["shape"]),
            dtype=SAFETENSORS_TYPES.get(entry["dtype"], entry["dtype"]),
        )
        for name, entry in header.items()
    }
    return TensorList(tensors=tensors)


def _zip(path: Path) -> TensorList | None:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        pickles = [name for name in names if name.endswith("data.pkl")]
        if pickles:
            return _pickled(archive.read(pickles[0]))
        arrays = [name for name in names if name.endswith(".npy")]
        tensors = {}
        for name in arrays:
            with archive.open(name) as file:
                tensors[name.removesuffix(".npy")] = _npy(file)
    return TensorList(tensors=tensors) if arrays else None


def _npy(file: Any) -> Tensor:
    version = np.lib.format.read_magic(file)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read(file)
    return Tensor(shape=shape, dtype=str(dtype))


class _Inert:
    """Takes the place of an object that is not a tensor; calls and settings do nothing."""

    state: Any = None

    def __new__(cls, *_: Any, **__: Any) -> Self:
        return object.__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        """Take any arguments."""

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        """Ignore an item."""

    def append(self, _: Any) -> None:
        """Ignore an item."""

    def extend(self, _: Any) -> None:
        """Ignore items."""


class _TensorUnpickler(pickle.Unpickler):
    """Builds Tensors and plain containers, and inert objects for everything else."""

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content))
        self.foreign: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            # a state dict is one with an attribute
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda tensor, *_: tensor
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        is_torchscript = module.startswith("__torch__")
        is_type = module == "torch" and name.startswith(("float", "int", "uint", "bfloat", "bool"))
        if (module, name) not in HARMLESS and not is_torchscript and not is_type:
            self.foreign.add(f"{module}.{name}")
        return _Inert

    def persistent_load(self, identifier: Any) -> Any:
        # ("storage", type, key, device, count)
        return identifier[1] if isinstance(identifier[1], str) else "unknown"


def _tensor(storage: Any, _offset: Any, shape: Any, *_: Any) -> Tensor:
    return Tensor(shape=tuple(int(size) for size in shape), dtype=str(storage))


def _pickled(content: bytes) -> TensorList:
    unpickler = _TensorUnpickler(content)
    body = unpickler.load()
    step = None
    if isinstance(body, dict):
        step = body.get("step") if isinstance(body.get("step"), int) else None
        inner = [body[key] for key in WRAPPERS if isinstance(body.get(key), dict)]
        body = inner[0] if inner else body
    return TensorList(
        tensors=dict(_tensors_in(body)), foreign=tuple(sorted(unpickler.foreign)), step=step
    )


def _tensors_in(value: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, _Inert):
        yield from _tensors_in(value.state, name)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _tensors_in(item, f"{name}.{key}" if name else str(key))
