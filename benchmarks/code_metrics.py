"""Figures of the code's shape: modules, import circles, untyped records, words, density, types.

``make code-metrics`` prints them for the checkout. ``--commit REV`` measures another commit,
and may be repeated to print several side by side. No threshold is enforced: the layers are the
only rule that ``make lint`` checks.

Definitions:

- loose modules: ``evaluator/*.py``, without ``__init__.py``.
- import circles: strongly connected groups of two or more modules of ``evaluator/``. Imports
  inside functions count, imports under ``TYPE_CHECKING`` do not (a second count includes them).
  An import of a package counts as an import of its ``__init__``.
- layers: entries of the first layers contract of import-linter.
- modules that index a record: modules of ``evaluator/`` that read a literal key of a run's JSON
  by subscript, ``.get`` or ``in``. See ``RecordReads`` for what counts as JSON of a run.
- content-free identifiers: tokens of type NAME that are one of ``WORDS``.
- nested comprehensions: comprehensions with two ``for`` or with a comprehension inside.
- functions: their lines, from ``def`` to the last statement. Returns: share of functions with
  an annotated return, in ``evaluator/``.

Content-free identifiers, nested comprehensions and long lines are counted over the folders
``evaluator models tests benchmarks``.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import subprocess
import tempfile
import tokenize
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.code_records import index_a_record

FOLDERS = ("evaluator", "models", "tests", "benchmarks")
WORDS = frozenset(
    "own one other made told found said known wanted asked kept whole both".split()  # noqa: SIM905
)
LONG_LINE, LONG_MODULE, LONG_FUNCTION = 100, 300, 60
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
Nodes = Callable[[ast.AST], Iterable[ast.AST]]

TITLES = {
    "modules": "modules in evaluator/",
    "lines": "lines of code",
    "loose_modules": "loose modules in evaluator/",
    "import_circles": "import circles",
    "type_circles": "import circles, imports for types included",
    "layers": "layers of import-linter",
    "record_indexers": "modules that index a record by string",
    "content_free": "content-free identifiers in 1,000 lines",
    "nested_comprehensions": "nested comprehensions in 1,000 lines",
    "long_lines": f"lines over {LONG_LINE} characters in 1,000",
    "long_modules": f"modules over {LONG_MODULE} lines, evaluator/",
    "long_functions": f"functions over {LONG_FUNCTION} lines, evaluator/",
    "typed_returns": "typed returns in evaluator/, %",
}


@dataclass(frozen=True)
class Source:
    """One Python file: its path in the checkout, its text, and its syntax tree."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def lines(self) -> int:
        return self.text.count("\n")

    @property
    def module(self) -> str:
        """The dotted name, ``evaluator.runs`` for ``evaluator/runs/__init__.py``."""
        parts = self.path.with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def main() -> None:
    """Print the figures of the checkout or of commits."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--commit", action="append", default=[], metavar="REV")
    parser.add_argument("--json", action="store_true", dest="as_json")
    parser.add_argument("--list", action="store_true", help="name the modules behind the counts")
    options = parser.parse_args()
    columns = {}
    for revision in options.commit:
        with tempfile.TemporaryDirectory() as folder:
            extract(revision, Path(folder))
            columns[revision] = measure(Path(folder))
    if not options.commit:
        columns["checkout"] = measure(Path())
    if not options.list:
        for figures in columns.values():
            del figures["details"]
    print(json.dumps(columns, indent=1) if options.as_json else table(columns))


def extract(revision: str, folder: Path) -> None:
    """Write the files of a commit into a folder."""
    archive = folder / "archive.tar"
    subprocess.run(["git", "archive", "-o", archive, revision], check=True)
    subprocess.run(["tar", "-xf", archive, "-C", folder], check=True)
    archive.unlink()


def measure(root: Path) -> dict[str, object]:
    """The figures of one checkout, keys as in ``TITLES``, and ``details`` with names."""
    sources = list(read_sources(root))
    evaluator = [source for source in sources if source.path.parts[0] == "evaluator"]
    lines = sum(source.lines for source in sources)
    circles = import_circles(evaluator, run_time_nodes)
    type_circles = import_circles(evaluator, ast.walk)
    indexers = sorted(index_a_record({source.module: source.tree for source in evaluator}))
    functions = []
    long_functions = []
    for source in evaluator:
        of_module = list(functions_of(source.tree))
        functions += of_module
        too_long = [node.name for node in of_module if length(node) > LONG_FUNCTION]
        long_functions += [f"{source.path}:{name}" for name in too_long]
    long_modules = [str(source.path) for source in evaluator if source.lines > LONG_MODULE]
    typed = sum(node.returns is not None for node in functions)
    loose = [s.path.name for s in evaluator if len(s.path.parts) == 2 and s.module != "evaluator"]

    def in_1000(counts: Iterator[int]) -> float:
        return round(1000 * sum(counts) / lines, 2)

    return {
        "modules": len(evaluator),
        "lines": lines,
        "loose_modules": len(loose),
        "import_circles": len(circles),
        "type_circles": len(type_circles),
        "layers": layers(root),
        "record_indexers": len(indexers),
        "content_free": in_1000(content_free(source.text) for source in sources),
        "nested_comprehensions": in_1000(nested(source.tree) for source in sources),
        "long_lines": in_1000(long_lines(source.text) for source in sources),
        "long_modules": len(long_modules),
        "long_functions": len(long_functions),
        "typed_returns": round(100 * typed / len(functions), 1),
        "details": {
            "loose_modules": loose,
            "import_circles": circles,
            "type_circles": type_circles,
            "record_indexers": indexers,
            "long_modules": long_modules,
            "long_functions": long_functions,
        },
    }


def read_sources(root: Path) -> Iterator[Source]:
    """Every Python file of ``FOLDERS`` that is there, in path order."""
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            yield Source(path=path.relative_to(root), text=text, tree=ast.parse(text))


def import_circles(sources: Sequence[Source], nodes: Nodes) -> list[list[str]]:
    """Groups of modules that import each other, directly or by way of others.

    Args:
        sources: the modules.
        nodes: gives the syntax nodes in which imports count.

    """
    names = {source.module for source in sources}
    graph = {}
    for source in sources:
        graph[source.module] = set(imports(nodes(source.tree), names)) - {source.module}
    reached = {name: reachable(graph, name) for name in graph}
    groups = set()
    for name in graph:
        circle = [module for module in reached[name] if name in reached[module]]
        groups.add(tuple(sorted(circle)))
    return [list(group) for group in sorted(groups) if len(group) > 1]


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    """Every module that ``start`` imports, directly or not; itself only when in a circle."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        new = graph[waiting.pop()] - seen
        seen |= new
        waiting.extend(new)
    return seen


def imports(nodes: Iterable[ast.AST], names: set[str]) -> Iterator[str]:
    """The modules of ``names`` that the nodes of a module import."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                if submodule in names:
                    yield submodule
                elif node.module in names:
                    yield node.module


def run_time_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those under ``if TYPE_CHECKING:``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        yield node
        yield from run_time_nodes(node)


def layers(root: Path) -> int:
    """How many entries the layers contract has."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    return next(len(item["layers"]) for item in contracts if item["type"] == "layers")


def content_free(text: str) -> int:
    """Identifiers without content in a module."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return sum(token.type == tokenize.NAME and token.string in WORDS for token in tokens)


def nested(tree: ast.Module) -> int:
    """Comprehensions with two ``for`` or with a comprehension inside."""
    return sum(isinstance(node, COMPREHENSIONS) and is_nested(node) for node in ast.walk(tree))


def is_nested(node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> bool:
    inner = (child for child in ast.walk(node) if child is not node)
    return len(node.generators) > 1 or any(isinstance(child, COMPREHENSIONS) for child in inner)


def long_lines(text: str) -> int:
    return sum(len(line) > LONG_LINE for line in text.split("\n"))


def functions_of(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, FUNCTIONS))


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def table(columns: dict[str, dict[str, object]]) -> str:
    """The figures as a Markdown table, one column for each commit; names below, if there."""
    rows = [["figure", *columns], ["---"] * (1 + len(columns))]
    for key, title in TITLES.items():
        rows.append([title, *(f"{figures[key]:,}" for figures in columns.values())])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    for name, figures in columns.items():
        if "details" in figures:
            lines += ["", name, json.dumps(figures["details"], indent=1)]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
