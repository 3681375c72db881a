"""Questions and answers as Flower records: weights as arrays, everything else as a config record. No pickle."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from torch import Tensor

from hubclean.errors import FormatError
from hubclean.federated.questions import KINDS, Answer, Question, State

_TUPLES = ("order", "counts", "dead")
# Flower's categories of messages; the action behind the dot is our kind of question.
TYPES = {"rank": "query.rank", "curve": "evaluate.curve", "train": "train.train", "accuracy": "evaluate.accuracy"}


def pack_question(question: Question, state: State) -> RecordDict:
    """A question and the weights it is about."""
    values = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(question).items()}
    return RecordDict({"question": ConfigRecord({"kind": question.kind, **values}), "state": _arrays(state)})


def unpack_question(records: RecordDict) -> tuple[Question, dict[str, Tensor]]:
    """What ``pack_question`` packed.

    Raises:
        FormatError: it is no question.
    """
    try:
        values: dict[str, Any] = dict(records["question"])
        kind: Any = KINDS[values.pop("kind")]
        given = {key: tuple(value) if key in _TUPLES else value for key, value in values.items()}
        return kind(**given), _state(records["state"])
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError("the message is no question of hubclean") from error


def pack_answer(answer: Answer) -> RecordDict:
    """An answer; numbers travel as floats of 64 bits."""
    numbers = ConfigRecord({"numbers": [float(value) for value in answer.numbers]})
    return RecordDict({"answer": numbers, "state": _arrays(answer.state)})


def unpack_answer(records: RecordDict) -> Answer:
    """What ``pack_answer`` packed, from a client that may send anything.

    Raises:
        FormatError: it is no answer.
    """
    try:
        numbers = tuple(float(value) for value in records["answer"]["numbers"])
        return Answer(numbers, _state(records["state"]))
    except (KeyError, TypeError, ValueError, AttributeError, EOFError) as error:
        raise FormatError("it is no answer of hubclean") from error


def _arrays(state: State) -> ArrayRecord:
    return ArrayRecord({name: Array(tensor.contiguous().numpy()) for name, tensor in state.items()})


def _state(record: ArrayRecord) -> dict[str, Tensor]:
    """Flower reads arrays with ``allow_pickle=False``."""
    return {name: torch.from_numpy(numpy.array(array.numpy())) for name, array in record.items()}
