"""What one participant of federated pruning does with images of its own: rank units, try a sequence, feed back.

Wu et al., ICDCS 2022 (docs/methods/federated.md). Nothing here knows who the others are or how answers travel:
ballots (files), Flower and the shards of a single user call the same functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch

from hubclean.errors import BallotError, DataError
from hubclean.methods.voting import tally
from hubclean.methods.voting.ballots import PruningSequence
from hubclean.methods.voting.votes import Joining, Scheme, joined, mvp_sequence, ranks, rap_sequence, votes_of
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.cut import pruning
from hubclean.nets.cut.pruning import Prunable, Site
from hubclean.nets.images import ImageSet
from hubclean.nets.session import Session
from hubclean.records import BallotReport


def units_at(checkpoint: Checkpoint, site: Site) -> Prunable:
    """The units of a site, proved on two made-up images: the same units for everyone who holds the checkpoint.

    Raises:
        ModelError: they cannot be cut exactly, or there are none.
    """
    device = next(checkpoint.model.parameters()).device
    made_up = torch.rand(2, *checkpoint.facts.input_size, generator=torch.Generator().manual_seed(0))
    return pruning.prunable(checkpoint, site, made_up.to(device))


def weights_of(checkpoint: Checkpoint) -> dict[str, str]:
    """Sha256 of the files that hold the weights, by name: what ballots name their checkpoint by.

    Raises:
        BallotError: the checkpoint was built in memory.
    """
    if checkpoint.folder is None:
        raise BallotError("the checkpoint is in memory alone, so no ballot can name the files of its weights")
    return loading.weight_hashes(checkpoint.folder)


def gather(
    checkpoint: Checkpoint, places: Sequence[Path], joining: Joining, step: float
) -> tuple[Prunable, PruningSequence, tuple[BallotReport, ...]]:
    """Count ballot files for a checkpoint: the units they are about, the sequence they give, a report on each file.

    Raises:
        BallotError: too few can be counted (see ``tally.count_ballots``).
        ModelError: as ``units_at``.
    """
    found: dict[Site, Prunable] = {}

    def units(site: Site) -> Prunable:
        if site not in found:
            found[site] = units_at(checkpoint, site)
        return found[site]

    counted = tally.count_ballots(places, weights_of(checkpoint), lambda site: units(site).count)
    made = tally.sequence(counted, joining, step)
    return units(made.site), made, counted.reports


def shards(images: ImageSet, clients: int, session: Session) -> tuple[ImageSet, ...]:
    """The images of one owner dealt out to so many clients, at most one a client more than to another.

    Raises:
        DataError: there are no images.
    """
    if not len(images):
        raise DataError("there are no images to deal out to clients")
    order = torch.randperm(len(images), generator=session.generator("shards"))
    return tuple(images.subset(part) for part in torch.tensor_split(order, min(clients, len(images))))


def activity(checkpoint: Checkpoint, units: Prunable, images: ImageSet, session: Session) -> tuple[float, ...]:
    """a_i ``(u,)``: mean activation of every unit on a client's clean images, as Fine-Pruning measures it.

    Mean |a| where units take both signs; relative to the mean of its layer where the units are of several.

    Raises:
        DataError: no images.
    """
    return tuple(units.activity(checkpoint, images, session).tolist())


def order_of(
    activities: Sequence[Sequence[float]], scheme: Scheme, rate: float, joining: Joining = "mean"
) -> tuple[int, ...]:
    """The pruning sequence of clients whose activities ``(n, u)`` are at hand; ties of votes are broken by R_i.

    Raises:
        DataError: as ``votes.rap_sequence``.
    """
    ranked = [ranks(row) for row in activities]
    if scheme == "rap":
        return rap_sequence(ranked, joining)
    return mvp_sequence([votes_of(row, rate) for row in activities], joined(ranked, joining))


def accuracies(
    checkpoint: Checkpoint,
    units: Prunable,
    order: Sequence[int],
    counts: Sequence[int],
    images: ImageSet,
    session: Session,
) -> tuple[float, ...]:
    """A client's accuracy when ``order[:n]`` is pruned, for every n of ``counts`` (which start with 0).

    Raises:
        DataError: no images.
    """
    if not len(images):
        raise DataError("there are no images to measure accuracy on")
    session.progress.start("trying the pruning sequence", len(counts))
    found = []
    for point in pruning.pruning_curve(checkpoint, units, parts(order, counts), images, (), session):
        found.append(point.clean_accuracy)
        session.progress.advance()
    session.progress.finish()
    return tuple(found)


def parts(order: Sequence[int], counts: Sequence[int]) -> list[torch.Tensor]:
    """The units that go between one point of a curve and the next, int64 each."""
    return [torch.tensor(order[start:end], dtype=torch.int64) for start, end in pairwise(counts)]
