"""Compare the runs of two folders bit by bit: prompts, their hashes, statuses, masks and scores.

    python benchmarks/compare_runs.py BEFORE AFTER

Both folders hold runs of the same names, of any format that umd reads. Exit code 1 if a run
differs or is missing.
"""

from __future__ import annotations

import sys
from itertools import chain
from pathlib import Path

from evaluator.runs.records import CasePrompts, ScanRecord
from evaluator.runs.store import RunStore
from evaluator.types import Modality


def differences(before: RunStore, after: RunStore) -> list[str]:
    """What differs between two runs, one line each."""
    messages = []
    prompts, prompts_after = (prompts_by_case(store) for store in (before, after))
    if prompts.keys() != prompts_after.keys():
        messages.append("cases with prompts differ")
    for case in prompts.keys() & prompts_after.keys():
        first, second = prompts[case], prompts_after[case]
        if (first.sha256, first.prompts) != (second.sha256, second.prompts):
            messages.append(f"{case}: prompts differ")
    records, records_after = (records_by_scan(store) for store in (before, after))
    if records.keys() != records_after.keys():
        messages.append("scans differ")
    for name in records.keys() & records_after.keys():
        messages += compare_scan(before, after, records[name], records_after[name])
    return messages


def prompts_by_case(store: RunStore) -> dict[str, CasePrompts]:
    return {case.case: case for case in store.all_prompts()}


def records_by_scan(store: RunStore) -> dict[tuple[str, Modality], ScanRecord]:
    return {(record.case, record.modality): record for record in store.records()}


def compare_scan(
    before: RunStore, after: RunStore, first: ScanRecord, second: ScanRecord
) -> list[str]:
    """What differs between two records of a scan and their scores."""
    name = f"{first.case} {first.modality}"
    messages = []
    for field in ("state", "reason", "grid", "missing_prompts", "stop_reasons", "clicks_sha256"):
        if getattr(first, field) != getattr(second, field):
            messages.append(f"{name}: {field} differs")
    if len(first.rounds) != len(second.rounds):
        return [*messages, f"{name}: number of rounds differs"]
    for a, b in zip(first.rounds, second.rounds, strict=True):
        for field in ("seed", "round", "request", "added", "targets"):
            if getattr(a, field) != getattr(b, field):
                messages.append(f"{name} seed {a.seed} round {a.round}: {field} differs")
    scores = [store.scores(first.case, first.modality) for store in (before, after)]
    rows = [score.rows if score else () for score in scores]
    if rows[0] != rows[1]:
        messages.append(f"{name}: scores differ")
    return messages


def run_names(folder: Path) -> set[str]:
    return {path.parent.name for path in folder.glob("*/run.json")}


def main() -> None:
    folders = [Path(argument) for argument in sys.argv[1:3]]
    names, names_after = (run_names(folder) for folder in folders)
    failed = names != names_after
    print(f"{len(names)} runs before, {len(names_after)} after")
    for name in sorted(names & names_after):
        before, after = (RunStore(folder / name) for folder in folders)
        messages = differences(before, after)
        failed = failed or bool(messages)
        masks = sum(len(record.masks()) for record in before.records())
        rounds = chain.from_iterable(record.rounds for record in before.records())
        targets = sum(len(entry.targets) for entry in rounds)
        rows = 0
        for record in before.records():
            scores = before.scores(record.case, record.modality)
            rows += len(scores.rows) if scores else 0
        verdict = "; ".join(messages[:5]) or "equal"
        print(f"{name}: {targets} predictions, {masks} masks, {rows} scores: {verdict}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
