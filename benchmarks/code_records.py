"""Which modules index the JSON of a run by string: a small analysis of data flow in syntax trees.

Inside one function, a value is JSON of a run when it is

- the result of a reader: ``read_json(...)``, ``store.about()``, ``store.records()``, or any
  function of the package that returns ``Json``, or an iterable of it;
- a parameter or variable annotated with ``Json``, ``dict[str, Any]`` or ``Mapping[str, Any]``,
  or an iterable of these;
- an attribute named ``about`` or ``record``;
- a part of such a value: an element, an item of a loop, a result of ``.get``, ``.values`` or
  ``.items``, or a name that one of these is assigned to.

A module indexes a record when it reads a literal key of ``KEYS`` from such a value, by
subscript, ``.get`` or ``in``. ``KEYS`` are the keys of run.json, records, prompts and scores.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

READERS = frozenset({"about", "records", "read_json"})
ATTRIBUTES = frozenset({"about", "record"})
# functions and methods whose result is JSON when what they are called on, or with, is
PASSING = frozenset(
    {"get", "values", "items", "copy", "next", "sorted", "list", "reversed", "iter", "enumerate"}
)
JSON_TYPE = re.compile(r"\bJson\b|\b(dict|Mapping)\[str, (Any|object)\]")

# Keys of run.json, records, prompts and scores. Left out are those that data frames, check records
# and bundles have as well: files, status, target, modality, seconds, clicks, sha256, key, host,
# weights.
KEYS = frozenset(
    """
    identity dataset dataset_title dataset_source dataset_sha256 data_root protocol protocol_source
    protocol_sha256 contract options card engine isolates synthetic prompt_kind prompts
    replayed_run salt gpus started seeds command
    case subject pair session state reason grid rounds no_prompt missing_prompts
    stop_reasons seed round request load_seconds reply added notes mask voxels detail
    displacement_mm points box ras_mm foreground text text_of anchor rows
    """.split()  # noqa: SIM905
)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def index_a_record(trees: Mapping[str, ast.Module]) -> Iterator[str]:
    """The names of the modules that index a record."""
    readers = set(READERS)
    for tree in trees.values():
        readers |= {
            node.name
            for node in ast.walk(tree)
            if isinstance(node, FUNCTIONS) and node.returns and _is_json_type(node.returns)
        }
    for name, tree in trees.items():
        if any(_reads(tree, readers)):
            yield name


def _reads(tree: ast.Module, readers: set[str]) -> Iterator[str]:
    """The keys that a module reads from JSON of a run."""
    for function in (node for node in ast.walk(tree) if isinstance(node, FUNCTIONS)):
        values = _json_names(function, readers)
        for node in ast.walk(function):
            base, key = _access(node)
            if key in KEYS and base is not None and _is_json(base, values, readers):
                yield key


def _access(node: ast.AST) -> tuple[ast.expr | None, str]:
    """What a node reads a literal key of, and the key."""
    match node:
        case ast.Subscript(value=base, slice=ast.Constant(value=str(key)), ctx=ast.Load()):
            return base, key
        case ast.Call(
            func=ast.Attribute(value=base, attr="get"), args=[ast.Constant(value=str(key)), *_]
        ):
            return base, key
        case ast.Compare(
            left=ast.Constant(value=str(key)), ops=[ast.In() | ast.NotIn()], comparators=[base]
        ):
            return base, key
    return None, ""


def _json_names(function: ast.FunctionDef | ast.AsyncFunctionDef, readers: set[str]) -> set[str]:
    """The names that hold JSON of a run somewhere in a function."""
    arguments = function.args
    every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    names = {item.arg for item in every if item.annotation and _is_json_type(item.annotation)}
    before = -1
    while len(names) != before:
        before = len(names)
        for node in ast.walk(function):
            for target, value in _assignments(node):
                if _is_json(value, names, readers):
                    names |= {part.id for part in ast.walk(target) if isinstance(part, ast.Name)}
    return names


def _assignments(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    match node:
        case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
            yield from zip(targets, values, strict=False)
        case ast.Assign(targets=targets, value=value):
            yield from ((target, value) for target in targets)
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            yield target, value
        case ast.NamedExpr(target=target, value=value):
            yield target, value
        case ast.For(target=target, iter=value) | ast.comprehension(target=target, iter=value):
            yield target, value


def _is_json(node: ast.expr, names: set[str], readers: set[str]) -> bool:
    """Whether an expression is JSON of a run, or an iterable of it."""
    match node:
        case ast.Name(id=name):
            return name in names
        case ast.Attribute(attr=name):
            return name in ATTRIBUTES
        case ast.Subscript(value=base) | ast.Starred(value=base):
            return _is_json(base, names, readers)
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in readers:
            return True
        case ast.Call(func=ast.Attribute(value=base, attr=name)) if name in PASSING:
            return _is_json(base, names, readers)
        case ast.Call(func=ast.Name(id=name), args=[first, *_]) if name in PASSING:
            return _is_json(first, names, readers)
        case ast.BoolOp(values=values):
            return any(_is_json(value, names, readers) for value in values)
        case ast.IfExp(body=first, orelse=second):
            return _is_json(first, names, readers) or _is_json(second, names, readers)
        case ast.GeneratorExp(elt=element) | ast.ListComp(elt=element):
            return _is_json(element, names, readers)
        case ast.DictComp(value=element):
            return _is_json(element, names, readers)
    return False


def _is_json_type(annotation: ast.expr) -> bool:
    return bool(JSON_TYPE.search(ast.unparse(annotation)))
