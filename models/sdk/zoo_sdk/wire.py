"""The container contract: a request, its targets and prompts, and the reply.

Standard library only and Python >= 3.8, because this file goes into every image. The evaluator
imports these types from here, so both sides of the wire share one definition
(``docs/contract.md`` describes it in prose).

Coordinates are always given twice: ``index`` counts voxels from 0 in the array order that nibabel
shows for the request's grid, ``ras_mm`` is the same place in world millimetres, RAS+ (+x is Right,
+y is Anterior, +z is Superior).
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Tuple

CONTRACT_VERSION = 1

#: Every way in which a prediction can end, as written in records and tables.
PREDICTION_STATUSES = (
    "ok",
    "missing",
    "crashed",
    "out-of-memory",
    "timeout",
    "wrong-shape",
    "wrong-affine",
    "wrong-values",
    "unsafe-file",
    "too-large",
    "unsupported",
    "error",
)

#: The statuses that a container may report for a target.
REPLY_STATUSES = ("ok", "unsupported", "error")

#: Prompt kinds a model card may name in ``umd.prompts``.
PROMPT_KINDS = ("point", "box", "scribble", "mask", "text")

Index = Tuple[int, int, int]
Millimetres = Tuple[float, float, float]
Affine = Tuple[Tuple[float, float, float, float], ...]


class WireError(ValueError):
    """A request or reply that does not follow the contract; the message names the field."""


@dataclass(frozen=True)
class Grid:
    """The voxel grid of the answer: ``shape`` in voxels, 4x4 ``affine`` from index to RAS+ mm."""

    shape: Index
    affine: Affine


@dataclass(frozen=True)
class Point:
    """One click: ``index`` on the request's grid, its world position ``ras_mm``, its ``round``."""

    index: Index
    ras_mm: Millimetres
    foreground: bool = True
    round: int = 0


@dataclass(frozen=True)
class Box:
    """A half-open box on the request's grid: ``low`` is inside, ``high`` is just outside."""

    low: Index
    high: Index


@dataclass(frozen=True)
class BoxMm:
    """The box before it is rounded to voxels: its middle, and its half axes as vectors, mm.

    The half axes lead from the middle to the middles of three faces. They are perpendicular if the
    axes of the grid are on which the box was chosen, which may be another image's.
    """

    centre: Millimetres
    half_axes: Tuple[Millimetres, Millimetres, Millimetres]


@dataclass(frozen=True)
class Target:
    """One requested structure and all its prompts so far (points of all rounds, oldest first)."""

    name: str
    text: Optional[str] = None
    points: Tuple[Point, ...] = ()
    box: Optional[Box] = None
    #: mask files on the grid, relative to the input folder
    scribble: Optional[str] = None
    previous: Optional[str] = None
    #: beside ``box``, for models whose card has umd.box=mm
    box_mm: Optional[BoxMm] = None


@dataclass(frozen=True)
class ImageFile:
    """One image: ``path`` relative to the input folder, ``unit`` HU, SUVbw or a.u. (arbitrary)."""

    path: str
    unit: str


@dataclass(frozen=True)
class Request:
    """One request to a model: image(s), the answer's grid, targets. ``case`` is a pseudonym."""

    id: str
    case: str
    round: int
    images: Mapping[str, ImageFile]  # by DICOM modality: CT, MR, PT
    grid: Grid
    targets: Tuple[Target, ...]
    contract: int = CONTRACT_VERSION
    #: options of the model's card, name -> value; an absent option has the card's default
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TargetReply:
    """A model's reply about one target. ``kind`` and ``message`` explain an ``error``."""

    status: str = "ok"
    kind: Optional[str] = None
    message: Optional[str] = None


@dataclass(frozen=True)
class Reply:
    """A model's reply to one request; all of it is optional, and its times are not trusted."""

    id: str = ""
    targets: Mapping[str, TargetReply] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    gpu_peak_bytes: Optional[int] = None
    notes: Mapping[str, Any] = field(default_factory=dict)


def dump_request(request: Request) -> Dict[str, Any]:
    """The request as plain JSON values, in the contract's order of keys.

    Options and boxes in millimetres are there only if there are any.
    """
    body = asdict(request)
    for target in body["targets"]:
        if target["box_mm"] is None:
            del target["box_mm"]
    keys = ("contract", "id", "case", "round", "images", "grid", "targets") + (
        ("options",) if request.options else ()
    )
    return {key: body[key] for key in keys}


def parse_request(body: Any) -> Request:
    """Read a request from parsed JSON; raises WireError naming the first field that is wrong."""
    _expect(isinstance(body, dict), "request", "a JSON object")
    _expect(
        body.get("contract") == CONTRACT_VERSION, "contract", "the number %d" % CONTRACT_VERSION
    )
    images = body.get("images")
    _expect(isinstance(images, dict) and images, "images", "an object with at least one modality")
    grid = _parse_grid(body.get("grid"))
    targets = body.get("targets")
    _expect(isinstance(targets, list) and targets, "targets", "a list with at least one target")
    options = body.get("options", {})
    _expect(isinstance(options, dict), "options", "an object of strings")
    return Request(
        id=_text(body.get("id"), "id"),
        case=_text(body.get("case"), "case"),
        round=_integer(body.get("round"), "round"),
        images={
            str(name): _parse_image(image, "images." + str(name)) for name, image in images.items()
        },
        grid=grid,
        targets=tuple(_parse_target(target, "targets[%d]" % n) for n, target in enumerate(targets)),
        options={
            str(name): _text(value, "options." + str(name)) for name, value in options.items()
        },
    )


def dump_reply(reply: Reply) -> Dict[str, Any]:
    """The reply as plain JSON values; empty fields are left out."""
    body = {
        "id": reply.id,
        "targets": {name: _dump_target_reply(target) for name, target in reply.targets.items()},
        "seconds": dict(reply.seconds),
        "gpu_peak_bytes": reply.gpu_peak_bytes,
        "notes": dict(reply.notes),
    }
    return {key: value for key, value in body.items() if value not in (None, {}, "")}


def _dump_target_reply(target: TargetReply) -> Dict[str, Any]:
    return {key: value for key, value in asdict(target).items() if value is not None}


def parse_reply(body: Any) -> Reply:
    """Read a reply from parsed JSON; raises WireError naming the first field that is wrong."""
    _expect(isinstance(body, dict), "reply", "a JSON object")
    targets = body.get("targets", {})
    _expect(isinstance(targets, dict), "targets", "an object")
    seconds = body.get("seconds", {})
    _expect(isinstance(seconds, dict), "seconds", "an object of numbers")
    peak = body.get("gpu_peak_bytes")
    _expect(peak is None or _is_integer(peak), "gpu_peak_bytes", "an integer")
    notes = body.get("notes", {})
    _expect(isinstance(notes, dict), "notes", "an object")
    return Reply(
        id=_text(body.get("id", ""), "id"),
        targets={
            str(name): _parse_target_reply(target, str(name)) for name, target in targets.items()
        },
        seconds={
            str(name): _number(value, "seconds." + str(name)) for name, value in seconds.items()
        },
        gpu_peak_bytes=peak,
        notes=notes,
    )


def _parse_grid(body: Any) -> Grid:
    _expect(isinstance(body, dict), "grid", "an object")
    affine = body.get("affine")
    _expect(
        isinstance(affine, list) and len(affine) == 4, "grid.affine", "four rows of four numbers"
    )
    rows: List[Tuple[float, float, float, float]] = []
    for row in affine:
        _expect(isinstance(row, list) and len(row) == 4, "grid.affine", "four rows of four numbers")
        a, b, c, d = (_number(value, "grid.affine") for value in row)
        rows.append((a, b, c, d))
    return Grid(shape=_index(body.get("shape"), "grid.shape"), affine=tuple(rows))


def _parse_image(body: Any, where: str) -> ImageFile:
    _expect(isinstance(body, dict), where, "an object with path and unit")
    return ImageFile(
        path=_text(body.get("path"), where + ".path"), unit=_text(body.get("unit"), where + ".unit")
    )


def _parse_target(body: Any, where: str) -> Target:
    _expect(isinstance(body, dict), where, "an object")
    points = body.get("points") or []
    _expect(isinstance(points, list), where + ".points", "a list")
    box, box_mm = body.get("box"), body.get("box_mm")
    return Target(
        name=_text(body.get("name"), where + ".name"),
        text=_optional_text(body.get("text"), where + ".text"),
        points=tuple(
            _parse_point(point, "%s.points[%d]" % (where, n)) for n, point in enumerate(points)
        ),
        box=None if box is None else _parse_box(box, where + ".box"),
        scribble=_optional_text(body.get("scribble"), where + ".scribble"),
        previous=_optional_text(body.get("previous"), where + ".previous"),
        box_mm=None if box_mm is None else _parse_box_mm(box_mm, where + ".box_mm"),
    )


def _parse_point(body: Any, where: str) -> Point:
    _expect(isinstance(body, dict), where, "an object")
    x, y, z = _millimetres(body.get("ras_mm"), where + ".ras_mm")
    foreground = body.get("foreground", True)
    _expect(isinstance(foreground, bool), where + ".foreground", "true or false")
    index = _index(body.get("index"), where + ".index")
    return Point(index, (x, y, z), foreground, _integer(body.get("round", 0), where + ".round"))


def _parse_box(body: Any, where: str) -> Box:
    _expect(isinstance(body, dict), where, "an object with low and high")
    return Box(
        low=_index(body.get("low"), where + ".low"), high=_index(body.get("high"), where + ".high")
    )


def _parse_box_mm(body: Any, where: str) -> BoxMm:
    _expect(isinstance(body, dict), where, "an object with centre and half_axes")
    axes = body.get("half_axes")
    _expect(isinstance(axes, list) and len(axes) == 3, where + ".half_axes", "three vectors")
    first, second, third = (_millimetres(axis, where + ".half_axes") for axis in axes)
    return BoxMm(
        centre=_millimetres(body.get("centre"), where + ".centre"),
        half_axes=(first, second, third),
    )


def _millimetres(value: Any, where: str) -> Millimetres:
    _expect(isinstance(value, list) and len(value) == 3, where, "three numbers")
    x, y, z = (_number(coordinate, where) for coordinate in value)
    return (x, y, z)


def _parse_target_reply(body: Any, name: str) -> TargetReply:
    where = "targets." + name
    _expect(isinstance(body, dict), where, "an object")
    status = body.get("status", "ok")
    _expect(status in REPLY_STATUSES, where + ".status", "one of " + ", ".join(REPLY_STATUSES))
    return TargetReply(
        status,
        _optional_text(body.get("kind"), where + ".kind"),
        _optional_text(body.get("message"), where + ".message"),
    )


def _index(value: Any, where: str) -> Index:
    _expect(
        isinstance(value, list) and len(value) == 3 and all(map(_is_integer, value)),
        where,
        "three integers",
    )
    return (value[0], value[1], value[2])


def _integer(value: Any, where: str) -> int:
    _expect(_is_integer(value), where, "an integer")
    return int(value)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any, where: str) -> float:
    _expect(isinstance(value, (int, float)) and not isinstance(value, bool), where, "a number")
    return float(value)


def _text(value: Any, where: str) -> str:
    _expect(isinstance(value, str), where, "a string")
    return str(value)


def _optional_text(value: Any, where: str) -> Optional[str]:
    return None if value is None else _text(value, where)


def _expect(holds: Any, where: str, what: str) -> None:
    if not holds:
        raise WireError("%s: expected %s" % (where, what))
