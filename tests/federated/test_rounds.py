"""Federated cleansing in rounds without a network: pruning, averaging, adjustment, refused answers, the quorum."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from hubclean.errors import BallotError
from hubclean.federated.averaging import put_state
from hubclean.federated.cleansing import FederatedRounds
from hubclean.federated.participants import Member, Participant, state_of, zeros
from hubclean.federated.questions import Accuracy, Answer, Curve, Question, Rank, State, Train, refused
from hubclean.federated.rounds import Rounds
from hubclean.federated.training import FederatedTraining
from hubclean.methods import weight_limits
from hubclean.methods.interface import Cleansing
from hubclean.methods.voting import participant, votes
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData
from hubclean.nets.metrics import clean_accuracy
from hubclean.nets.session import open_session
from support.crowds import Here
from support.image_sets import image_set
from support.small_nets import CLASSES, Pooled, made, trained

SESSION = open_session("cpu", seed=1, batch_size=64)
SHAPE = (1, 16, 16)
NO_DATA = DefenseData.none(SHAPE)
ALONE = {"rounds": 0, "adjust": False}


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return wrapped(trained(made(Pooled), image_set(160, CLASSES, SHAPE, 9), 24, SESSION))


def wrapped(net: torch.nn.Module) -> Checkpoint:
    return loading.wrap(net, mean=(0.0,), std=(1.0,), input_size=SHAPE, labels=tuple("abcd"), name="pooled")


def people(checkpoint: Checkpoint, count: int = 3) -> dict[str, Member]:
    return {
        str(one): Participant(str(one), checkpoint, image_set(40, CLASSES, SHAPE, 20 + one), SESSION)
        for one in range(count)
    }


@dataclass(frozen=True)
class Says:
    """Answers questions of one kind with ``numbers``, and others as ``inner`` does."""

    inner: Member
    kind: str
    numbers: tuple[float, ...] = ()

    def answer(self, question: Question, state: State) -> Answer:
        if question.kind != self.kind:
            return self.inner.answer(question, state)
        return Answer(self.numbers)


def cleanse(crowd: Here, checkpoint: Checkpoint, **options: Any) -> tuple[Cleansing, FederatedRounds]:
    plan = FederatedRounds(crowd, **{"step": 0.1, "max_drop": 0.1, **options})
    return plan.cleanse(checkpoint, NO_DATA, (), SESSION), plan


def dead(one: Checkpoint) -> set[int]:
    return set((one.model.get_parameter("net.head.weight") == 0).all(0).nonzero().flatten().tolist())


def test_ranks_of_the_clients_decide_what_goes_and_their_accuracies_how_much(checkpoint: Checkpoint) -> None:
    crowd = Here(people(checkpoint))
    found, _ = cleanse(crowd, checkpoint, **ALONE)
    units = participant.units_at(checkpoint, "feature")
    rows = [
        votes.ranks(participant.activity(checkpoint, units, one.images, SESSION))
        for one in crowd.people.values()
        if isinstance(one, Participant)
    ]
    order = votes.rap_sequence(rows)
    assert 0 < found.cut < units.count
    assert dead(found.checkpoint) == set(order[: found.cut])
    asked = [question.kind for question, _ in crowd.asked]
    assert asked == ["rank", "curve"]
    assert found.curve[0].cut == 0
    assert found.curve[0].clean_accuracy - found.curve[-1].clean_accuracy > 0.1 or found.cut == units.count - 1


def test_votes_cut_no_more_than_was_voted_for(checkpoint: Checkpoint) -> None:
    found, _ = cleanse(Here(people(checkpoint)), checkpoint, scheme="mvp", rate=0.25, max_drop=1.0, **ALONE)
    assert found.cut == votes.vote_count(0.25, 24)


def test_pruned_units_stay_zero_through_averaging_and_the_best_round_is_kept(checkpoint: Checkpoint) -> None:
    crowd = Here(people(checkpoint))
    found, _ = cleanse(crowd, checkpoint, max_drop=0.5, rounds=2, learning_rate=0.05, batch_size=16, adjust=False)
    stages = {stage.name: stage.checkpoint for stage in found.stages}
    assert found.kept == "fine-tuned"
    assert dead(stages["fine-tuned"]) >= dead(stages["pruned"]) != set()
    images = image_set(80, CLASSES, SHAPE, 77)
    before, after = (clean_accuracy(stages[name].model, images, SESSION).value for name in ("pruned", "fine-tuned"))
    assert after > before
    trained_on = [question for question, _ in crowd.asked if isinstance(question, Train)]
    assert len(trained_on[0].dead) == found.cut
    assert {question.phase for question in trained_on} == {"fine-tuning"}


def test_limits_of_an_update_hold_back_a_client_that_replaces_the_model(checkpoint: Checkpoint) -> None:
    @dataclass(frozen=True)
    class Zeroing:
        """Sends 50 times the way to an all-zero head."""

        inner: Member

        def answer(self, question: Question, state: State) -> Answer:
            if not isinstance(question, Train):
                return self.inner.answer(question, state)
            return Answer(
                state={name: value - 50 * value if "head" in name else value for name, value in state.items()}
            )

    rows, images = people(checkpoint, 5), image_set(80, CLASSES, SHAPE, 77)
    found = {}
    for options in (
        {"merging": "mean"},
        {"merging": "mean", "clipping": "median"},
        {"merging": "median"},
        {"merging": "trimmed"},
    ):
        crowd = Here(rows | {"0": Zeroing(rows["0"])})
        given = {"max_drop": 0.5, "rounds": 1, "learning_rate": 0.05, "batch_size": 16, "adjust": False, **options}
        made, _ = cleanse(crowd, checkpoint, **given)
        found[str(options)] = (made.kept, clean_accuracy(made.checkpoint.model, images, SESSION).value)
    (plain, worst), *robust = found.values()
    assert plain == "pruned"  # every client saw that the averaged model is no better
    assert all(kept == "fine-tuned" and accuracy > worst for kept, accuracy in robust)


def test_fine_tuning_ends_after_rounds_without_gain(checkpoint: Checkpoint) -> None:
    crowd = Here(people(checkpoint))
    found, _ = cleanse(crowd, checkpoint, max_drop=0.0, rounds=50, patience=3, learning_rate=1e-9, adjust=False)
    assert sum(isinstance(question, Train) for question, _ in crowd.asked) == 3
    assert [stage.name for stage in found.stages] == ["pruned"]


def test_a_client_that_revives_pruned_units_is_undone(checkpoint: Checkpoint) -> None:
    copy = checkpoint.copy()
    held = zeros(copy, "feature", (3, 5))
    state = {name: torch.ones_like(value) for name, value in state_of(copy).items()}
    put_state(copy.model, state, held)
    assert dead(copy) == {3, 5}


def test_the_adjustment_is_last_and_as_narrow_as_the_clients_accuracies_allow(checkpoint: Checkpoint) -> None:
    crowd = Here(people(checkpoint))
    found, _ = cleanse(crowd, checkpoint, max_drop=0.05, rounds=1, adjust_drop=0.02)
    kinds = [question.kind for question, _ in crowd.asked]
    assert kinds[:2] == ["rank", "curve"]
    assert kinds.index("train") < len(kinds) - 2
    assert set(kinds[kinds.index("train") + 1 :]) == {"accuracy"}
    assert found.kept == "adjusted"
    previous = found.stages[-2].checkpoint
    ((name, tensor),) = [(one, previous.model.get_parameter(one)) for one in weight_limits.adjusted_layers(previous)]
    adjusted = found.checkpoint.model.get_parameter(name)
    live = tensor[tensor != 0]
    zeroed = (adjusted == 0) & (tensor != 0)
    assert int(zeroed.sum()) > 0
    assert float((tensor[zeroed] - live.mean()).abs().min()) >= float(
        (adjusted[adjusted != 0] - live.mean()).abs().max()
    )


RANK, CURVE = Rank("feature", "rap", 0.5, 4), Curve("feature", (0, 1, 2), (0, 1, 2))


@pytest.mark.parametrize(
    ("question", "numbers", "said"),
    [
        (RANK, (1, 2, 3), "3 entries for 4 units"),
        (RANK, (1, 2, 3, 3), "no order"),
        (RANK, (1, 2, 3, float("nan")), "no whole number"),
        (RANK, (1, 2, 3, 4.5), "no whole number"),
        (replace(RANK, scheme="mvp"), (1, 1, 1, 0), "exactly 2 units"),
        (replace(RANK, scheme="mvp"), (2, 0, 0, 0), "exactly 2 units"),
        (CURVE, (0.5, 0.5), "2 accuracies where 3"),
        (CURVE, (0.5, 0.5, float("nan")), "no share"),
        (CURVE, (0.5, 0.5, 1.5), "no share"),
        (Accuracy(), (float("inf"),), "no share"),
        (Train(1, "training", "feature", (), 1, 0.1, "sgd", 8, 0.0), (), "no weights"),
    ],
)
def test_answers_that_break_the_rules_are_refused(question: Question, numbers: tuple[float, ...], said: str) -> None:
    assert said in refused(question, Answer(numbers), {})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"w": torch.zeros(3)}, "shape"),
        ({"w": torch.zeros(2, dtype=torch.float64)}, "type"),
        ({"w": torch.tensor([1.0, float("nan")])}, "NaN"),
        ({"v": torch.zeros(2)}, "names"),
    ],
)
def test_weights_that_cannot_be_averaged_are_refused(given: dict[str, Tensor], said: str) -> None:
    question = Train(1, "training", "feature", (), 1, 0.1, "sgd", 8, 0.0)
    assert said in refused(question, Answer(state=given), {"w": torch.zeros(2)})
    assert refused(question, Answer(state={"w": torch.ones(2)}), {"w": torch.zeros(2)}) == ""


def test_the_round_goes_on_without_those_who_answer_nonsense_and_says_so(checkpoint: Checkpoint) -> None:
    honest, _ = cleanse(Here(people(checkpoint)), checkpoint, **ALONE)
    bad: dict[str, Member] = {
        **people(checkpoint),
        "x": Says(people(checkpoint)["0"], "rank", (1.0, 2.0)),
        "y": Says(people(checkpoint)["1"], "curve", (float("nan"),)),
    }
    rows = {name: one for name, one in bad.items() if name in "012x"}
    found, plan = cleanse(Here(rows), checkpoint, **ALONE)
    assert dead(found.checkpoint) == dead(honest.checkpoint)
    assert plan.record.reports[0].left_out == (("x", "it has 2 entries for 24 units"),)
    told = [one for one in found.ballots if one.file == "client x" and one.kind == "ballot"]
    assert [one.refused for one in told] == ["it has 2 entries for 24 units"]
    _, plan = cleanse(Here(bad), checkpoint, **ALONE)
    assert [name for name, _ in plan.record.reports[1].left_out] == ["y"]


def test_half_of_the_clients_are_not_enough(checkpoint: Checkpoint) -> None:
    rows = people(checkpoint, 4)
    crowd = Here({**rows, "2": Says(rows["2"], "rank"), "3": Says(rows["3"], "rank")})
    with pytest.raises(BallotError, match=r"2 of 4 clients .* more than 50%"):
        cleanse(crowd, checkpoint, **ALONE)
    found, _ = cleanse(crowd, checkpoint, quorum=0.4, **ALONE)
    assert found.cut > 0


def test_who_is_silent_or_was_not_asked_does_not_count() -> None:
    class Odd(Here):
        def ask(self, question: Question, state: State, who: Any) -> Any:
            from hubclean.federated.questions import Reply

            stranger = Reply("z", Answer((1.0,)))
            return [Reply("a", Answer((0.5,))), Reply("a", Answer((0.9,))), Reply("b", Answer((0.7,))), stranger]

    asking = Rounds(Odd({"a": None, "b": None, "c": None}))  # type: ignore[dict-item]
    answers = asking.ask(Accuracy(), {})
    assert {name: one.numbers for name, one in answers.items()} == {"a": (0.5,), "b": (0.7,)}
    assert asking.reports[0].left_out == (("c", "it did not answer in time"),)


def test_one_liar_does_not_move_the_amount(checkpoint: Checkpoint) -> None:
    rows = people(checkpoint, 5)
    honest, _ = cleanse(Here(rows), checkpoint, **ALONE)
    points = len(votes.steps(24, 0.1))
    lies = {"4": Says(rows["4"], "curve", (1.0, *[0.0] * (points - 1)))}
    robust, _ = cleanse(Here({**rows, **lies}), checkpoint, **ALONE)
    fooled, _ = cleanse(Here({**rows, **lies}), checkpoint, agree="mean", **ALONE)
    assert fooled.cut == 0 < robust.cut
    assert abs(robust.cut - honest.cut) <= 3


def test_federated_training_learns_and_asks_those_invited(checkpoint: Checkpoint) -> None:
    fresh = wrapped(made(Pooled))
    crowd = Here(people(fresh, 6))
    images = image_set(80, CLASSES, SHAPE, 77)
    before = clean_accuracy(fresh.model, images, SESSION).value
    plan = FederatedTraining(rounds=3, chosen=3, learning_rate=0.05, epochs=4, batch_size=8)
    plan.train(fresh, Rounds(crowd), SESSION, {2: ("5",)})
    assert clean_accuracy(fresh.model, images, SESSION).value > before + 0.2
    assert [len(who) for _, who in crowd.asked] == [3, 3, 3]
    assert "5" in crowd.asked[1][1]
