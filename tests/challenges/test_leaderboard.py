"""The leaderboard: places, intervals, groups and what an audience may see, by other means."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap, rankdata

from evaluator.challenges.actions import disqualify
from evaluator.challenges.indistinct_groups import group_letters, indistinct_groups
from evaluator.challenges.leaderboard import leaderboard_data, write_leaderboard
from evaluator.challenges.leaderboard_tables import detail_tables
from evaluator.challenges.opening import open_challenge
from evaluator.challenges.results import newest_result
from evaluator.errors import UserError
from evaluator.report.tables import NOTHING
from tests.challenges.scored_submissions import (
    Scored,
    add_scored,
    random_scores,
    toy_challenge,
)

TEAMS = {"ash": 0.85, "birch": 0.8, "cedar": 0.79, "dogwood": 0.5}


def board_of(challenge, **options):
    return leaderboard_data(challenge, **options).boards[0]


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    """Four teams and a baseline; the first team has an earlier, weaker submission."""
    challenge = toy_challenge(tmp_path_factory.mktemp("four") / "challenge")
    scored = [Scored(team, random_scores(n, q)) for n, (team, q) in enumerate(TEAMS.items())]
    baseline = Scored("baseline", random_scores(9, 0.95))
    add_scored(challenge, [Scored("ash", random_scores(7, 0.1)), baseline, *scored])
    add_scored(challenge, [Scored("elm", random_scores(1, 0.1), fault="team")])
    yield challenge
    challenge.close()


def values_of(team):
    number = list(TEAMS).index(team)
    return random_scores(number, TEAMS[team])


@pytest.mark.parametrize("order", ["rank-then-aggregate", "aggregate-then-rank"])
def test_places_equal_those_by_hand(four, order):
    rule = four.definition.ranking.model_copy(update={"order": order})
    definition = four.definition.model_copy(update={"ranking": rule})
    board = board_of(replace(four, definition=definition))
    stack = np.stack([values_of(team) for team in TEAMS])
    if order == "aggregate-then-rank":
        expected = rankdata(-stack.mean(axis=4), axis=0).mean(axis=(1, 2, 3))
    else:
        expected = rankdata(-stack, axis=0).mean(axis=(1, 2, 3, 4))
    found = {entry.team: entry for entry in board.entries}
    for team, mean_rank in zip(TEAMS, expected, strict=True):
        assert found[team].mean_rank == pytest.approx(mean_rank, abs=1e-6)
    places = dict(zip(TEAMS, rankdata(np.round(expected, 9), method="min"), strict=True))
    assert {team: found[team].place for team in TEAMS} == places
    # the baseline is shown last and not ranked, though it is the best
    assert board.entries[-1].team == "baseline"
    assert board.entries[-1].place is None
    assert board.teams == 4
    for entry in board.entries[:-1]:
        assert sum(entry.places) == pytest.approx(1)
        assert entry.place_low <= entry.place <= entry.place_high


def exact_p(differences):
    """Wilcoxon's signed-rank test by all signs, zeros ranked as Pratt does."""
    differences = np.round(differences, 9)
    ranks = rankdata(np.abs(differences)) * (differences != 0)
    observed = abs((ranks * np.sign(differences)).sum())
    sums = [abs((ranks * signs).sum()) for signs in product((-1, 1), repeat=len(ranks))]
    return np.mean(np.array(sums) >= observed - 1e-9)


def test_pairs_and_groups_equal_wilcoxon_with_holm(four):
    board = board_of(four)
    ranks = rankdata(-np.stack([values_of(team) for team in TEAMS]), axis=0).mean(axis=(1, 2, 3))
    raw = {pair: exact_p(ranks[pair[0]] - ranks[pair[1]]) for pair in combinations(range(4), 2)}
    adjusted, largest = {}, 0.0
    for step, pair in enumerate(sorted(raw, key=raw.get)):
        largest = max(largest, min(raw[pair] * (6 - step), 1.0))
        adjusted[pair] = largest
    ids = {entry.team: entry.submission for entry in board.entries}
    names = [ids[team] for team in TEAMS]
    found = {frozenset((pair.better, pair.worse)): pair.p_holm for pair in board.pairs}
    assert len(found) == 6
    for (i, j), p in adjusted.items():
        assert found[frozenset((names[i], names[j]))] == pytest.approx(p, abs=1e-6)
    letters = {entry.submission: set(entry.groups) for entry in board.entries[:-1]}
    for pair in board.pairs:
        is_apart = pair.p_holm < 0.05
        assert bool(letters[pair.better] & letters[pair.worse]) != is_apart
    assert letters[names[1]] & letters[names[2]]
    assert not letters[names[0]] & letters[names[3]]


def test_scores_are_the_totals_of_the_results_with_bootstrap_intervals(four):
    board = board_of(four)
    entry = board.entries[0]
    result = newest_result(four.folder.submission(entry.submission))
    totals = {total.metric: total.value for total in result.totals if not total.modality}
    assert {score.metric: score.value for score in entry.scores} == totals
    by_subject = values_of(entry.team)[0].mean(axis=1).mean(axis=0)
    plain = bootstrap((by_subject,), np.mean, method="BCa", random_state=1).confidence_interval
    dice = entry.scores[0]
    assert dice.low == pytest.approx(plain.low, abs=0.03)
    assert dice.high == pytest.approx(plain.high, abs=0.03)
    assert dice.high - dice.low > plain.high - plain.low  # expanded for few subjects
    gap = next(gap for gap in entry.gaps if gap.metric == "nsd")
    ct, pet = values_of(entry.team)[1].mean(axis=1)
    assert gap.difference == pytest.approx((ct - pet).mean(), abs=1e-6)
    details = {(d.metric, d.modality, d.target): d.value for d in entry.details}
    assert details["dice", "PT", "spleen"] == pytest.approx(
        values_of(entry.team)[0, 1, 1].mean(), abs=1e-6
    )


def test_the_newest_counts_or_the_best(tmp_path):
    for rule, expected in (("newest", 0.3), ("best", 0.9)):
        lines = f'counts = "{rule}"\nresamples = 20'
        challenge = toy_challenge(tmp_path / rule, ranking=lines)
        flat = [np.full((2, 2, 2, 6), value) for value in (0.5, 0.9, 0.3)]
        add_scored(challenge, [Scored("ash", values) for values in flat])
        board = board_of(challenge)
        (entry,) = board.entries
        assert entry.scores[0].value == expected
        assert [submission.counts for submission in board.history].count(True) == 1
        assert any("by chance" in remark for remark in board.remarks) == (rule == "best")
        challenge.close()


def test_ties_share_a_place_and_a_letter(tmp_path):
    challenge = toy_challenge(tmp_path / "c", ranking="resamples = 20")
    values = random_scores(1, 0.8)
    add_scored(challenge, [Scored(team, values) for team in ("birch", "ash", "cedar")])
    board = board_of(challenge)
    assert [(e.team, e.place, e.groups) for e in board.entries] == [
        ("ash", 1, "a"),
        ("birch", 1, "a"),
        ("cedar", 1, "a"),
    ]
    assert {pair.p_holm for pair in board.pairs} == {1.0}
    challenge.close()


def test_lower_is_better_and_weights_take_effect(tmp_path):
    challenge = toy_challenge(tmp_path / "c", ranking="resamples = 20")
    path = challenge.folder.path / "challenge.toml"
    text = path.read_text()
    challenge.close()
    places = {}
    for weight in (0.5, 3.0):
        line = f'metrics = [{{ name = "dice" }}, {{ name = "hd95", weight = {weight} }}]'
        start = text.index("metrics = ")
        path.write_text(text[:start] + line + text[text.index("\n", start) :])
        challenge = open_challenge(path.parent)
        if not challenge.folder.ids():
            good_dice = np.stack([np.full((2, 2, 6), 0.9), np.full((2, 2, 6), 9.0)])
            good_distance = np.stack([np.full((2, 2, 6), 0.8), np.full((2, 2, 6), 2.0)])
            add_scored(challenge, [Scored("ash", good_dice), Scored("birch", good_distance)])
        places[weight] = [entry.team for entry in board_of(challenge).entries]
        challenge.close()
    assert places == {0.5: ["ash", "birch"], 3.0: ["birch", "ash"]}


def test_missing_scores_are_left_out_and_never_zero(tmp_path):
    challenge = toy_challenge(tmp_path / "c", ranking="resamples = 20")
    full, partial = np.full((2, 2, 2, 6), 0.5), np.full((2, 2, 2, 6), 0.4)
    full[:, :, 0, 0] = 0.0  # would cost the first place if it counted alone
    partial[:, :, 0, 0] = np.nan
    add_scored(challenge, [Scored("ash", full), Scored("birch", partial)])
    board = board_of(challenge)
    assert [entry.team for entry in board.entries] == ["ash", "birch"]
    assert board.entries[0].mean_rank == 1
    liver = next(d for d in board.entries[1].details if (d.modality, d.target) == ("CT", "liver"))
    assert (liver.value, liver.subjects) == (0.4, 5)
    challenge.close()


def test_scores_stand_below_their_modality_and_target(tmp_path):
    challenge = toy_challenge(tmp_path / "c", ranking="resamples = 20")
    partial, full = (
        np.arange(8.0).reshape(1, 2, 2, 2).repeat(2, axis=0) / 10 + team for team in (10, 0)
    )
    partial[:, 0, 1] = np.nan  # no score of the spleen in CT, and the first place
    add_scored(challenge, [Scored("ash", partial), Scored("birch", full)])
    table = detail_tables(board_of(challenge), ())[0]
    upper = [name for name, count in table.upper for _ in range(count)]
    titles = list(zip(upper, (column.title for column in table.columns), strict=True))[1:]
    assert titles == list(product(("CT", "PET"), ("all targets", "liver", "spleen")))
    texts = {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}
    values = {name: [None if t == NOTHING else float(t) for t in ts] for name, ts in texts.items()}
    assert values["ash"] == pytest.approx([10.05, 10.05, None, 10.55, 10.45, 10.65])
    assert values["birch"] == pytest.approx([0.15, 0.05, 0.25, 0.55, 0.45, 0.65])
    challenge.close()


def test_only_the_organiser_sees_why_the_host_failed(tmp_path):
    challenge = toy_challenge(tmp_path / "c", ranking="resamples = 20")
    scored = Scored("ash", np.full((2, 2, 2, 1), 0.5), fault="host")
    (name,) = add_scored(challenge, [scored])
    (of_organiser,) = board_of(challenge, organiser=True).history
    assert of_organiser.detail == challenge.folder.submission(name).outcome(1).detail
    (of_team,) = board_of(challenge, team="ash").history
    assert (of_team.state, of_team.fault) == ("failed", "host")
    assert of_team.detail.startswith("a fault of the host")
    challenge.close()


def test_no_site_is_written_without_a_public_key(tmp_path):
    challenge = toy_challenge(tmp_path / "c", ranking="resamples = 20")
    challenge.folder.public_key.unlink()
    with pytest.raises(UserError, match=r"public-key\.pem cannot be read"):
        write_leaderboard(challenge, tmp_path / "site")
    assert not (tmp_path / "site").exists()
    challenge.folder.public_key.write_bytes(challenge.folder.signing_key.read_bytes())
    with pytest.raises(UserError, match="is no public key"):
        write_leaderboard(challenge, tmp_path / "site")
    challenge.close()


def test_no_common_score_gives_no_ranking(tmp_path):
    challenge = toy_challenge(tmp_path / "c", ranking="resamples = 20")
    nothing = np.full((2, 2, 2, 6), np.nan)
    add_scored(challenge, [Scored("ash", np.full((2, 2, 2, 6), 0.5)), Scored("birch", nothing)])
    board = board_of(challenge)
    assert [entry.place for entry in board.entries] == [None, None]
    assert "no ranking" in board.remarks[0]
    assert board.entries[1].scores == ()
    write_leaderboard(challenge, tmp_path / "site")
    challenge.close()


def test_no_submission_one_submission_one_subject(tmp_path):
    challenge = toy_challenge(tmp_path / "c", ranking="resamples = 20")
    board = board_of(challenge)
    assert (board.entries, board.reason) == ((), "No submission has a result yet.")
    write_leaderboard(challenge, tmp_path / "site")
    add_scored(challenge, [Scored("ash", np.full((2, 2, 2, 1), 0.5))])
    board = board_of(challenge)
    (entry,) = board.entries
    assert (entry.place, entry.places, entry.place_low) == (1, (), None)
    assert entry.scores[0].low is None
    assert board.pairs == ()
    page = write_leaderboard(challenge, tmp_path / "site").parent / "test.box.html"
    assert "One entry cannot be ranked" in page.read_text()
    challenge.close()


TRACK = """
[[tracks]]
name = "point"
title = "A point"
protocol = "single-point"
"""


def test_tracks_and_phases_are_apart_and_an_embargo_holds(tmp_path):
    challenge = toy_challenge(tmp_path / "c", ranking="resamples = 20", extra=TRACK)
    path = challenge.folder.path / "challenge.toml"
    text = path.read_text().replace("[[tracks]]", "embargo = 2030-01-01T00:00:00Z\n[[tracks]]", 1)
    path.write_text(text)
    challenge.close()
    challenge = open_challenge(path.parent)
    box = [Scored(team, random_scores(n, q)) for n, (team, q) in enumerate(TEAMS.items())]
    point = Scored("ash", random_scores(3, 0.3), track="point")
    add_scored(challenge, [*box, point, Scored("ash", box[0].values, fault="team")])
    before, after = (datetime(year, 6, 1, tzinfo=UTC) for year in (2029, 2030))
    public = leaderboard_data(challenge, now=before)
    assert [board.track for board in public.boards] == ["box", "point"]
    for board in public.boards:
        assert (board.entries, board.history, board.teams) == ((), (), 0)
        assert "2030-01-01" in board.reason
    write_leaderboard(challenge, tmp_path / "site", now=before)
    for file in (tmp_path / "site").rglob("*.*"):
        content = file.read_bytes()
        assert not any(team.encode() in content for team in TEAMS if team != "ash"), file
        assert b"20260301-" not in content, file
    of_team = leaderboard_data(challenge, team="ash", now=before)
    assert [(h.state, h.scores) for h in of_team.boards[0].history] == [
        ("scored", {}),
        ("failed", {}),
    ]
    boards = leaderboard_data(challenge, now=after).boards
    assert [len(board.entries) for board in boards] == [4, 1]
    # a team's failures are its own affair
    assert {h.state for h in boards[0].history} == {"scored"}
    organiser = leaderboard_data(challenge, organiser=True, now=before).boards
    assert [len(board.entries) for board in organiser] == [4, 1]
    assert {h.state for h in organiser[0].history} == {"scored", "failed"}
    challenge.close()


def test_what_is_not_ranked(tmp_path):
    challenge = toy_challenge(tmp_path / "c", ranking="resamples = 20")
    flat = np.full((2, 2, 2, 6), 0.5)
    names = add_scored(
        challenge,
        [
            Scored("ash", flat),
            Scored("birch", flat + 0.1),
            Scored("cedar", flat + 0.2, changes={"scorer": 0}),
            Scored("dogwood", flat + 0.3),
            Scored("elm", flat + 0.1, changes={"team": "ash"}),
            Scored("fir", flat),
        ],
    )
    disqualify(challenge, names[1], reason="trained on the hidden cases")
    path = challenge.folder.submission(names[3]).result_path(1)
    path.write_text(path.read_text().replace("0.8", "0.9"))
    board = board_of(challenge)
    assert [entry.team for entry in board.entries] == ["ash", "fir"]
    shown = {entry.team: entry for entry in board.history}
    assert sorted(shown) == ["ash", "cedar", "fir"]
    assert "scorer" in shown["cedar"].reason
    everything = board_of(challenge, organiser=True).history
    reasons = {entry.team: entry.reason or entry.detail for entry in everything}
    assert reasons["birch"] == "trained on the hidden cases"
    assert "signature does not fit" in reasons["dogwood"]
    assert "another submission" in reasons["elm"]
    assert any("3 results are not ranked" in remark for remark in board.remarks)
    challenge.close()


def test_equal_inputs_give_equal_bytes(four, tmp_path):
    for name in ("first", "second"):
        write_leaderboard(four, tmp_path / name)
    files = sorted(p.relative_to(tmp_path / "first") for p in (tmp_path / "first").rglob("*.*"))
    assert len(files) > 20
    for file in files:
        first, second = ((tmp_path / name / file).read_bytes() for name in ("first", "second"))
        assert first == second, file
    body = json.loads((tmp_path / "first" / "leaderboard.json").read_text())
    assert body["audience"] == "public"
    assert "SYNTHETIC DATA" in (tmp_path / "first" / "index.html").read_text()
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError):
        write_leaderboard(four, other)
    assert (other / "thesis.txt").exists()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 7).flatmap(
        lambda n: st.tuples(
            st.just(n),
            st.lists(st.sampled_from(list(combinations(range(n), 2)) or [(0, 0)]), unique=True),
        )
    )
)
def test_groups_are_the_largest_sets_without_a_difference(drawn):
    count, different = drawn
    pairs = [pair for pair in different if pair[0] != pair[1]]
    apart = set(pairs)
    sets = []
    for size in range(1, count + 1):
        for chosen in combinations(range(count), size):
            if not any(pair in apart for pair in combinations(chosen, 2)):
                sets.append(frozenset(chosen))
    largest = {group for group in sets if not any(group < other for other in sets)}
    groups = indistinct_groups(count, pairs)
    assert set(groups) == largest
    assert len(groups) == len(largest)
    letters = group_letters(count, pairs)
    for pair in combinations(range(count), 2):
        assert bool(set(letters[pair[0]]) & set(letters[pair[1]])) != (pair in apart)
