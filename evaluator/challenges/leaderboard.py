"""The leaderboard of a challenge, from signed results, as far as an audience may see it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from evaluator.challenges.leaderboard_candidates import choose, ranked_metrics, read_candidates
from evaluator.challenges.leaderboard_ranking import adjust_gaps, rank_entries
from evaluator.challenges.leaderboard_records import Board, Entry, HistoryEntry, Leaderboard
from evaluator.challenges.leaderboard_scores import (
    detailed_estimates,
    make_score_table,
    modality_gaps,
    overall_estimates,
)
from evaluator.challenges.queries import as_team_sees, statuses
from evaluator.challenges.signing import load_public_key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from evaluator.challenges.definition import Phase, Ranking, Track
    from evaluator.challenges.leaderboard_candidates import Candidate
    from evaluator.challenges.leaderboard_scores import ScoreTable
    from evaluator.challenges.opening import OpenChallenge
    from evaluator.challenges.states import Status


def leaderboard_data(
    challenge: OpenChallenge,
    *,
    organiser: bool = False,
    team: str | None = None,
    now: datetime | None = None,
) -> Leaderboard:
    """The boards of all tracks and phases. Equal inputs give an equal leaderboard.

    Everybody sees the scored submissions of phases whose scores are shown. A team also sees the
    states of its other submissions, and why they have them. The organiser sees everything.

    Args:
        challenge: whose results are ranked.
        organiser: everything is shown.
        team: the audience is this team; None: the public.
        now: the time; None: by this machine's clock.

    Raises:
        HostError: the database does not answer.
        DamagedFileError: the log cannot be read.
    """
    definition, ranking = challenge.definition, challenge.definition.ranking
    moment = now or datetime.now(UTC)
    present = statuses(challenge)
    if not organiser:
        present = [as_team_sees(status) for status in present]
    boards = []
    for phase in reversed(definition.phases):
        is_shown = organiser or phase.shows_scores(moment)
        for track in definition.tracks:
            of_board = [s for s in present if (s.track, s.phase) == (track.name, phase.name)]
            empty = _empty_board(track, phase)
            if not is_shown:
                boards.append(_hidden_board(empty, phase, of_board, team))
                continue
            candidates = read_candidates(challenge, of_board, ranking)
            chosen = frozenset(c.status.id for c in choose(candidates, ranking))
            history = _histories(of_board, candidates, chosen, organiser=organiser, team=team)
            boards.append(_board(empty, candidates, history, ranking))
    audience = "organiser" if organiser else f"team {team}" if team is not None else "public"
    return Leaderboard(
        challenge=definition.name,
        title=definition.title,
        description=definition.description,
        contact=definition.contact,
        audience=audience,
        as_of=_last_change(challenge),
        order=ranking.order,
        counts=ranking.counts,
        failures=ranking.failures,
        baseline=ranking.baseline or "",
        resamples=ranking.resamples,
        seed=ranking.seed,
        boards=tuple(boards),
    )


def write_leaderboard(
    challenge: OpenChallenge,
    folder: Path,
    *,
    organiser: bool = False,
    now: datetime | None = None,
) -> Path:
    """Write the leaderboard as a static site with ``leaderboard.json``.

    Args:
        challenge: whose results are ranked.
        folder: to write; an earlier leaderboard there is replaced.
        organiser: everything is shown; otherwise what the public may see.
        now: the time; None: by this machine's clock.

    Returns:
        the file to open.

    Raises:
        UserError: the folder exists and is no leaderboard, or the public key is missing.
        HostError: it cannot be written.
    """
    from evaluator.challenges.leaderboard_site import write_site

    key = challenge.folder.public_key
    load_public_key(key)  # refuses what no reader could use, such as a private key
    data = leaderboard_data(challenge, organiser=organiser, now=now)
    return write_site(data, folder, public_key=key.read_bytes())


def _last_change(challenge: OpenChallenge) -> str:
    time = ""
    for event in challenge.folder.log.events():
        if event.submission or event.event == "created":  # not who signed in at the portal
            time = event.time
    return time


def _empty_board(track: Track, phase: Phase) -> Board:
    return Board(
        track=track.name,
        title=track.title,
        phase=phase.name,
        modalities=tuple(map(str, track.modalities)),
        prompts=tuple(map(str, track.prompts)),
    )


def _hidden_board(empty: Board, phase: Phase, present: Sequence[Status], team: str | None) -> Board:
    """The board of a phase whose scores the audience may not see."""
    reason = "Scores of this phase are not shown."
    if phase.embargo is not None:
        reason = f"Scores of this phase are shown from {phase.embargo.isoformat()}."
    history = [_history(status, None) for status in present if status.team == team]
    return replace(empty, reason=reason, history=tuple(history))


def _board(
    empty: Board,
    candidates: Sequence[Candidate],
    history: tuple[HistoryEntry, ...],
    rule: Ranking,
) -> Board:
    """The board with its ranking; the baseline is shown last and not ranked."""
    chosen = choose(candidates, rule)
    results = [candidate.result for candidate in chosen if candidate.result is not None]
    if not results:
        what = "that can be ranked" if candidates else "yet"
        return replace(empty, reason=f"No submission has a result {what}.", history=history)
    metrics, teams = ranked_metrics(rule), sum(not c.is_baseline for c in chosen)
    table = make_score_table(results, metrics)
    entries = adjust_gaps(
        [_entry(candidate, table, number, rule) for number, candidate in enumerate(chosen)]
    )
    of_teams = make_score_table(results[:teams], metrics)
    ranked = rank_entries(entries[:teams], of_teams, rule)
    return replace(
        empty,
        remarks=(*ranked.remarks, *_remarks(candidates, chosen, rule)),
        metrics=metrics,
        submissions=sum(not candidate.is_baseline for candidate in candidates),
        teams=teams,
        subjects=len(table.subjects),
        tasks=ranked.tasks,
        tau=ranked.tau,
        tau_between=ranked.tau_between,
        dataset_sha256=results[0].digests.dataset,
        protocol_sha256=results[0].digests.protocol,
        entries=(*ranked.entries, *entries[teams:]),
        pairs=ranked.pairs,
        history=history,
    )


def _entry(candidate: Candidate, table: ScoreTable, number: int, rule: Ranking) -> Entry:
    result = candidate.result
    assert result is not None  # chosen candidates have one
    options = {"resamples": rule.resamples, "seed": rule.seed}
    counted = Counter(str(score.counts_as) for score in result.scores)
    return Entry(
        team=result.team,
        submission=result.submission,
        version=result.version,
        result_sha256=candidate.sha256,
        image=result.digests.image,
        received=result.received,
        scored=result.scored,
        scores=overall_estimates(table, number, **options),
        details=detailed_estimates(table, number, **options),
        gaps=modality_gaps(table, number, **options),
        times=result.times,
        predictions=dict(sorted(result.predictions.items())),
        counts_as=dict(sorted(counted.items())),
        reproducibility=result.reproducibility,
        synthetic=result.synthetic,
        random_weights=result.random_weights,
        image_blind=result.image_blind,
        isolates=result.isolates,
        warnings=result.warnings,
    )


def _remarks(
    candidates: Sequence[Candidate], chosen: Sequence[Candidate], rule: Ranking
) -> tuple[str, ...]:
    remarks = []
    unranked = sum(bool(candidate.reason) for candidate in candidates)
    if unranked:
        count = "1 result is" if unranked == 1 else f"{unranked} results are"
        remarks.append(
            f"{count} not ranked, since data, protocol, scorer or rules have changed or a "
            "signature is wrong; the list of submissions says why."
        )
    if rule.counts == "best" and len(candidates) > len(chosen):
        remarks.append("The best of several submissions of a team scores higher by chance.")
    return tuple(remarks)


def _histories(
    present: Sequence[Status],
    candidates: Sequence[Candidate],
    chosen: frozenset[str],
    *,
    organiser: bool,
    team: str | None,
) -> tuple[HistoryEntry, ...]:
    """The submissions that the audience may see: scored ones, and a team's other ones."""
    by_id = {candidate.status.id: candidate for candidate in candidates}
    entries = []
    for status in present:
        candidate = by_id.get(status.id)
        is_public = candidate is not None and candidate.result is not None
        if is_public or organiser or status.team == team:
            entry = _history(status, candidate)
            entries.append(replace(entry, counts=status.id in chosen))
    return tuple(entries)


def _history(status: Status, candidate: Candidate | None) -> HistoryEntry:
    received = datetime.fromtimestamp(status.received, UTC).isoformat(timespec="seconds")
    result = candidate.result if candidate else None
    scores = {}
    for total in result.totals if result else ():
        if not total.modality:
            scores[total.metric] = total.value
    return HistoryEntry(
        submission=status.id,
        team=status.team,
        received=received,
        state=status.state,
        fault=status.fault,
        detail=status.detail,
        version=result.version if result else 0,
        scores=scores,
        reason=candidate.reason if candidate else "",
    )
