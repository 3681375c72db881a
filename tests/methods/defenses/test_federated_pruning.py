"""Federated pruning: shards as clients, ballots and feedback as files, and the order of its stages."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from hubclean.errors import BallotError
from hubclean.methods import weight_limits
from hubclean.methods.defenses.federated_pruning import FederatedPruning
from hubclean.methods.defenses.fine_pruning import FinePruning
from hubclean.methods.voting import ballot_files as ballots
from hubclean.methods.voting import participant, tally, votes
from hubclean.methods.voting.ballots import Ballot, Feedback, PruningSequence
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.cut.pruning import cut_channels
from hubclean.nets.images import DefenseData
from hubclean.nets.metrics import clean_accuracy
from hubclean.nets.session import open_session
from hubclean.records import to_json
from hubclean.registry import build_method, chosen_options
from support.image_sets import defense_data, image_set
from support.small_nets import CLASSES, Pooled, made, trained

SESSION = open_session("cpu", seed=1, batch_size=32)
SHAPE = (1, 16, 16)
DATA = defense_data(CLASSES, SHAPE)
ALONE = {"finetune": False, "adjust": False}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A trained net of 24 final channels with its weights in a folder, as ballots need it."""
    net = trained(made(Pooled), image_set(160, CLASSES, SHAPE, 9), 6, SESSION)
    folder = tmp_path_factory.mktemp("weights")
    save_file({name: value.contiguous() for name, value in net.state_dict().items()}, folder / "model.safetensors")
    return loading.wrap(
        net, mean=(0.0,), std=(1.0,), input_size=SHAPE, labels=tuple("abcd"), name="pooled", folder=folder
    )


def dead(one: Checkpoint) -> list[int]:
    return (one.model.get_parameter("net.head.weight") == 0).all(0).nonzero().flatten().tolist()


def same(one: Checkpoint, other: Checkpoint) -> bool:
    state = other.model.state_dict()
    return all(torch.equal(value, state[name]) for name, value in one.model.state_dict().items())


@pytest.mark.parametrize("site", ["feature", "conv"])
def test_one_client_prunes_as_fine_pruning_does(site: str, checkpoint: Checkpoint) -> None:
    ours = FederatedPruning(clients=1, site=site, step=0.05, max_drop=0.2, **ALONE).cleanse(
        checkpoint, DATA, (), SESSION
    )
    theirs = FinePruning(site=site, step=0.05, max_drop=0.2, finetune=False).cleanse(checkpoint, DATA, (), SESSION)
    assert (ours.cut, ours.curve) == (theirs.cut, theirs.curve)
    assert ours.cut > 0
    assert same(ours.checkpoint, theirs.checkpoint)
    assert ours.kept == "pruned"


@pytest.mark.parametrize("joining", ["mean", "median", "trimmed"])
def test_the_shards_rank_and_their_ranks_are_joined(joining: votes.Joining, checkpoint: Checkpoint) -> None:
    found = FederatedPruning(clients=4, joining=joining, step=0.25, max_drop=1.0, **ALONE).cleanse(
        checkpoint, DATA, (), SESSION
    )
    units = participant.units_at(checkpoint, "feature")
    rows = []
    for shard in participant.shards(DATA.fit, 4, SESSION):
        order = torch.argsort(units.activity(checkpoint, shard, SESSION), stable=True).tolist()
        rows.append([len(order) - order.index(unit) for unit in range(len(order))])
    assert len({tuple(row) for row in rows}) > 1, "clients that agree test nothing"
    assert found.cut == 18
    assert dead(found.checkpoint) == sorted(votes.rap_sequence(rows, joining)[:18])


def test_shards_are_a_partition_of_the_images() -> None:
    parts = participant.shards(DATA.fit, 7, SESSION)
    assert [len(part) for part in parts] == [6] * 5 + [5] * 2
    joined = torch.cat([part.pixels.flatten(1).float().mean(1) for part in parts]).sort().values
    assert torch.equal(joined, DATA.fit.pixels.flatten(1).float().mean(1).sort().values)
    assert len(participant.shards(DATA.fit.subset(torch.arange(2)), 5, SESSION)) == 2


def test_votes_cut_no_more_than_was_voted_for(checkpoint: Checkpoint) -> None:
    found = FederatedPruning(scheme="mvp", rate=0.3, step=0.1, max_drop=1.0, **ALONE).cleanse(
        checkpoint, DATA, (), SESSION
    )
    assert found.cut == ceil(0.3 * 24) == len(dead(found.checkpoint))
    units = participant.units_at(checkpoint, "feature")
    activities = [
        participant.activity(checkpoint, units, one, SESSION) for one in participant.shards(DATA.fit, 5, SESSION)
    ]
    counts = votes.mvp_counts([votes.votes_of(row, 0.3) for row in activities])
    gone = dead(found.checkpoint)
    assert min(counts[unit] for unit in gone) >= max(counts[unit] for unit in range(24) if unit not in gone)


@pytest.mark.parametrize("mode", ["zero", "clip"])
def test_stages_follow_each_other_and_cut_units_stay_cut(mode: str, checkpoint: Checkpoint) -> None:
    method = FederatedPruning(
        step=0.2, max_drop=0.5, epochs=2, adjust_mode=mode, adjust_drop=0.2, learning_rate=0.01, batch_size=8
    )
    found = method.cleanse(checkpoint, DATA, (), SESSION)
    pruned, tuned, adjusted = (stage.checkpoint for stage in found.stages)
    assert [stage.name for stage in found.stages] == ["pruned", "fine-tuned", "adjusted"]
    assert found.kept == "adjusted"
    gone = dead(pruned)
    assert len(gone) == found.cut > 0
    for one in (tuned, adjusted):
        assert set(dead(one)) >= set(gone)
        assert not one.model.get_parameter("net.second.weight")[gone].any()
    assert not same(pruned, tuned)
    changed = [
        name
        for name, value in tuned.model.state_dict().items()
        if not torch.equal(value, adjusted.model.state_dict()[name])
    ]
    assert changed == ["net.second.weight"]
    (one,), _ = weight_limits.limited(tuned.model, ["net.second.weight"])
    after = adjusted.model.get_parameter("net.second.weight")
    assert any(torch.equal(after, one.values(tenth / 10, mode)) for tenth in range(10, 51))  # type: ignore[arg-type]


def test_parts_can_be_left_out(checkpoint: Checkpoint) -> None:
    names = {}
    for tuned in (False, True):
        for adjusted in (False, True):
            method = FederatedPruning(step=0.2, epochs=1, finetune=tuned, adjust=adjusted, adjust_drop=0.9)
            stages = method.cleanse(checkpoint, DATA, (), SESSION).stages
            names[tuned, adjusted] = [stage.name for stage in stages]
    assert names[False, False] == ["pruned"]
    assert names[True, False] == ["pruned", "fine-tuned"]
    assert names[False, True] == ["pruned", "adjusted"]
    assert names[True, True] == ["pruned", "fine-tuned", "adjusted"]


def ballot(checkpoint: Checkpoint, entries: Any, **changes: Any) -> Ballot:
    weights = participant.weights_of(checkpoint)
    row = Ballot(weights, "feature", len(entries), "rap", None, tuple(entries), 10, {}, ballots.fresh_nonce())
    return ballots.sealed(replace(row, **changes))


@pytest.fixture
def box(tmp_path: Path) -> Callable[..., list[Path]]:
    def put(*documents: Any) -> list[Path]:
        found = []
        for document in documents:
            found.append(tmp_path / f"{len(list(tmp_path.iterdir()))}.json")
            data = document if isinstance(document, bytes) else json.dumps(to_json(document)).encode()
            found[-1].write_bytes(data)
        return found

    return put


def lines(places: list[Path]) -> str:
    return "\n".join(map(str, places))


def honest(checkpoint: Checkpoint, clients: int = 3) -> list[tuple[int, ...]]:
    units = participant.units_at(checkpoint, "feature")
    shards = participant.shards(DATA.fit, clients, SESSION)
    return [votes.ranks(participant.activity(checkpoint, units, shard, SESSION)) for shard in shards]


def test_ballots_decide_what_is_cut_and_all_are_named(checkpoint: Checkpoint, box: Callable[..., list[Path]]) -> None:
    rows = honest(checkpoint)
    places = box(*(ballot(checkpoint, row) for row in rows), b"junk", ballot(checkpoint, range(1, 13)))
    method = FederatedPruning(ballots=lines(places), step=0.25, max_drop=1.0, site="conv", scheme="mvp", **ALONE)
    found = method.cleanse(checkpoint, DATA, (), SESSION)
    assert dead(found.checkpoint) == sorted(votes.rap_sequence(rows)[:18])
    assert [bool(report.refused) for report in found.ballots] == [False] * 3 + [True] * 2
    assert [report.file for report in found.ballots] == [place.name for place in places]
    assert "3 of 5 ballots counted" in found.notes[0]


def test_a_lying_minority_is_outvoted_by_the_median(checkpoint: Checkpoint, box: Callable[..., list[Path]]) -> None:
    units, rows = 24, honest(checkpoint, 5)
    liars = [tuple(units + 1 - rank for rank in row) for row in rows[:2]]
    liars = [liars[0], (*liars[1][1:], liars[1][0])] if liars[0] == liars[1] else liars
    asleep = set(votes.rap_sequence(rows, "median")[:6])
    hit = {}
    for joining in ("mean", "median"):
        places = box(*(ballot(checkpoint, row) for row in (*rows, *liars)))
        method = FederatedPruning(ballots=lines(places), joining=joining, step=0.25, max_drop=1.0, **ALONE)
        order = votes.rap_sequence([*rows, *liars], joining)
        assert dead(method.cleanse(checkpoint, DATA, (), SESSION).checkpoint) == sorted(order[:18])
        hit[joining] = len(asleep & set(order[:6]))
    assert hit["median"] >= 4, "of the six units that honest clients agree to prune first"


def answers(made: PruningSequence, *curves: list[float]) -> list[Feedback]:
    return [
        ballots.sealed(Feedback(made.weights, made.sha256, made.counts, tuple(curve), 10, {}, ballots.fresh_nonce()))
        for curve in curves
    ]


def sequence(checkpoint: Checkpoint, places: list[Path], step: float) -> PruningSequence:
    return participant.gather(checkpoint, places, "mean", step)[1]


def test_feedback_alone_says_how_much_without_an_image(checkpoint: Checkpoint, box: Callable[..., list[Path]]) -> None:
    rows = honest(checkpoint)
    places = box(*(ballot(checkpoint, row) for row in rows))
    made = sequence(checkpoint, places, 0.25)
    assert made.counts == (0, 6, 12, 18)
    fine, lie = [0.9, 0.9, 0.88, 0.4], [1.0, 0.0, 0.0, 0.0]
    back = box(*answers(made, fine, [0.8, 0.8, 0.79, 0.3], lie))
    method = FederatedPruning(ballots=lines(places), feedback=lines(back), step=0.25)
    assert method.needs == "nothing"
    found = method.cleanse(checkpoint, DefenseData.none(SHAPE), (), SESSION)
    assert (found.cut, found.kept, found.curve) == (12, "pruned", ())
    assert dead(found.checkpoint) == sorted(made.order[:12])
    assert {report.kind for report in found.ballots} == {"ballot", "feedback"}
    liked = replace(method, agree="mean").cleanse(checkpoint, DefenseData.none(SHAPE), (), SESSION)
    assert liked.cut == 0, "one liar stops the mean"
    with pytest.raises(BallotError, match="another pruning sequence"):
        replace(method, step=0.5).cleanse(checkpoint, DefenseData.none(SHAPE), (), SESSION)


def test_val_and_feedback_must_both_allow_it(checkpoint: Checkpoint, box: Callable[..., list[Path]]) -> None:
    places = box(*(ballot(checkpoint, row) for row in honest(checkpoint)))
    made = sequence(checkpoint, places, 0.25)
    back = box(*answers(made, [0.9, 0.9, 0.5, 0.4]))
    both = FederatedPruning(ballots=lines(places), feedback=lines(back), step=0.25, max_drop=0.1, **ALONE)
    generous = FederatedPruning(ballots=lines(places), step=0.25, max_drop=1.0, **ALONE)
    assert generous.cleanse(checkpoint, DATA, (), SESSION).cut == 18
    found = both.cleanse(checkpoint, DATA, (), SESSION)
    allowed = [point.cut for point in found.curve if found.curve[0].clean_accuracy - point.clean_accuracy <= 0.1 + 1e-9]
    assert found.cut == max(allowed) <= 6


def test_without_anything_that_says_how_much_nothing_is_cut(
    checkpoint: Checkpoint, box: Callable[..., list[Path]]
) -> None:
    method = FederatedPruning(ballots=lines(box(ballot(checkpoint, range(1, 25)))))
    assert method.needs == "labels"
    with pytest.raises(BallotError, match="how much"):
        method.cleanse(checkpoint, DefenseData.none(SHAPE), (), SESSION)
    with pytest.raises(BallotError, match="in memory"):
        method.cleanse(replace(checkpoint, folder=None), DATA, (), SESSION)
    with pytest.raises(BallotError, match="0 of 1"):
        replace(method, ballots="/nowhere/at/all.json").cleanse(checkpoint, DATA, (), SESSION)


def test_a_clients_accuracies_are_those_of_the_pruned_net(checkpoint: Checkpoint) -> None:
    units, order = participant.units_at(checkpoint, "conv"), tuple(range(24))[::-1]
    found = participant.accuracies(checkpoint, units, order, (0, 5, 20), DATA.val, SESSION)
    for accuracy, gone in zip(found, (0, 5, 20), strict=True):
        copy = checkpoint.copy()
        cut_channels(copy.model, units, torch.tensor(order[:gone], dtype=torch.int64))
        assert accuracy == clean_accuracy(copy.model, DATA.val, SESSION).value


def test_no_path_of_this_machine_gets_into_the_audit() -> None:
    method = build_method("defenses", "federated-pruning", {"ballots": "/home/me/secret/a.json\n/home/me/b.json"})
    assert chosen_options(method)["ballots"] == "a.json, b.json"
    assert chosen_options(method)["feedback"] == ""


def test_a_tally_of_one_kind_is_the_same_from_files_and_from_clients(
    checkpoint: Checkpoint, box: Callable[..., list[Path]]
) -> None:
    """Flower hands activities around in memory, ballots lie in files: one arithmetic."""
    units = participant.units_at(checkpoint, "feature")
    activities = [
        participant.activity(checkpoint, units, one, SESSION) for one in participant.shards(DATA.fit, 3, SESSION)
    ]
    papers = box(*(ballot(checkpoint, votes.ranks(row)) for row in activities))
    counted = tally.count_ballots(papers, loading.weight_hashes(checkpoint.folder), lambda _: 24)  # type: ignore[arg-type]
    assert tally.sequence(counted, "trimmed").order == participant.order_of(activities, "rap", 0.5, "trimmed")
