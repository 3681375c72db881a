"""Asking all clients with a quorum: whoever fails or answers nonsense is left out of the round and written down."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from hubclean.errors import BallotError
from hubclean.escaping import printable
from hubclean.federated.questions import Answer, Crowd, Question, State, refused


@dataclass(frozen=True, slots=True)
class RoundReport:
    """One question to all clients.

    Args:
        number: of the round, from 1.
        kind: what was asked: ``rank``, ``curve``, ``train`` or ``accuracy``.
        asked: how many clients.
        counted: names of those whose answers count, sorted.
        left_out: name and reason of the others, sorted.
        seconds: until the last answer or the end of the wait.
    """

    number: int
    kind: str
    asked: int
    counted: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    seconds: float


@dataclass
class Rounds:
    """The questions of one run, and what became of them.

    Args:
        quorum: a round goes on with more than this share of the clients that were asked.
        reports: one a round so far.
    """

    crowd: Crowd
    quorum: float = 0.5
    reports: list[RoundReport] = field(default_factory=list)

    def ask(self, question: Question, state: State, who: Sequence[str] | None = None) -> dict[str, Answer]:
        """Ask clients ``who`` (all there are, without) and return the answers that count, by name.

        Raises:
            BallotError: too few answers count.
        """
        names, started = self.crowd.members() if who is None else tuple(who), time.monotonic()
        good: dict[str, Answer] = {}
        bad = dict.fromkeys(names, "it did not answer in time")
        for reply in self.crowd.ask(question, state, names):
            if reply.who not in bad:  # not asked, or a second answer
                continue
            wrong = reply.failure if reply.answer is None else refused(question, reply.answer, state)
            if reply.answer is not None and not wrong:
                good[reply.who] = reply.answer
                del bad[reply.who]
            else:
                bad[reply.who] = printable(wrong or "it gave no answer", 160)
        left_out = tuple(sorted(bad.items()))
        seconds = time.monotonic() - started
        number = len(self.reports) + 1
        self.reports.append(RoundReport(number, question.kind, len(names), tuple(sorted(good)), left_out, seconds))
        if not len(good) > self.quorum * len(names):
            why = f"; {left_out[0][0]}: {left_out[0][1]}" if left_out else ""
            raise BallotError(
                f"round {number} ({question.kind}) was ended: {len(good)} of {len(names)} clients gave an answer that "
                f"counts, and more than {self.quorum:.0%} must{why}"
            )
        return {name: good[name] for name in sorted(good)}
