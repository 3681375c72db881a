"""Clients that attack or fail: what each sends, and that nobody who cleanses imports them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hubclean import registry
from hubclean.errors import DataError, OptionError
from hubclean.federated.participants import Member, Participant, state_of
from hubclean.federated.questions import Accuracy, Curve, Rank, Train, refused
from hubclean.federated.rounds import Rounds
from hubclean.federated.training import FederatedTraining
from hubclean.lab.hostile_clients.behaviours import hostile, known
from hubclean.lab.hostile_clients.distributed_backdoor import DistributedBackdoor
from hubclean.lab.hostile_clients.model_replacement import ModelReplacement
from hubclean.methods import weight_limits
from hubclean.methods.voting import participant, votes
from hubclean.nets import loading
from hubclean.nets.metrics import attack_rates, clean_accuracy
from hubclean.nets.session import open_session
from support.crowds import Here
from support.image_sets import image_set
from support.small_nets import CLASSES, Pooled, made, trained

SESSION = open_session("cpu", seed=1, batch_size=64)
SHAPE = (1, 16, 16)
TRAIN = Train(1, "training", "feature", (), 1, 0.05, "sgd", 16, 0.0)
TUNE = Train(1, "fine-tuning", "feature", (0, 1), 1, 0.05, "sgd", 16, 0.0)


@pytest.fixture(scope="module")
def own() -> Participant:
    net = trained(made(Pooled), image_set(160, CLASSES, SHAPE, 9), 24, SESSION)
    checkpoint = loading.wrap(
        net, mean=(0.0,), std=(1.0,), input_size=SHAPE, labels=tuple("abcd"), name="pooled", folder=None
    )
    return Participant("one", checkpoint, image_set(64, CLASSES, SHAPE, 3), SESSION)


def test_every_behaviour_is_documented_and_options_are_checked(own: Participant) -> None:
    rows = known()
    assert {"model-replacement", "dba", "reversed-ranks", "active-votes", "false-accuracies"} <= set(rows)
    for cls in rows.values():
        assert cls.__doc__
        assert all(row.doc.text for row in registry.options_of(cls))
    with pytest.raises(OptionError, match="no hostile client behaves as 'nice'"):
        hostile(own, 0, "nice")
    with pytest.raises(OptionError, match=r"must lie in \[0"):
        hostile(own, 0, "false-accuracies", {"false-accuracies.value": "2"})


def test_reversed_ranks_are_ranks(own: Participant) -> None:
    question, state = Rank("feature", "rap", 0.5, 24), state_of(own.checkpoint)
    honest = own.answer(question, state).numbers
    liar = hostile(own, 0, "reversed-ranks").answer(question, state)
    assert [a + b for a, b in zip(honest, liar.numbers, strict=True)] == [25] * 24
    assert refused(question, liar, state) == ""


def test_votes_for_the_most_active_units_are_votes(own: Participant) -> None:
    question, state = Rank("feature", "mvp", 0.25, 24), state_of(own.checkpoint)
    liar = hostile(own, 0, "active-votes").answer(question, state)
    units = participant.units_at(own.checkpoint, "feature")
    active = votes.ranks(participant.activity(own.checkpoint, units, own.images, SESSION))
    assert {index for index, vote in enumerate(liar.numbers) if vote} == {
        index for index, rank in enumerate(active) if rank <= 6
    }
    assert refused(question, liar, state) == ""


def test_false_accuracies_are_accuracies(own: Participant) -> None:
    liar, state = hostile(own, 0, "false-accuracies", {"false-accuracies.value": "0.25"}), state_of(own.checkpoint)
    question = Curve("feature", tuple(range(24)), (0, 1, 2))
    assert liar.answer(question, state).numbers == (1.0, 0.25, 0.25)
    assert liar.answer(Accuracy(), state).numbers == (0.25,)
    assert liar.answer(Rank("feature", "rap", 0.5, 24), state) == own.answer(Rank("feature", "rap", 0.5, 24), state)


def test_faults(own: Participant) -> None:
    state = state_of(own.checkpoint)
    crash = hostile(own, 0, "crashing", {"crashing.kind": "train"})
    with pytest.raises(DataError, match="on purpose"):
        crash.answer(TRAIN, state)
    assert len(crash.answer(Accuracy(), state).numbers) == 1
    for how in ("nan", "length"):
        broken = hostile(own, 0, "garbled", {"garbled.how": how})
        for question in (Rank("feature", "rap", 0.5, 24), TRAIN, Accuracy()):
            assert refused(question, broken.answer(question, state), state)
    assert hostile(own, 0, "slow", {"slow.seconds": "0.01"}).answer(Accuracy(), state) == own.answer(Accuracy(), state)


def test_the_update_is_scaled_in_the_rounds_of_the_plan_alone(own: Participant) -> None:
    state = state_of(own.checkpoint)
    given = {"model-replacement.rounds": "1, 3"}
    plain = hostile(own, 0, "model-replacement", given).answer(TRAIN, state).state
    scaled = hostile(own, 0, "model-replacement", {**given, "model-replacement.scale": "7"}).answer(TRAIN, state).state
    for name, tensor in state.items():
        if tensor.is_floating_point():
            assert torch.allclose(scaled[name] - tensor, 7 * (plain[name] - tensor), atol=1e-4), name
    honest = own.answer(TUNE, state).state
    quiet = hostile(own, 0, "model-replacement", given).answer(TUNE, state).state
    assert all(torch.equal(value, quiet[name]) for name, value in honest.items())
    loud = hostile(own, 0, "model-replacement", {"model-replacement.tuning": "true"}).answer(TUNE, state).state
    assert not torch.equal(loud["net.head.weight"], honest["net.head.weight"])


def test_model_replacement_puts_the_backdoor_into_the_average(own: Participant) -> None:
    rows: dict[str, Member] = {
        str(one): Participant(str(one), own.checkpoint, image_set(64, CLASSES, SHAPE, 30 + one), SESSION)
        for one in range(5)
    }
    given = {
        f"model-replacement.{key}": text
        for key, text in {"scale": "5", "epochs": "40", "first": "2", "learning_rate": "0.05"}.items()
    }
    bad = rows["0"]
    assert isinstance(bad, Participant)
    rows["0"] = hostile(bad, 0, "model-replacement", given)
    images, rates = image_set(80, CLASSES, SHAPE, 77), []
    trained_on = own.checkpoint.copy()
    trigger = ModelReplacement().trigger(SHAPE)

    def look(number: int) -> None:
        rates.append(attack_rates(trained_on.model, images, trigger, CLASSES, SESSION)[0].value)

    averaging = FederatedTraining(rounds=2, learning_rate=0.01, batch_size=16)
    averaging.train(trained_on, Rounds(Here(rows)), SESSION, after_round=look)
    assert rates[0] < 0.5 < 0.9 < rates[1]
    assert clean_accuracy(trained_on.model, images, SESSION).value > 0.8


@pytest.mark.parametrize("side", [28, 32, 64])
def test_four_parts_make_the_trigger_of_dba(side: int) -> None:
    plan, shape = DistributedBackdoor(), (3, side, side)
    whole, parts = plan.trigger(shape).mask, [plan.trigger(shape, part).mask for part in range(4)]
    assert torch.equal(sum(parts), whole)  # type: ignore[arg-type]
    assert {int(part.sum()) for part in parts} == {{28: 4, 32: 6, 64: 24}[side]}
    assert torch.equal(plan.trigger(shape, 5).mask, parts[1])
    if side == 28:
        assert whole[0].nonzero().tolist() == [[row, c] for row in (0, 3) for c in (0, 1, 2, 3, 6, 7, 8, 9)]


def test_clients_of_dba_stamp_their_own_part(own: Participant, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    from hubclean.lab.hostile_clients import distributed_backdoor

    def spy(images: Any, trigger: Any, rate: float, *rest: Any) -> Any:
        seen.append((trigger.mask.clone(), rate))
        return images

    monkeypatch.setattr(distributed_backdoor, "poison", spy)
    given = {"dba.epochs": "1"}
    for place in (0, 1):
        hostile(own, place, "dba", given).answer(TRAIN, state_of(own.checkpoint))
    assert not torch.equal(seen[0][0], seen[1][0])
    assert torch.equal(seen[1][0], DistributedBackdoor().trigger(SHAPE, 1).mask)
    assert seen[0][1] == 20 / 64


def test_training_against_the_adjustment_flattens_the_weights(own: Participant) -> None:
    state = state_of(own.checkpoint)
    (name,) = weight_limits.adjusted_layers(own.checkpoint)

    def largest(flatness: str) -> float:
        given = {"model-replacement.flatness": flatness, "model-replacement.epochs": "10"}
        return float(hostile(own, 0, "model-replacement", given).answer(TRAIN, state).state[name].abs().max())

    assert largest("1") < 0.9 * largest("0")


def test_behaviours_are_put_around_each_other(own: Participant) -> None:
    both = hostile(own, 0, "reversed-ranks, false-accuracies", {"false-accuracies.value": "0"})
    state = state_of(own.checkpoint)
    question = Rank("feature", "rap", 0.5, 24)
    assert both.answer(Accuracy(), state).numbers == (0.0,)
    assert both.answer(question, state).numbers != own.answer(question, state).numbers
