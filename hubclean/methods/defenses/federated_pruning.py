"""Federated pruning (Wu, Yang, Zhu, Mitra, ICDCS 2022): many owners of images decide together what is cut."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar, cast

import torch
from torch import Tensor

from hubclean.errors import BallotError
from hubclean.methods.interface import Cleansing, Needs, Stage
from hubclean.methods.stages import Chain
from hubclean.methods.tolerance import last_within, until_beyond
from hubclean.methods.tuning import TuningOptions, tune
from hubclean.methods.voting import participant, tally, votes
from hubclean.methods.voting.joint_steps import adjust_last, cut_first
from hubclean.methods.voting.options import JointOptions
from hubclean.methods.voting.votes import Agreement, Joining, Scheme
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.cut.pruning import Prunable, Site, pruning_curve, with_means
from hubclean.nets.images import DefenseData
from hubclean.nets.session import Session
from hubclean.nets.triggers import Trigger
from hubclean.records import BallotReport, CurvePoint
from hubclean.registry import Doc
from hubclean.wording import option


@dataclass(frozen=True)
class _Plan:
    """In which order units go, at which numbers of them accuracy is looked at, and how many may go at most."""

    units: Prunable
    order: tuple[int, ...]
    counts: tuple[int, ...]
    notes: tuple[str, ...]
    ballots: tuple[BallotReport, ...] = ()
    passes: int = 0


@dataclass(frozen=True)
class FederatedPruning(JointOptions, TuningOptions):
    """Prunes the units that most owners of images find asleep, fine-tunes, and adjusts extreme weights last.

    Every client ranks the units by their mean activation on its own clean images. RAP joins the ranks (``joining``) and
    prunes in falling order; MVP lets each client vote for the ceil(rate * P) least active and prunes those with most
    votes. How many: while accuracy stays within ``max_drop``, by the accuracies that clients feed back (``agree``: the
    median of what each loses, or the median or mean of all), by ``val``, or by both where both are given: then both
    must allow it.

    With ``ballots`` the clients are others, who ran ``hubclean rank`` (and ``hubclean feedback``) on the same
    checkpoint; ballots say site, scheme and rate. A ballot that breaks the rules is refused and named, the rest counts
    if it is more than half. Without ballots, ``clients`` shards of ``fit`` take their place; one alone gives
    Fine-Pruning's order.

    Then the pruned net is fine-tuned on ``fit`` (cut units stay zero, the best epoch on ``val`` is taken; the paper's
    rounds of federated averaging need its clients), and the extreme weights of its last convolution are set to zero
    (see extreme-weights), in this order: whoever could revive a backdoor by tuning comes before the last step. A stage
    that costs too much accuracy, or revives a recovered trigger on ``val``, is kept as a file and not built upon.

    Reconstruction: the paper's text could not be read. Order and arithmetic are recalled
    (docs/methods/federated.md); ties, median and trimmed mean, the tolerances, ballots as files and the rule for stages
    are ours.
    """

    name: ClassVar[str] = "federated-pruning"
    paper: ClassVar[str] = "Federated pruning, Wu et al., ICDCS 2022"

    ballots: Annotated[str, Doc("ballot files, one path a line (clean --ballots)", files=True)] = ""
    feedback: Annotated[str, Doc("feedback files, one path a line (clean --feedback)", files=True)] = ""
    clients: Annotated[int, Doc("shards of the images that act as clients, without ballots", 1, 10_000)] = 5
    finetune: Annotated[bool, Doc("fine-tune after pruning")] = True

    @property
    def needs(self) -> Needs:
        """Labelled images, unless others say both what to prune and how much."""
        return "nothing" if self.ballots and self.feedback else "labels"

    def cleanse(
        self, checkpoint: Checkpoint, data: DefenseData, triggers: tuple[Trigger, ...], session: Session
    ) -> Cleansing:
        """Make the pruned, fine-tuned and adjusted checkpoints; the input is not changed.

        Raises:
            BallotError: too few ballots or feedback files are left, or nothing says how much to prune.
            ModelError: the units of the site cannot be cut exactly.
        """
        pruned = checkpoint.copy()
        pruned.model.to(session.device)
        plan = self._from_ballots(pruned, data) if self.ballots else self._from_shards(pruned, data, session)
        points, gone = self._amount(pruned, plan, data, triggers, session)
        stage, said = cut_first(pruned, plan.units, plan.order[:gone])
        before = points[0].clean_accuracy if points else 0.0
        run = Chain(stage, before, self.max_drop, data, triggers, session)
        run.notes += [*plan.notes, said]
        run.passes += plan.passes + len(data.val) // 3
        if self.finetune:
            self._tune(run, plan.units, torch.tensor(plan.order[:gone], dtype=torch.int64))
        if self.adjust:
            self._adjust(run)
        return Cleansing(
            tuple(run.stages), run.kept.name, tuple(points), tuple(run.notes), gone, run.passes, ballots=plan.ballots
        )

    def _from_shards(self, checkpoint: Checkpoint, data: DefenseData, session: Session) -> _Plan:
        units = participant.units_at(checkpoint, cast(Site, self.site))
        shards = participant.shards(data.fit, self.clients, session)
        activities = [participant.activity(checkpoint, units, shard, session) for shard in shards]
        scheme = cast(Scheme, self.scheme)
        order = participant.order_of(activities, scheme, self.rate, cast(Joining, self.joining))
        if self.site == "position":
            units = with_means(units, checkpoint, data.fit, session)
        counts = votes.curve_counts(scheme, units.count, self.step, order)
        note = f"{len(shards)} shards of the images took the place of clients ({self.scheme})"
        return _Plan(units, order, counts, (note,), passes=len(data.fit) // 3)

    def _from_ballots(self, checkpoint: Checkpoint, data: DefenseData) -> _Plan:
        if not self.feedback and not len(data.val):
            raise BallotError(
                f"nothing says how much to prune: give {option('feedback')} of participants, or {option('data')}"
            )
        units, made, reports = participant.gather(
            checkpoint, _paths(self.ballots), cast(Joining, self.joining), self.step
        )
        kind = made.scheme if made.rate is None else f"{made.scheme} at rate {made.rate:g}"
        note = f"{len(made.ballots)} of {len(reports)} ballots counted ({kind}, site {made.site})"
        plan = _Plan(units, made.order, made.counts, (note,), reports)
        if not self.feedback:
            return plan
        back = tally.count_feedback(_paths(self.feedback), made)
        agreed = votes.agreed(back.curves, cast(Agreement, self.agree))
        place = votes.choose(agreed, self.max_drop)
        note = (
            f"{len(back.curves)} of {len(back.reports)} participants fed back: accuracy, joined by {self.agree}, is "
            f"{agreed[0]:.1%} before and {agreed[place]:.1%} with {made.counts[place]} units cut"
        )
        return replace(
            plan,
            counts=made.counts[: place + 1],
            notes=(*plan.notes, note),
            ballots=(*plan.ballots, *back.reports),
        )

    def _amount(
        self, checkpoint: Checkpoint, plan: _Plan, data: DefenseData, triggers: tuple[Trigger, ...], session: Session
    ) -> tuple[list[CurvePoint], int]:
        """The curve on val, whose last point may be beyond the tolerance, and how many units go."""
        if not len(data.val):
            return [], plan.counts[-1]
        points: list[CurvePoint] = []
        steps = participant.parts(plan.order, plan.counts)
        session.progress.start("pruning", len(plan.counts))
        curve = pruning_curve(checkpoint, plan.units, steps, data.val, triggers, session)
        for point in until_beyond(curve, self.max_drop):
            points.append(point)
            session.progress.advance()
        session.progress.finish()
        return points, last_within(points, self.max_drop).cut

    def _tune(self, run: Chain, units: Prunable, dead: Tensor) -> None:
        """Fine-tune with the cut entries at exactly zero; the stage is there whether it is kept or not."""
        if not len(run.data.fit):
            run.notes.append("not fine-tuned: there are no images")
            return
        copy = run.kept.checkpoint.copy()
        schedule, held = self.schedule(copy, len(run.data.fit)), units.held(copy.model, dead)
        tuned = tune(copy, run.data, schedule, run.session, self.name, "best", held=held)
        run.passes += tuned.passes
        if tuned.epoch:
            run.offer(Stage("fine-tuned", copy), 0.0)
        else:
            run.notes.append("fine-tuning diverged and was dropped; a smaller learning rate may help")

    def _adjust(self, run: Chain) -> None:
        if not len(run.data.val):
            run.notes.append("extreme weights were not adjusted: there are no images to measure accuracy on")
            return
        adjust_last(run, self, "val accuracy")


def _paths(lines: str) -> list[Path]:
    return [Path(line) for line in lines.splitlines() if line]
