"""The federated grid's rows and tables, gate 4, remembered answers, and that the docs say what was measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from benchmarks import gates
from benchmarks.federated import cells, grid, noise, privacy, tables
from benchmarks.federated.remembering import Memory, Remembering
from benchmarks.federated.rows import Grid, read
from hubclean.federated.local_crowd import LocalCrowd
from hubclean.federated.participants import Participant, state_of
from hubclean.federated.questions import Accuracy, Answer, Question, Rank, State, Train
from hubclean.methods.voting import votes
from hubclean.nets import loading
from hubclean.nets.session import open_session
from support import ROOT
from support.image_sets import image_set
from support.small_nets import CLASSES, Pooled, made

RESULTS = ROOT / "benchmarks" / "results"
SESSION = open_session("cpu", seed=1, batch_size=64)


def row(
    malicious: float = 0.2,
    ca: float = 0.84,
    asr: float = 0.99,
    after: tuple[float, float] = (0.82, 0.05),
    **changes: Any,
) -> dict[str, Any]:
    made = {
        "plan": "table", "data": "fashion_mnist", "attack": "dba", "clients": 10, "malicious": malicious,
        "alpha": 0.5, "seed": 0, "rounds": 3, "struck": 4, "images": 4000, "lies": False, "scheme": "rap",
        "tuned": False, "adjusted": True,
        "merging": "mean", "clipping": "none", "n": 2000, "before": {"ca": ca, "asr": asr}, "cut": 40, "asked": 3,
        "client_cpu": 1.0, "client_down": 10, "client_up": 1, "after": {"ca": after[0], "asr": after[1]},
    }  # fmt: skip
    return made | changes


CLEAN = row(0.0, 0.87, 0.03, (0.86, 0.03))


@pytest.mark.parametrize(
    ("given", "took"),
    [
        ({}, True),
        ({"asr": 0.89}, False),
        ({"ca": 0.81}, False),
        ({"seed": 5}, False),  # nothing to compare with
        ({"malicious": 0.0, "ca": 0.87}, False),
    ],
)
def test_an_attack_took_if_it_works_and_the_model_is_as_good_as_without(given: dict[str, Any], took: bool) -> None:
    assert Grid.of([CLEAN, row()]).took(row(**given)) == took


@pytest.mark.parametrize(
    ("after", "result"), [((0.82, 0.05), "pass"), ((0.82, 0.4), "**fail**"), ((0.77, 0.05), "**fail**")]
)
def test_gate_4_needs_the_asr_gone_and_the_accuracy_kept(after: tuple[float, float], result: str) -> None:
    others = [
        row(after=(0.1, 1.0), tuned=True),
        row(after=(0.1, 1.0), lies=True),
        row(asr=0.5, after=(0.1, 0.5), malicious=0.1),
    ]
    lines = gates.render([], Grid.of([CLEAN, row(after=after), *others])).splitlines()
    (line,) = [one for one in lines if "10 clients, dba, RAP" in one]
    assert line.endswith(f"| {result} |")
    assert "n = 1" in line
    (other,) = [one for one in lines if "10 clients, dba, MVP" in one]
    assert other.endswith("| not run |")


def test_tables_count_models_that_took_and_name_the_others() -> None:
    held = [CLEAN, row(), row(seed=1, malicious=0.1, asr=0.5), row(0.0, 0.87, 0.03, (0.86, 0.03), seed=1)]
    found = Grid.of(held)
    assert any(
        line.startswith("| Fashion-MNIST | 10 | dba | 20% | no | RAP | 1 | 99.0 |")
        for line in "\n".join(tables.cleansed(found)).splitlines()
    )
    assert "Fashion-MNIST dba 10% of 10 (seed 1)" in "\n".join(tables.failing(found, []))
    assert "99.0 -> 5.0 %, -2.0 points (n = 1)" in "\n".join(tables.beside(found))
    assert tables.section(Path("/nowhere")) == []


def test_where_it_fails_follows_the_rows() -> None:
    points = [
        {"cut": 0, "ca": 0.84, "asr": 0.99},
        {"cut": 30, "ca": 0.8, "asr": 0.05},
        {"cut": 60, "ca": 0.3, "asr": 0.01},
    ]
    curve = {
        "data": "fashion_mnist",
        "clients": 10,
        "attack": "dba",
        "malicious": 0.2,
        "seed": 0,
        "units": 64,
        "points": points,
    }
    good, bad = ("\n".join(tables.failing(Grid.of([CLEAN, row(after=(0.82, asr))]), [curve])) for asr in (0.05, 0.95))
    assert "1 of 1 runs" in good
    assert "0 of 1 runs" in bad
    assert "in 1 of 1 models" in good  # the curve has a point with 4 points lost and 5 % left
    worse = curve | {"points": [points[0], points[2]]}
    assert "in 0 of 1 models" in "\n".join(tables.failing(Grid.of([CLEAN, row()]), [worse]))


def crowd(memory: Memory | None = None) -> LocalCrowd:
    checkpoint = loading.wrap(
        made(Pooled), mean=(0.0,), std=(1.0,), input_size=(1, 16, 16), labels=tuple("abcd"), name="pooled"
    )
    rows = {
        str(one): Participant(str(one), checkpoint, image_set(40, CLASSES, (1, 16, 16), one), SESSION)
        for one in range(3)
    }
    return LocalCrowd(rows) if memory is None else Remembering(rows, memory)


QUESTIONS = [
    Rank("feature", "rap", 0.5, 24),
    Accuracy(),
    Train(1, "fine-tuning", "feature", (), 1, 0.05, "sgd", 16, 0.0),
    Train(2, "fine-tuning", "feature", (), 1, 0.05, "sgd", 16, 0.0),
]


def same(one: Answer | None, other: Answer | None) -> bool:
    assert one is not None
    assert other is not None
    return one.numbers == other.numbers and all(
        torch.equal(value, other.state[name]) for name, value in one.state.items()
    )


def test_remembered_answers_are_those_that_would_be_given_and_cost_as_much() -> None:
    memory = Memory()
    plain, first, second = crowd(), crowd(memory), crowd(memory)
    assert isinstance(first, Remembering)
    assert isinstance(second, Remembering)
    person = plain.people["0"]
    assert isinstance(person, Participant)
    state = state_of(person.checkpoint)
    changed = {name: value * 1.5 if value.is_floating_point() else value for name, value in state.items()}
    for question in QUESTIONS:
        for weights in (state, changed):
            wanted = plain.ask(question, weights, ["0", "1"])
            for crowd_of in (first, second):
                found = crowd_of.ask(question, weights, ["0", "1"])
                assert all(same(a.answer, b.answer) for a, b in zip(wanted, found, strict=True))
    assert len(memory.kept) == len(QUESTIONS) * 2 * 2
    assert second.cost == first.cost
    size = sum(value.nbytes for value in state.values())
    assert second.cost.down > len(QUESTIONS) * 2 * 2 * size
    assert second.cost.up > 2 * 2 * 2 * size  # two trainings about two models by two clients


def test_a_liar_is_not_remembered_as_the_honest_client_it_was() -> None:
    memory, honest = Memory(), crowd()

    class Liar:
        def answer(self, question: Question, state: State) -> Answer:
            return Answer((0.0,))

    person = honest.people["0"]
    assert isinstance(person, Participant)
    state = state_of(person.checkpoint)
    Remembering(honest.people, memory).ask(Accuracy(), state, ["0"])
    lying = Remembering({"0": Liar()}, memory, frozenset({"0"}))
    assert lying.ask(Accuracy(), state, ["0"])[0].answer == Answer((0.0,))


def test_malicious_clients_lie_only_where_the_setting_says_so() -> None:
    setting = cells.Setting("mnist", "dba", 5, 0.4, 5.0, 0, 1, 1, 200, True)
    checkpoint, images = cells.fresh(setting, SESSION), image_set(200, 10, (1, 28, 28))
    for lies, cleansing, bad in ((True, True, 2), (False, True, 0), (False, False, 2), (True, False, 2)):
        rows = cells.people(replace(setting, lies=lies), checkpoint, images, SESSION, cleansing)
        assert sum(not isinstance(one, Participant) for one in rows.values()) == bad


def test_every_way_of_a_plan_is_once_there_and_lies_bring_plain_averaging() -> None:
    for plan in ("table", "dev", "smoke"):
        for setting in grid.settings(plan):
            rows = grid.ways(plan, setting)
            assert len(rows) == len(set(rows))
            assert any(way.tuned and way.merging == "mean" for way in rows) == (plan == "dev" or setting.lies)
    assert not {one.seed for one in grid.settings("table")} & {one.seed for one in grid.settings("dev")}


def test_an_attacker_learns_labels_from_activity_that_shows_them_and_nothing_from_none() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(20_000) % 10
    telling = torch.rand(20_000, 24, generator=generator) + 3 * torch.nn.functional.one_hot(labels, 24)
    blind = torch.rand(20_000, 24, generator=generator)
    found = {}
    for name, activity in (("telling", telling), ("blind", blind)):
        shadows = privacy.dealt(labels[:10_000], activity[:10_000].double(), "shards", 300, 1)
        victims = privacy.dealt(labels[10_000:], activity[10_000:].double(), "shards", 300, 2)  # of other images
        assert int((victims.counts > 0).sum(1).max()) == privacy.LABELS_EACH
        assert set(victims.counts.sum(1).tolist()) == {privacy.IMAGES}
        shown = privacy.ballots(None, "rap", 0.5, Random(0))
        known, seen = (torch.tensor(shown(one.activity), dtype=torch.float32) for one in (shadows, victims))
        truth = victims.counts > 0
        scores = privacy.guesses(known, shadows.counts > 0, seen, False)
        found[name] = privacy.auc(scores, truth)
        low, high = privacy.interval([scores], [truth], 40)
        assert low <= found[name] <= high
    assert found["telling"] > 0.9
    assert found["blind"] == pytest.approx(0.5, abs=0.06)


def test_auc_is_the_share_of_pairs_in_order() -> None:
    scores, truth = torch.tensor([[0.1], [0.4], [0.4], [0.9]]), torch.tensor([[False], [True], [False], [True]])
    assert privacy.auc(scores, truth) == pytest.approx((1 + 0.5 + 1 + 1) / 4)


def test_noisy_members_change_votes_and_nothing_else() -> None:
    inner = crowd().people["0"]
    assert isinstance(inner, Participant)
    state, ask = state_of(inner.checkpoint), Rank("feature", "mvp", 0.5, 24)
    quiet, loud = (noise.Noisy(inner, epsilon, Random(3)).answer(ask, state).numbers for epsilon in (1e6, 0.1))
    assert quiet == inner.answer(ask, state).numbers
    assert sum(loud) == votes.vote_count(0.5, 24)
    assert loud != quiet
    assert noise.Noisy(inner, 0.1, Random(3)).answer(Accuracy(), state) == inner.answer(Accuracy(), state)


def test_the_readme_says_what_was_measured() -> None:
    text = " ".join((ROOT / "docs" / "guides" / "federated.md").read_text().split())
    rows = json.loads((RESULTS / "federated_privacy.json").read_text())["rows"]
    by = {(one["split"], one["scheme"], one["rate"], one["epsilon"]): one for one in rows}
    for what, name in (("presence", "is guessed"), ("largest", "most images")):
        for split in ("shards", "dirichlet"):
            ranks, half, few = (
                by[split, *kind][what]["auc"] for kind in (("rap", None, None), ("mvp", 0.5, None), ("mvp", 0.1, None))
            )
            assert f"{ranks:.2f} from ranks, {half:.2f} from votes at 0.5 and {few:.2f} at 0.1" in text, (name, split)
    for epsilon in (32.0, 8.0):
        assert f"{by['shards', 'mvp', 0.5, epsilon]['presence']['auc']:.2f} at epsilon {epsilon:g}" in text


def test_results_are_drawn_from_the_committed_rows() -> None:
    text = "".join(place.read_text() for place in sorted((ROOT / "docs" / "results").glob("*.md")))
    assert "\n".join(tables.section(RESULTS)).strip() in text
    held = read(RESULTS / "federated.jsonl")
    assert all(line in text for line in gates.render([], Grid.of(held)).splitlines() if line.startswith("| 4 |"))
