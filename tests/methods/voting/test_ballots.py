"""Ballots, sequences and feedback as files: exact round trips, everything that is refused and why, and the count."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubclean.errors import BallotError, OutputError
from hubclean.methods.voting import ballot_files, tally, votes
from hubclean.methods.voting.ballots import Ballot, Feedback, PruningSequence, coarse
from hubclean.records import to_json

WEIGHTS = {"model.safetensors": "ab" * 32}
OTHER = {"model.safetensors": "cd" * 32}
HOSTILE = "\x1b]0;owned\x07\u202eevil\n"


def ranked(entries: tuple[int, ...] = (2, 1, 4, 3), **changes: Any) -> Ballot:
    made = Ballot(
        WEIGHTS, "feature", len(entries), "rap", None, entries, 100, {"hubclean": "0.1"}, ballot_files.fresh_nonce()
    )
    return ballot_files.sealed(replace(made, **changes))


def voted(entries: tuple[int, ...] = (0, 1, 1, 0), rate: float = 0.5, **changes: Any) -> Ballot:
    return ranked(entries, scheme="mvp", rate=rate, **changes)


def raw(document: Any, hashed: bool = True, **changes: Any) -> bytes:
    """The file of a document with fields changed, whatever its rules say; with a hash that fits unless told."""
    made = replace(document, **changes) if all(hasattr(document, key) for key in changes) else document
    value = to_json(made) | changes
    if hashed and made is not document:
        value["sha256"] = ballot_files.digest(made)
    return json.dumps(value).encode()


@pytest.mark.parametrize("document", [ranked(), voted(), ranked(weights={"a": "0" * 64, "b": "1" * 64}, site="conv")])
def test_a_ballot_survives_its_file(document: Ballot, tmp_path: Path) -> None:
    ballot_files.write_document(document, tmp_path / "ballot.json")
    assert ballot_files.read_document(Ballot, tmp_path / "ballot.json") == document
    with pytest.raises(OutputError, match="exists"):
        ballot_files.write_document(document, tmp_path / "ballot.json")
    with pytest.raises(OutputError, match="cannot be written"):
        ballot_files.write_document(document, tmp_path / "nowhere" / "ballot.json")


@given(st.permutations(range(1, 9)), st.integers(1, 10**6), st.text(max_size=5))
def test_every_ranking_is_a_ballot(entries: list[int], images: int, version: str) -> None:
    made = ranked(tuple(entries), images_at_least=coarse(images), versions={version: version})
    assert ballot_files.parse_document(Ballot, json.dumps(to_json(made)).encode()) == made


def test_a_ballot_tells_no_more_than_its_fields() -> None:
    assert set(to_json(ranked())) == {
        "weights", "site", "units", "scheme", "rate", "entries", "images_at_least", "versions", "nonce",
        "epsilon", "sha256", "schema",
    }  # fmt: skip
    assert [coarse(images) for images in (1, 9, 10, 99, 100, 12345, 10**12)] == [1, 1, 10, 10, 100, 10000, 10**9]


REFUSED: list[tuple[str, bytes, str]] = [
    ("no JSON", b"{", "not JSON"),
    ("nothing", b"", "not JSON"),
    ("no text", b"\xff\xfe{}", "not JSON"),
    ("deep", b"[" * 200_000, "not JSON"),
    ("a list", b"[1]", "of no form"),
    ("huge number", b'{"units": ' + b"9" * 5000 + b"}", "not JSON"),
    ("NaN", raw(voted()).replace(b"0.5", b"NaN"), "NaN, which is no number"),
    ("infinity", raw(voted()).replace(b"0.5", b"1e999"), "inf cannot be written"),
    ("twice", raw(ranked()).replace(b'"units": 4', b'"units": 5, "units": 4'), "a field twice"),
    ("version", raw(ranked(), schema="hubclean/ballot/v9"), "'hubclean/ballot/v9'; a ballot .* 'hubclean/ballot/v1'"),
    ("hostile version", raw(ranked(), schema=HOSTILE), "of the form"),
    ("extra", raw(ranked(), labels=[1, 2]), "unknown fields"),
    ("missing", raw(ranked()).replace(b'"site": "feature", ', b""), "lacks"),
    ("hostile field", raw(ranked(), **{HOSTILE: 1}), "unknown fields"),
    ("site", raw(ranked()).replace(b'"feature"', b'"head"'), "not one of"),
    ("text for number", raw(ranked()).replace(b'"units": 4', b'"units": "4"'), "no ballot"),
    ("float ranks", raw(ranked()).replace(b"[2, 1, 4, 3]", b"[2.0, 1, 4, 3]"), "no ballot"),
    ("bool votes", raw(voted()).replace(b"[0, 1, 1, 0]", b"[false, 1, 1, 0]"), "no ballot"),
    ("edited", raw(ranked()).replace(b"[2, 1, 4, 3]", b"[1, 2, 4, 3]"), "damaged or edited"),
    ("wrong hash", raw(ranked(), False, sha256="0" * 64), "damaged or edited"),
    ("rank twice", raw(ranked(), entries=(1, 1, 2, 3)), "ranks are not 1 to 4"),
    ("ranks from 0", raw(ranked(), entries=(0, 1, 2, 3)), "ranks are not 1 to 4"),
    ("short", raw(ranked(), entries=(1, 2, 3)), "3 entries for 4 units"),
    ("empty", raw(ranked(), entries=(), units=0), "0 units"),
    ("absurd", raw(ranked(), units=10**30), "absurdly many"),
    ("rated ranks", raw(ranked(), rate=0.5), "ranks do not have"),
    ("no rate", raw(voted(), rate=None), "rate is no share"),
    ("rate 0", raw(voted(), rate=0.0), "rate is no share"),
    ("rate 2", raw(voted(), rate=2.0), "rate is no share"),
    ("weighty vote", raw(voted(), entries=(0, 2, 0, 0)), "not all 0 or 1"),
    ("negative vote", raw(voted(), entries=(1, 1, 1, -1)), "not all 0 or 1"),
    ("too many votes", raw(voted(), entries=(1, 1, 1, 0)), "votes for 3 units, a rate of 0.5 gives 2"),
    ("too few votes", raw(voted(), entries=(0, 0, 1, 0)), "votes for 1 units"),
    ("no checkpoint", raw(ranked(), weights={}), "does not name the sha256"),
    ("no hash of it", raw(ranked(), weights={"model.safetensors": HOSTILE}), "does not name the sha256"),
    ("exact count", raw(ranked(), images_at_least=37), "power of ten"),
    ("no images", raw(ranked(), images_at_least=0), "power of ten"),
    ("nonce", raw(ranked(), nonce="1"), "nonce"),
]


@pytest.mark.parametrize(("data", "why"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_is_no_ballot_is_refused_in_one_harmless_sentence(data: bytes, why: str, tmp_path: Path) -> None:
    place = tmp_path / f"{HOSTILE.strip()}.json"
    place.write_bytes(data)
    with pytest.raises(BallotError, match=why) as caught:
        ballot_files.read_document(Ballot, place)
    text = str(caught.value)
    assert text.startswith("the ballot ")
    assert text.isprintable()
    assert "\u202e" not in text
    assert len(text) < 500


def test_files_beyond_the_bounds_are_not_read(tmp_path: Path) -> None:
    large = tmp_path / "large.json"
    with large.open("wb") as file:
        file.truncate(ballot_files.MOST_BYTES + 1)
    for place, why in ((large, "too large"), (tmp_path / "none.json", "no such file"), (tmp_path, "no such file")):
        with pytest.raises(BallotError, match=why):
            ballot_files.read_document(Ballot, place)


def test_what_breaks_its_own_rules_is_not_sealed() -> None:
    with pytest.raises(BallotError, match="ranks"):
        ranked((1, 1))
    with pytest.raises(BallotError, match="rate"):
        voted(rate=1.5)


@pytest.fixture
def box(tmp_path: Path) -> Callable[..., list[Path]]:
    def put(*documents: Any) -> list[Path]:
        places = []
        for number, document in enumerate(documents):
            places.append(tmp_path / f"{number}.json")
            data = document if isinstance(document, bytes) else json.dumps(to_json(document)).encode()
            places[-1].write_bytes(data)
        return places

    return put


def four(_: str) -> int:
    return 4


def test_the_rest_is_counted_and_every_refusal_is_named(box: Callable[..., list[Path]]) -> None:
    one, two, three, same = ranked(), ranked((1, 2, 3, 4)), ranked((4, 3, 2, 1)), ranked((1, 2, 3, 4))
    places = box(
        one, two, ranked(weights=OTHER), b"junk", three, one, voted(), same, ranked((1, 2, 3, 4, 5)), ranked(), ranked()
    )
    found = tally.count_ballots(places, WEIGHTS, four)
    reasons = [report.refused for report in found.reports]
    assert [bool(reason) for reason in reasons] == [0, 0, 1, 1, 0, 1, 1, 0, 1, 0, 0]
    assert [report.file for report in found.reports] == [place.name for place in places]
    assert all(len(report.sha256) == 64 for report in found.reports)
    for number, why in (
        (2, "another checkpoint"),
        (3, "not JSON"),
        (5, "handed in before"),
        (6, "scheme"),
        (8, "5 units"),
    ):
        assert why in reasons[number]
    assert {ballot.sha256 for ballot in found.ballots} >= {one.sha256, two.sha256, three.sha256, same.sha256}
    assert len(found.ballots) == 6


def test_without_a_quorum_nothing_is_counted(box: Callable[..., list[Path]]) -> None:
    with pytest.raises(BallotError, match=r"2 of 4 ballot files .* more than half .*'2.json': it is not JSON"):
        tally.count_ballots(box(ranked(), ranked(), b"", b""), WEIGHTS, four)
    with pytest.raises(BallotError, match="0 of 0"):
        tally.count_ballots([], WEIGHTS, four)
    with pytest.raises(BallotError, match="1 of 2"):  # neither kind of ballot is that of most
        tally.count_ballots(box(ranked(), voted()), WEIGHTS, four)


def test_copied_ranks_count_once_but_equal_votes_are_two_opinions(box: Callable[..., list[Path]]) -> None:
    long = tuple(range(1, 65))
    found = tally.count_ballots(box(ranked(long), ranked(long), ranked(long[::-1])), WEIGHTS, lambda _: 64)
    assert len(found.ballots) == 2
    assert sorted(report.refused for report in found.reports)[-1] == "its ranks are those of another ballot"
    mark = (0, 1) * 32
    assert len(tally.count_ballots(box(voted(mark), voted(mark)), WEIGHTS, lambda _: 64).ballots) == 2


def test_the_sequence_is_that_of_the_votes_and_does_not_depend_on_the_order_of_files(
    box: Callable[..., list[Path]],
) -> None:
    papers = [ranked((1, 2, 3, 4)), ranked((2, 1, 4, 3)), ranked((4, 3, 2, 1))]
    made = [
        tally.sequence(tally.count_ballots(box(*order), WEIGHTS, four), "median", 0.25)
        for order in (papers, papers[::-1])
    ]
    assert made[0] == made[1]
    assert made[0].order == votes.rap_sequence([paper.entries for paper in papers], "median")
    assert made[0].counts == (0, 1, 2, 3)
    assert made[0].ballots == tuple(sorted(paper.sha256 for paper in papers))
    marks = [voted((0, 1, 1, 0)), voted((0, 1, 0, 1)), voted((0, 1, 0, 1))]
    of_votes = tally.sequence(tally.count_ballots(box(*marks), WEIGHTS, four), "median", 0.25)
    assert (of_votes.order, of_votes.counts, of_votes.rate) == ((1, 3), (0, 1, 2), 0.5)


@pytest.fixture
def made(box: Callable[..., list[Path]]) -> PruningSequence:
    return tally.sequence(tally.count_ballots(box(ranked()), WEIGHTS, four), "mean", 0.25)


def answer(made: PruningSequence, *accuracies: float, **changes: Any) -> Feedback:
    row = Feedback(WEIGHTS, made.sha256, made.counts, accuracies, 10, {}, ballot_files.fresh_nonce())
    return ballot_files.sealed(replace(row, **changes))


def test_a_sequence_survives_its_file_and_a_changed_one_is_refused(made: PruningSequence, tmp_path: Path) -> None:
    ballot_files.write_document(made, tmp_path / "sequence.json")
    assert ballot_files.read_document(PruningSequence, tmp_path / "sequence.json") == made
    for changes, why in (
        ({"order": (0, 0, 1, 2)}, "each at most once"),
        ({"order": (0, 1, 2, 4)}, "units 0 to 3"),
        ({"counts": (0, 2, 2)}, "do not rise"),
        ({"counts": (1, 2)}, "do not rise"),
        ({"counts": (0, 5)}, "length of its order"),
        ({"ballots": ()}, "ballots"),
        ({"units": 10**9}, "units"),
    ):
        with pytest.raises(BallotError, match=why):
            ballot_files.parse_document(PruningSequence, raw(made, **changes))
    with pytest.raises(BallotError, match="of the form"):
        ballot_files.read_document(Ballot, tmp_path / "sequence.json")


def test_feedback_counts_when_it_answers_this_sequence(made: PruningSequence, box: Callable[..., list[Path]]) -> None:
    good = [answer(made, 0.9, 0.9, 0.8, 0.1), answer(made, 0.7, 0.7, 0.7, 0.7), answer(made, 0.5, 0.5, 0.4, 0.3)]
    bad = [answer(made, 0.9, 0.9, 0.8, 0.1, sequence="0" * 64), answer(made, 0.9, 0.8, counts=(0, 2))]
    found = tally.count_feedback(box(*good, *bad), made)
    assert found.curves == tuple(one.accuracies for one in good)
    assert [bool(report.refused) for report in found.reports] == [False] * 3 + [True] * 2
    assert {report.kind for report in found.reports} == {"feedback"}
    with pytest.raises(BallotError, match="2 of 4 feedback files"):
        tally.count_feedback(box(*good[:2], *bad), made)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"accuracies": (0.9, 0.9, 0.9, 1.5)}, "share"),
        ({"accuracies": (0.9, -0.1, 0.9, 0.5)}, "share"),
        ({"accuracies": (0.9, 0.9)}, "one accuracy for each"),
        ({"counts": (3, 2, 1, 0)}, "rising"),
        ({"sequence": "x"}, "does not name the pruning sequence"),
    ],
)
def test_feedback_that_is_none_is_refused(made: PruningSequence, changes: dict[str, Any], why: str) -> None:
    with pytest.raises(BallotError, match=why):
        ballot_files.parse_document(Feedback, raw(answer(made, 0.9, 0.9, 0.8, 0.1), **changes))
    with pytest.raises(BallotError, match="NaN"):
        ballot_files.parse_document(Feedback, raw(answer(made, 0.9, 0.9, 0.8, 0.1)).replace(b"0.1]", b"NaN]"))


def test_noise_on_votes_is_named_in_the_ballot_and_ranks_have_none(tmp_path: Path) -> None:
    made = voted(epsilon=4.0)
    ballot_files.write_document(made, tmp_path / "noisy.json")
    assert ballot_files.read_document(Ballot, tmp_path / "noisy.json").epsilon == 4.0
    with pytest.raises(BallotError, match="damaged or edited"):
        ballot_files.parse_document(
            Ballot, (tmp_path / "noisy.json").read_bytes().replace(b'"epsilon": 4.0', b'"epsilon": 1.0')
        )
    for build in (lambda: ranked(epsilon=4.0), lambda: voted(epsilon=0.0), lambda: voted(epsilon=-1.0)):
        with pytest.raises(BallotError, match="epsilon"):
            build()


def test_ballots_of_before_there_was_noise_are_still_read() -> None:
    value = to_json(ranked(nonce="0" * 32))
    del value["epsilon"]
    assert value["sha256"] == "593f7d9bbf5f1ee903aebca047aa76230b214c051d8fa0a7f66d8d9b7d876294"
    assert ballot_files.parse_document(Ballot, json.dumps(value).encode()).epsilon is None
