"""The Flower apps without a network: messages through the real ClientApp, the ServerApp over a grid in this process."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from hubclean.errors import BallotError, FormatError
from hubclean.federated.questions import Accuracy, Answer, Curve, Question, Rank, Train
from hubclean.hub import audited_folder
from hubclean.hub.targets import open_target
from hubclean.nets import loading
from hubclean.records import Audit, from_json
from support.flower_config import HOSTILE_APP, NODES, config

pytest.importorskip("flwr", reason="hubclean[federated] is not installed")

import numpy
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from hubclean.federated.flower import client_app, server_app
from hubclean.federated.flower.records import pack_answer, pack_question, unpack_answer, unpack_question
from hubclean.lab.hostile_clients import app as hostile_app


@pytest.fixture(autouse=True)
def task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flower signs messages with the task of the process; here is none."""
    for name in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)


@dataclass
class LoopGrid:
    """What the server app uses of a Flower grid; calls the client app, as a SuperNode does, in this process."""

    app: Any
    config: dict[str, Any]
    late: tuple[int, ...] = ()
    sent: list[tuple[int, str]] = field(default_factory=list)

    def get_node_ids(self) -> Iterable[int]:
        return range(100, 100 + NODES)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        replies = []
        for message in messages:
            node = message.metadata.dst_node_id
            self.sent.append((node, message.metadata.message_type))
            parts = {"partition-id": node - 100, "num-partitions": NODES}
            context = Context(1, node, parts, RecordDict(), self.config)
            if node - 100 in self.late:
                continue
            try:
                replies.append(self.app(message, context))
            except Exception as error:  # what a SuperNode makes of a crash
                replies.append(Message(Error(0, str(error)), reply_to=message))
        return replies


def run(grid: LoopGrid) -> Path:
    return server_app.run_job(server_app.FlowerCrowd(grid, 60.0), grid.config)


@pytest.mark.parametrize(
    "question",
    [
        Rank("feature", "mvp", 0.25, 7),
        Curve("conv", (2, 0, 1), (0, 2)),
        Train(3, "fine-tuning", "feature", (), 2, 0.1, "sgd", 16, 5e-4),
        Accuracy(),
    ],
)
def test_questions_and_answers_survive_the_records(question: Question) -> None:
    state = {"w": torch.randn(2, 3), "n": torch.tensor(3), "half": torch.randn(4)[::2]}
    back, weights = unpack_question(pack_question(question, state))
    assert back == question
    answer = unpack_answer(pack_answer(Answer((1.0, 0.25), state)))
    assert answer.numbers == (1.0, 0.25)
    for given in (weights, answer.state):
        assert set(given) == set(state)
        assert all(torch.equal(given[name], state[name]) and given[name].shape == state[name].shape for name in state)


def test_what_is_no_answer_is_refused() -> None:
    crafted = Array("float32", (2,), "numpy.ndarray", b"\x93NUMPY\x01\x00garbage")
    pickled = Array(numpy.zeros(1))
    pickled.data = b"\x80\x04K\x01."
    for record in (crafted, pickled):
        with pytest.raises(FormatError, match="no answer"):
            unpack_answer(RecordDict({"answer": ConfigRecord({"numbers": [1.0]}), "state": ArrayRecord({"w": record})}))
    for records in (RecordDict(), RecordDict({"answer": ConfigRecord({"numbers": "x"}), "state": ArrayRecord({})})):
        with pytest.raises(FormatError, match="no answer"):
            unpack_answer(records)
    with pytest.raises(FormatError, match="no question"):
        unpack_question(RecordDict({"question": ConfigRecord({"kind": "other"}), "state": ArrayRecord({})}))


def test_the_round_trip_writes_a_folder_that_push_takes(place: Path, tmp_path: Path) -> None:
    grid = LoopGrid(client_app.app, config(place, tmp_path / "out", **{"cleanse.rounds": 1, "cleanse.patience": 1}))
    out = run(grid)
    audit, card, _ = audited_folder.check_folder(out)
    assert audit.cleansing.defense == "federated-rounds"
    assert audit.cleansing.cut > 0
    assert {one.file for one in audit.cleansing.ballots} == {"client 100", "client 101", "client 102"}
    assert b"client 101" in card
    assert str(place) not in (out / "hubclean" / "audit.json").read_text()
    rounds = json.loads((tmp_path / "out.rounds.json").read_text())["rounds"]
    assert [one["kind"] for one in rounds[:3]] == ["rank", "curve", "train"]
    assert rounds[-1]["kind"] == "accuracy"
    weight = loading.load_checkpoint(open_target(str(out))).model.get_parameter("net.fc.weight")
    assert int((weight == 0).all(0).sum()) == audit.cleansing.cut
    types = {kind for _, kind in grid.sent}
    assert types == {"query.rank", "evaluate.curve", "train.train", "evaluate.accuracy"}


def test_a_crash_and_a_late_client_are_recorded_and_the_quorum_holds(place: Path, tmp_path: Path) -> None:
    given = {"hostile": "crashing", "hostile-nodes": "1", "cleanse.rounds": 0, "cleanse.adjust": False}
    out = run(LoopGrid(hostile_app.app, config(place, tmp_path / "out", HOSTILE_APP, **given)))
    audit = from_json(Audit, json.loads((out / "hubclean" / "audit.json").read_text()))
    refused = {one.file: one.refused for one in audit.cleansing.ballots if one.refused}
    assert refused == {"client 101": "it failed: this client fails on purpose"}
    late = LoopGrid(hostile_app.app, config(place, tmp_path / "two", HOSTILE_APP, **given), late=(2,))
    with pytest.raises(BallotError, match="1 of 3 clients"):
        run(late)
    assert not (tmp_path / "two").exists()
    (left,) = json.loads((tmp_path / "two.rounds.json").read_text())["rounds"]
    assert ["102", "it did not answer in time"] in left["left_out"]


def test_the_hostile_app_makes_hostile_whom_the_config_names(place: Path, tmp_path: Path) -> None:
    given = {
        "hostile": "false-accuracies",
        "hostile-nodes": "0,2",
        "hostile-options": "false-accuracies.value=0.125",
    }
    rows = config(place, tmp_path / "out", HOSTILE_APP, **given)
    state = loading.load_checkpoint(open_target(str(place / "model"))).model.state_dict()
    said = []
    for node in range(NODES):
        context = Context(1, node, {"partition-id": node, "num-partitions": NODES}, RecordDict(), rows)
        said.append(hostile_app.member(context).answer(Accuracy(), state).numbers[0])
    assert [value == 0.125 for value in said] == [True, False, True]


def test_training_writes_a_checkpoint_that_loads(place: Path, tmp_path: Path) -> None:
    given = {"job": "train", "train.rounds": 1, "train.batch-size": 8}
    out = run(LoopGrid(client_app.app, config(place, tmp_path / "out", **given)))
    before, after = (
        loading.load_checkpoint(open_target(str(one))).model.state_dict() for one in (place / "model", out)
    )
    assert any(not torch.equal(value, after[name]) for name, value in before.items())


def test_too_few_clients_connect(place: Path, tmp_path: Path) -> None:
    with pytest.raises(BallotError, match="3 of 9 clients were connected"):
        run(LoopGrid(client_app.app, config(place, tmp_path / "out", clients=9)))
