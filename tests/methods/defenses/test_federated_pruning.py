"""Federated pruning: shards as clients, ballots and feedback as files, the order of its stages, and its commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import save_file

from hubclean.cli.main import main
from hubclean.cli.options import FileLists, file_list
from hubclean.errors import BallotError
from hubclean.methods import weight_limits
from hubclean.methods.defenses.federated_pruning import FederatedPruning
from hubclean.methods.defenses.fine_pruning import FinePruning
from hubclean.methods.interface import Stage
from hubclean.methods.stages import Chain
from hubclean.methods.voting import ballot_files as ballots
from hubclean.methods.voting import participant, tally, votes
from hubclean.methods.voting.ballots import Ballot, Feedback, PruningSequence
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.cut.pruning import cut_channels
from hubclean.nets.images import DefenseData
from hubclean.nets.metrics import clean_accuracy
from hubclean.nets.session import open_session
from hubclean.nets.triggers import Trigger
from hubclean.records import Audit, CleansingReport, from_json, to_json
from hubclean.registry import build_method, chosen_options
from support.image_sets import defense_data, image_set
from support.sample_audits import cleansed
from support.small_nets import CLASSES, Pooled, made, trained
from support.tiny_models import make_repo

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


def chain(monkeypatch: pytest.MonkeyPatch, accuracies: list[float], rates: list[float]) -> Chain:
    """A chain whose stages have these accuracies and rates, by number."""
    one = type("One", (), {"model": None, "labels": ()})
    stages = [Stage(str(number), one()) for number in range(len(accuracies))]  # type: ignore[arg-type]
    number = {id(stage.checkpoint): place for place, stage in enumerate(stages)}
    monkeypatch.setattr(Chain, "accuracy", lambda self, checkpoint: accuracies[number[id(checkpoint)]])
    monkeypatch.setattr(Chain, "rates", lambda self, stage: [rates[number[id(stage.checkpoint)]]])
    made = Chain(stages[0], 0.9, 0.04, DATA, (), SESSION)
    for stage in stages[1:]:
        made.offer(stage, 0.01)
    return made


@pytest.mark.parametrize(
    ("accuracies", "rates", "kept"),
    [
        ([0.87, 0.89, 0.88], [0, 0, 0], "2"),
        ([0.87, 0.85, 0.88], [0, 0, 0], "2"),  # beyond the tolerance: the next is built on the first
        ([0.87, 0.89, 0.84], [0, 0, 0], "1"),
        ([0.80, 0.82, 0.815], [0, 0, 0], "2"),  # beyond it from the start: a little loss is allowed
        ([0.87, 0.89, 0.88], [0.1, 0.3, 0.12], "2"),  # the first step revives the trigger
        ([0.87, 0.89, 0.88], [0.1, 0.14, 0.2], "1"),
    ],
)
def test_a_stage_is_kept_unless_it_costs_accuracy_or_revives_a_trigger(
    accuracies: list[float], rates: list[float], kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = chain(monkeypatch, accuracies, rates)
    assert found.kept.name == kept
    assert [stage.name for stage in found.stages] == ["0", "1", "2"]
    assert len(found.notes) == 2


def test_recovered_triggers_are_measured_on_val(checkpoint: Checkpoint) -> None:
    mask = torch.zeros(1, 16, 16)
    mask[:, :4, :4] = 1
    trigger = Trigger(mask, torch.ones(1, 16, 16), 1)
    plain = FederatedPruning(step=0.2, epochs=1).cleanse(checkpoint, DATA, (), SESSION)
    found = FederatedPruning(step=0.2, epochs=1).cleanse(checkpoint, DATA, (trigger,), SESSION)
    assert found.curve[0].proxy_asr is not None
    assert found.passes > plain.passes


def test_no_path_of_this_machine_gets_into_the_audit() -> None:
    method = build_method("defenses", "federated-pruning", {"ballots": "/home/me/secret/a.json\n/home/me/b.json"})
    assert chosen_options(method)["ballots"] == "a.json, b.json"
    assert chosen_options(method)["feedback"] == ""


def test_audits_without_ballots_still_load() -> None:
    old = to_json(cleansed().cleansing)
    assert from_json(CleansingReport, old).ballots
    del old["ballots"]
    assert from_json(CleansingReport, old).ballots == ()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["T", "--ballots", "a.json", "b.json", "c.json", "--deep"], ["a.json", "b.json", "c.json"]),
        (["--ballots", "a.json", "T"], ["a.json"]),
        (["--ballots", "a.json", "b.json", "T", "--deep"], ["a.json", "b.json"]),
        (["--ballots", "a.json", "--ballots", "b.json", "--deep", "T"], ["a.json", "b.json"]),
        (["--deep", "--ballots", "odd", "b.json", "T"], ["odd", "b.json"]),
        (["T", "--ballots=a.json"], ["a.json"]),
        (["T"], []),
    ],
)
def test_a_list_of_files_is_taken_as_a_shell_writes_it(
    words: list[str], expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.json", "b.json", "c.json", "odd"):
        Path(name).touch()

    @click.command(cls=FileLists)
    @click.argument("target")
    @click.option("--deep", is_flag=True)
    @file_list("--ballots", "files")
    def command(target: str, deep: bool, ballots: tuple[Path, ...]) -> None:
        click.echo(json.dumps([target, [str(place) for place in ballots]]))

    done = CliRunner().invoke(command, words)
    assert done.exit_code == 0, done.output
    assert json.loads(done.output) == ["T", expected]


@pytest.fixture(scope="module")
def owners(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Three folders of private images."""
    found = []
    for seed in range(3):
        place = tmp_path_factory.mktemp("owner")
        images = image_set(20, seed=seed)
        for index, (pixels, label) in enumerate(zip(images.pixels, images.labels, strict=True)):
            (place / f"thing {int(label)}").mkdir(exist_ok=True)
            Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(place / f"thing {int(label)}" / f"{index}.png")
        found.append(str(place))
    return found


def run(*words: str, code: int = 0) -> Any:
    done = CliRunner().invoke(main, [*words])
    assert done.exit_code == code, (done.output, done.stderr)
    return done


@pytest.mark.slow
def test_owners_cleanse_a_checkpoint_together_without_showing_an_image(
    tmp_path: Path, owners: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    repo = str(make_repo(tmp_path / "repo", "timm-resnet"))
    for number, place in enumerate(owners):
        done = run("rank", repo, "--data", place, "--out", f"ballot{number}.json", "--seed", str(number))
        assert "ranks of" in done.stdout
    Path("ballot3.json").write_bytes(b"\x1b[31mjunk")
    papers = [f"ballot{number}.json" for number in range(4)]
    done = run("tally", repo, "--ballots", *papers, "--out", "sequence.json", "--step", "0.25")
    assert "3 of 4 ballots counted" in done.stdout
    assert "refused: ballot3.json: it is not JSON" in done.stderr
    for number, place in enumerate(owners):
        run("feedback", repo, "--sequence", "sequence.json", "--data", place, "--out", f"feedback{number}.json")
    made = ballots.read_document(PruningSequence, Path("sequence.json"))
    back = [ballots.read_document(Feedback, Path(f"feedback{number}.json")) for number in range(3)]
    assert all(one.counts == made.counts for one in back)
    place = votes.choose(votes.agreed([one.accuracies for one in back]), 0.04)
    done = run(
        "clean", repo, "--defense", "federated-pruning", "--ballots", *papers, "--detector", "skip",
        "-o", "step=0.25", "-o", "feedback=" + lines([tmp_path / f"feedback{number}.json" for number in range(3)]),
        "--out", "clean", code=2,
    )  # fmt: skip
    assert "ballot refused: ballot3.json" in done.stdout
    audit = from_json(Audit, json.loads(Path("clean/hubclean/audit.json").read_text()))
    assert audit.cleansing.cut == made.counts[place]
    assert [bool(row.refused) for row in audit.cleansing.ballots] == [False] * 3 + [True] + [False] * 3
    assert str(tmp_path) not in Path("clean/hubclean/audit.json").read_text()
    card = Path("clean/README.md").read_text()
    assert all(row.sha256 in card for row in audit.cleansing.ballots)
    assert "--ballots ballot0.json" in audit.command
    assert "feedback0.json" in audit.command


def test_votes_with_noise_say_so_and_ranks_have_none(
    tmp_path: Path, owners: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    repo = str(make_repo(tmp_path / "repo", "timm-resnet"))
    done = run("rank", repo, "--data", owners[0], "--out", "ranks.json", "--epsilon", "8", code=2)
    assert "give --scheme mvp with --epsilon" in done.stderr
    assert not Path("ranks.json").exists()
    for name, options in {"true": (), "loud": ("--epsilon", "0.01"), "again": ("--epsilon", "0.01")}.items():
        done = run("rank", repo, "--data", owners[0], "--out", f"{name}.json", "--scheme", "mvp", *options)
        assert ("noise of epsilon 0.01" in done.stdout) == bool(options)
    true, loud, again = (ballots.read_document(Ballot, Path(f"{name}.json")) for name in ("true", "loud", "again"))
    assert [one.epsilon for one in (true, loud, again)] == [None, 0.01, 0.01]
    assert sum(loud.entries) == sum(true.entries)
    assert len({one.entries for one in (true, loud, again)}) == 3, "noise is not drawn by the seed"
    done = run("tally", repo, "--ballots", "true.json", "loud.json", "again.json", "--out", "sequence.json")
    assert "3 of 3 ballots counted" in done.stdout


def test_commands_refuse_before_they_work(tmp_path: Path, owners: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    repo = str(make_repo(tmp_path / "repo", "timm-resnet"))
    Path("taken.json").write_text("{}")
    done = run("rank", repo, "--data", owners[0], "--out", "taken.json", code=2)
    assert "taken.json exists already" in done.stderr
    done = run("feedback", repo, "--sequence", "taken.json", "--data", owners[0], "--out", "new.json", code=2)
    assert "is refused: it is of no form" in done.stderr
    done = run("tally", repo, "--ballots", "taken.json", "--out", "new.json", code=2)
    assert "0 of 1 ballot files can be counted" in done.stderr
    assert not Path("new.json").exists()
    done = run("clean", repo, "--ballots", "taken.json", "--out", "clean", code=2)
    assert "give --data" in done.stderr
    assert not Path("clean").exists()


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
