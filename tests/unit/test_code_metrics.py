"""The figures of the code's shape count what their definitions say."""

from __future__ import annotations

import ast
from pathlib import Path

from benchmarks.code_metrics import (
    Source,
    content_free,
    import_circles,
    long_lines,
    nested,
    run_time_nodes,
)
from benchmarks.code_records import index_a_record

ROOT = Path(__file__).parents[2]


def sources(**texts: str) -> list[Source]:
    paths = {name: Path("evaluator", f"{name}.py") for name in texts}
    return [Source(path=paths[n], text=text, tree=ast.parse(text)) for n, text in texts.items()]


def test_circles_of_imports():
    modules = sources(
        a="from evaluator.b import x",
        b="def f():\n    import evaluator.c",
        c="from evaluator import a",
        d="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from evaluator import e",
        e="from evaluator import d",
    )
    circle = ["evaluator.a", "evaluator.b", "evaluator.c"]
    assert import_circles(modules, run_time_nodes) == [circle]
    assert import_circles(modules, ast.walk) == [circle, ["evaluator.d", "evaluator.e"]]


def test_modules_that_index_a_record():
    modules = {
        "direct": "def f(store):\n    return store.about()['identity']",
        "annotated": "def f(body: Json):\n    return body.get('rounds', ())",
        "by_loop": "def f(store):\n    return [e['rounds'] for e in store.records()]",
        "by_name": "def f(path):\n    body = read_json(path)\n    return 'rounds' in body",
        "by_return": "def load() -> Json:\n    ...\ndef f():\n    return load()['salt']",
        "frame": "def f(frame):\n    return frame['case']",
        "other_key": "def f(path):\n    return read_json(path)['sha256']",
    }
    indexers = index_a_record({name: ast.parse(text) for name, text in modules.items()})
    assert set(indexers) == {"direct", "annotated", "by_loop", "by_name", "by_return"}


def test_density():
    assert content_free("own = 1  # own\nname = 'own'\nprint(own)\n") == 2
    assert nested(ast.parse("[x for x in y]\n[x for y in z for x in y]\n{f(a for a in b)}")) == 1
    assert nested(ast.parse("[max(a for a in b) for b in c]")) == 1
    assert long_lines(f"{'x' * 100}\n{'x' * 101}\n") == 1


def test_only_the_run_folder_knows_the_keys_of_its_files():
    paths = (ROOT / "evaluator").rglob("*.py")
    trees = {str(path.relative_to(ROOT)): ast.parse(path.read_text("utf-8")) for path in paths}
    assert set(index_a_record(trees)) <= {"evaluator/runs/json_types.py", "evaluator/runs/store.py"}
