"""Compare the runs of two folders bit by bit: prompts, their hashes, statuses, masks and scores.

    python benchmarks/compare_runs.py BEFORE AFTER

Both folders hold runs of the same names, of any format that umd reads. Exit code 1 if a run
differs or is missing.
"""

from __future__ import annotations

import sys
from pathlib import Path

from evaluator.runs.records import ScanRecord
from evaluator.runs.store import RunStore


def differences(before: RunStore, after: RunStore) -> list[str]:
    """What differs between two runs, one line each."""
    found = []
    prompts = [{case.case: case for case in store.all_prompts()} for store in (before, after)]
    if prompts[0].keys() != prompts[1].keys():
        found.append("cases with prompts differ")
    for case in prompts[0].keys() & prompts[1].keys():
        first, second = prompts[0][case], prompts[1][case]
        if (first.sha256, first.prompts) != (second.sha256, second.prompts):
            found.append(f"{case}: prompts differ")
    records = [{(r.case, r.modality): r for r in store.records()} for store in (before, after)]
    if records[0].keys() != records[1].keys():
        found.append("scans differ")
    for name in records[0].keys() & records[1].keys():
        found += compare_scan(before, after, records[0][name], records[1][name])
    return found


def compare_scan(
    before: RunStore, after: RunStore, first: ScanRecord, second: ScanRecord
) -> list[str]:
    """What differs between two records of a scan and their scores."""
    name = f"{first.case} {first.modality}"
    found = []
    for field in ("state", "reason", "grid", "missing_prompts", "stop_reasons", "clicks_sha256"):
        if getattr(first, field) != getattr(second, field):
            found.append(f"{name}: {field} differs")
    if len(first.rounds) != len(second.rounds):
        return [*found, f"{name}: number of rounds differs"]
    for a, b in zip(first.rounds, second.rounds, strict=True):
        for field in ("seed", "round", "request", "added", "targets"):
            if getattr(a, field) != getattr(b, field):
                found.append(f"{name} seed {a.seed} round {a.round}: {field} differs")
    scores = [store.scores(first.case, first.modality) for store in (before, after)]
    rows = [score.rows if score else () for score in scores]
    if rows[0] != rows[1]:
        found.append(f"{name}: scores differ")
    return found


def main() -> None:
    folders = [Path(argument) for argument in sys.argv[1:3]]
    names = [{path.parent.name for path in folder.glob("*/run.json")} for folder in folders]
    failed = names[0] != names[1]
    print(f"{len(names[0])} runs before, {len(names[1])} after")
    for name in sorted(names[0] & names[1]):
        before, after = (RunStore(folder / name) for folder in folders)
        found = differences(before, after)
        failed = failed or bool(found)
        rounds = [entry for record in before.records() for entry in record.rounds]
        masks = sum(len(record.masks()) for record in before.records())
        targets = sum(len(entry.targets) for entry in rounds)
        rows = 0
        for record in before.records():
            scores = before.scores(record.case, record.modality)
            rows += len(scores.rows) if scores else 0
        verdict = "; ".join(found[:5]) or "equal"
        print(f"{name}: {targets} predictions, {masks} masks, {rows} scores: {verdict}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
