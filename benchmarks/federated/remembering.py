"""Clients of this process that answer a question about the same weights once: what ways of cleansing share, costs once.

An answer depends on the question and the weights alone: random streams are named by client and round. Seconds and bytes
are counted as if every answer were worked out anew, as it is in a federation.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from hubclean.federated.local_crowd import LocalCrowd
from hubclean.federated.questions import Question, Reply, State

Key = tuple[str, bool, str, str]


@dataclass
class Memory:
    """Replies and the processor seconds they took, of all crowds that ask about one trained model."""

    kept: dict[Key, tuple[Reply, float]] = field(default_factory=dict)


@dataclass
class Cost:
    """What the clients of one cleansing spent together: processor seconds, bytes to them and from them."""

    seconds: float = 0.0
    down: int = 0
    up: int = 0


@dataclass(frozen=True)
class Remembering(LocalCrowd):
    """A crowd with a memory.

    Args:
        lying: names of the clients that are not honest while cleansing.
    """

    memory: Memory = field(default_factory=Memory)
    lying: frozenset[str] = frozenset()
    cost: Cost = field(default_factory=Cost)

    def ask(self, question: Question, state: State, who: Sequence[str]) -> list[Reply]:
        """As ``LocalCrowd``."""
        digest, sent, replies = _digest(state), _bytes(state) + _numbers(question), []
        for name in who:
            key = (name, name in self.lying, repr(question), digest)
            if key not in self.memory.kept:
                started = time.process_time()
                (reply,) = super().ask(question, state, [name])
                self.memory.kept[key] = reply, time.process_time() - started
            reply, seconds = self.memory.kept[key]
            self.cost.seconds += seconds
            self.cost.down += sent
            if reply.answer is not None:
                self.cost.up += 8 * len(reply.answer.numbers) + _bytes(reply.answer.state)
            replies.append(reply)
        return replies


def _digest(state: State) -> str:
    found = hashlib.sha256()
    for name, tensor in state.items():
        found.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return found.hexdigest()


def _bytes(state: State) -> int:
    return sum(tensor.nbytes for tensor in state.values())


def _numbers(question: Question) -> int:
    return 8 * sum(len(value) if isinstance(value, tuple) else 1 for value in asdict(question).values())
