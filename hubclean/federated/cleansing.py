"""Federated cleansing in rounds (Wu, Yang, Zhu, Mitra, ICDCS 2022): prune, fine-tune, adjust; clients say how much."""

from __future__ import annotations

import hashlib
from dataclasses import InitVar, dataclass, replace
from typing import Annotated, ClassVar, cast

from hubclean.errors import BallotError
from hubclean.federated.averaging import Averaging, Clipping, Merging, average, put_state
from hubclean.federated.participants import state_of, zeros
from hubclean.federated.questions import Accuracy, Answer, Crowd, Curve, Rank, Train
from hubclean.federated.rounds import Rounds
from hubclean.methods.interface import Cleansing, Needs, Stage
from hubclean.methods.shared_options import Optimizer
from hubclean.methods.tolerance import higher
from hubclean.methods.voting import participant, votes
from hubclean.methods.voting.joint_steps import adjust_last, cut_first
from hubclean.methods.voting.options import JointOptions
from hubclean.methods.voting.votes import Agreement, Joining, Scheme
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.cut.pruning import Site
from hubclean.nets.images import DefenseData
from hubclean.nets.session import Session
from hubclean.nets.triggers import Trigger
from hubclean.records import BallotReport, CurvePoint
from hubclean.registry import Doc


@dataclass(frozen=True)
class FederatedRounds(JointOptions):
    """Prunes what clients find asleep, fine-tunes by federated averaging, adjusts extreme weights last.

    Clients send ranks (RAP) or votes (MVP) of the units, then their accuracy at every point of the joined sequence; the
    last point within ``max_drop`` is kept. Up to ``rounds`` rounds of federated averaging follow, pruned units set back
    to zero after each, until ``patience`` rounds bring no higher joined accuracy; the best round is kept. At the end
    Delta of the weight limits is searched by the clients' accuracies.

    A client that fails, is late or answers nonsense is left out of that round; the run ends where more than ``quorum``
    of those asked no longer answer. Clients that attack may re-plant a backdoor while fine-tuning: updates are joined
    by the median of every coordinate (``merging``; Yin et al., ICML 2018), their norm can be limited (``clipping``),
    and the adjustment comes last. None of it is a proof against them.

    Reconstruction, as ``federated-pruning`` is; rounds, quorum and equal weights of clients are ours.
    """

    name: ClassVar[str] = "federated-rounds"
    paper: ClassVar[str] = "Federated pruning, Wu et al., ICDCS 2022"
    needs: ClassVar[Needs] = "nothing"

    crowd: InitVar[Crowd]
    rounds: Annotated[int, Doc("rounds of federated fine-tuning at most; 0: none", 0, 10_000)] = 10
    patience: Annotated[int, Doc("rounds without a higher joined accuracy before it ends", 1, 10_000)] = 2
    epochs: Annotated[int, Doc("local epochs a round", 1, 1000)] = 1
    learning_rate: Annotated[float, Doc("0 = 0.01 for sgd, 1e-4 for adamw", 0.0, 10.0)] = 0.0
    optimizer: Optimizer = "auto"
    batch_size: Annotated[int, Doc("images a training step", 2, 65536)] = 64
    weight_decay: Annotated[float, Doc("weight decay of the local training", 0.0, 1.0)] = 0.0
    merging: Annotated[
        str, Doc("how clients' weights are joined, coordinate by coordinate", choices=("mean", "median", "trimmed"))
    ] = "median"
    clipping: Annotated[
        str,
        Doc(
            "limit on the norm of an update: none, the round's median norm, or clip_norm",
            choices=("none", "median", "given"),
        ),
    ] = "none"
    clip_norm: Annotated[float, Doc("largest L2 norm of a client's update with clipping=given", 0.0, 1e9)] = 1.0
    quorum: Annotated[float, Doc("a round needs more than this share of its clients", 0.0, 1.0)] = 0.5

    def __post_init__(self, crowd: Crowd) -> None:
        object.__setattr__(self, "_record", Rounds(crowd, self.quorum))

    @property
    def record(self) -> Rounds:
        """The questions asked so far and who answered."""
        return cast(Rounds, vars(self)["_record"])

    def cleanse(
        self, checkpoint: Checkpoint, data: DefenseData, triggers: tuple[Trigger, ...], session: Session
    ) -> Cleansing:
        """Make the pruned, fine-tuned and adjusted checkpoints; ``data`` and ``triggers`` are not used.

        Raises:
            BallotError: a round has too few answers that count.
            ModelError: the units of the site cannot be cut exactly.
        """
        return _Run(self, checkpoint, session).all()


class _Run:
    """One cleansing: what the clients said at the start, the stages so far, and notes."""

    def __init__(self, plan: FederatedRounds, original: Checkpoint, session: Session) -> None:
        self._plan, self._rounds, self._session = plan, plan.record, session
        copy = original.copy()
        copy.model.to(session.device)
        self._units = participant.units_at(copy, cast(Site, plan.site))
        self.kept = Stage("pruned", copy)
        self._start: dict[str, float] = {}
        self._ballots: list[BallotReport] = []
        self._dead: tuple[int, ...] = ()
        self._accuracy = 0.0
        self._stages: list[Stage] = []
        self.notes: list[str] = []

    def all(self) -> Cleansing:
        curve = self._prune()
        if self._plan.rounds:
            self._tune()
        if self._plan.adjust:
            adjust_last(self, self._plan, "joined accuracy", self._accuracy)
        absent = sum(len(one.left_out) for one in self._rounds.reports)
        self.notes.append(f"{len(self._rounds.reports)} rounds; {absent} answers were missing or refused")
        notes, ballots = tuple(self.notes), tuple(self._ballots)
        return Cleansing(tuple(self._stages), self.kept.name, curve, notes, len(self._dead), ballots=ballots)

    def _prune(self) -> tuple[CurvePoint, ...]:
        plan, units = self._plan, self._units
        site, scheme = cast(Site, plan.site), cast(Scheme, plan.scheme)
        state = state_of(self.kept.checkpoint)
        answers = self._rounds.ask(Rank(site, scheme, plan.rate, units.count), state)
        self._told("ballot", answers)
        rows = [tuple(int(value) for value in answer.numbers) for answer in answers.values()]
        order = votes.joint_order(scheme, rows, cast(Joining, plan.joining))
        counts = votes.curve_counts(scheme, units.count, plan.step, order)
        answers = self._rounds.ask(Curve(site, order, counts), state)
        self._told("feedback", answers)
        agreed = votes.agreed([answer.numbers for answer in answers.values()], cast(Agreement, plan.agree))
        self._start = {who: answer.numbers[0] for who, answer in answers.items()}
        place = votes.choose(agreed, plan.max_drop)
        self._dead, self._accuracy = order[: counts[place]], agreed[place]
        stage, said = cut_first(self.kept.checkpoint, units, self._dead)
        self.notes += [
            f"{said} ({scheme}, {len(rows)} clients)",
            f"accuracy, joined by {plan.agree} over {len(answers)} clients, {agreed[0]:.1%} -> {agreed[place]:.1%}",
        ]
        self.offer(stage, 0.0)
        return tuple(
            CurvePoint(count, min(1.0, max(0.0, value)), None)
            for count, value in zip(counts[: place + 2], agreed, strict=False)
        )

    def _tune(self) -> None:
        plan, copy = self._plan, self.kept.checkpoint.copy()
        held = zeros(copy, cast(Site, plan.site), self._dead, self._units) if self._dead else {}
        joining = Averaging(cast(Merging, plan.merging), cast(Clipping, plan.clipping), plan.clip_norm)
        weights = {name for name, _ in copy.model.named_parameters()}
        best, best_state, since, gone = self._accuracy, state_of(copy), 0, 0
        while gone < plan.rounds and since < plan.patience:
            gone += 1
            question = Train(
                gone, "fine-tuning", cast(Site, plan.site), self._dead, plan.epochs, plan.learning_rate,
                plan.optimizer, plan.batch_size, plan.weight_decay,
            )  # fmt: skip
            before = state_of(copy)
            answers = self._rounds.ask(question, before)
            put_state(
                copy.model, average(before, [answer.state for answer in answers.values()], joining, weights), held
            )
            accuracy = self.accuracy(copy)
            since = 0 if higher(accuracy, best) else since + 1
            if not since:
                best, best_state = accuracy, state_of(copy)
        self.notes.append(
            f"{gone} rounds of federated fine-tuning (weights joined by the {plan.merging}): "
            f"joined accuracy {self._accuracy:.1%} -> {best:.1%}"
            + ("" if higher(best, self._accuracy) else ", no round was better: the pruned stage is kept")
        )
        if higher(best, self._accuracy):
            put_state(copy.model, best_state, held)
            self._accuracy = best
            self.offer(Stage("fine-tuned", copy), 0.0)

    def offer(self, stage: Stage, slack: float) -> None:
        """Add a stage and build on it: only what the clients' accuracies allow is offered."""
        self._stages.append(stage)
        self.kept = stage

    def accuracy(self, checkpoint: Checkpoint) -> float:
        """Accuracy over the clients that answered now and at the start, joined as the curve was.

        Raises:
            BallotError: no client answered both times.
        """
        answers = self._rounds.ask(Accuracy(), state_of(checkpoint))
        pairs = [(self._start[who], answer.numbers[0]) for who, answer in answers.items() if who in self._start]
        if not len(pairs) > self._plan.quorum * len(self._start):
            raise BallotError("too few of the clients that fed back at first are still there")
        return votes.agreed(pairs, cast(Agreement, self._plan.agree))[1]

    def _told(self, kind: str, answers: dict[str, Answer]) -> None:
        """Every client of the last round, in the place of files for audit and card."""
        report = self._rounds.reports[-1]
        refused = dict(report.left_out)
        for who in sorted([*answers, *refused]):
            digest = "" if who in refused else hashlib.sha256(repr(answers[who].numbers).encode()).hexdigest()
            made = BallotReport("ballot", f"client {who}", digest, refused.get(who, ""))
            self._ballots.append(made if kind == "ballot" else replace(made, kind="feedback"))
