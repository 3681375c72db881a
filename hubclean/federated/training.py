"""Federated training: rounds of federated averaging over chosen clients, with the server's learning rate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch

from hubclean.federated.averaging import Averaging, average, put_state
from hubclean.federated.participants import state_of
from hubclean.federated.questions import Train
from hubclean.federated.rounds import Rounds
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.session import Session
from hubclean.registry import Doc


@dataclass(frozen=True)
class FederatedTraining:
    """Trains a model by federated averaging: the global models that federated pruning is tried on.

    Each round asks ``chosen`` clients, drawn by the session's seed, and moves the model by ``eta`` / n of the sum of
    their updates. Defaults are those of DBA's MNIST (AI-secure/DBA; docs/methods/federated.md#federated-training), but
    that a client's learning rate falls by cosine within its round.
    """

    name: ClassVar[str] = "federated-training"
    paper: ClassVar[str] = "FedAvg, McMahan et al., AISTATS 2017"

    rounds: Annotated[int, Doc("rounds of averaging", 1, 100_000)] = 20
    chosen: Annotated[int, Doc("clients asked in a round; 0: all", 0, 100_000)] = 0
    eta: Annotated[float, Doc("the server's learning rate", 0.0, 100.0)] = 1.0
    epochs: Annotated[int, Doc("local epochs a round", 1, 1000)] = 1
    learning_rate: Annotated[float, Doc("of the clients; 0 = 0.01 for sgd, 1e-4 for adamw", 0.0, 10.0)] = 0.1
    optimizer: Annotated[str, Doc("auto, sgd or adamw", choices=("auto", "sgd", "adamw"))] = "sgd"
    batch_size: Annotated[int, Doc("images a training step", 2, 65536)] = 64
    weight_decay: Annotated[float, Doc("weight decay of the clients", 0.0, 1.0)] = 5e-4
    quorum: Annotated[float, Doc("a round needs more than this share of its clients", 0.0, 1.0)] = 0.5

    def train(
        self,
        checkpoint: Checkpoint,
        asking: Rounds,
        session: Session,
        invited: Mapping[int, tuple[str, ...]] | None = None,
        after_round: Callable[[int], None] | None = None,
    ) -> None:
        """Train ``checkpoint`` in place, from the weights it has.

        Args:
            invited: round -> clients that are asked in it whatever the draw says, as DBA's single-shot attackers are.
            after_round: called with the number of finished rounds; the checkpoint holds the new weights.

        Raises:
            BallotError: a round has too few answers that count.
        """
        checkpoint.model.to(session.device)
        for number in range(1, self.rounds + 1):
            before = state_of(checkpoint)
            who = self._drawn(asking.crowd.members(), number, session, (invited or {}).get(number, ()))
            question = Train(
                number, "training", "feature", (), self.epochs, self.learning_rate, self.optimizer, self.batch_size,
                self.weight_decay,
            )  # fmt: skip
            answers = asking.ask(question, before, who)
            put_state(
                checkpoint.model, average(before, [one.state for one in answers.values()], Averaging(eta=self.eta)), {}
            )
            if after_round is not None:
                after_round(number)

    def _drawn(self, members: tuple[str, ...], number: int, session: Session, sure: tuple[str, ...]) -> tuple[str, ...]:
        if not self.chosen or self.chosen >= len(members):
            return members
        others = [name for name in sorted(members) if name not in sure]
        order = torch.randperm(len(others), generator=session.generator("chosen", number)).tolist()
        return (*sure, *(others[index] for index in order[: max(0, self.chosen - len(sure))]))
