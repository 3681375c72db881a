"""What participants and whoever counts do, one call a command: rank, tally, feedback (``clean`` does the rest).

The two ways of federated pruning without a server: every participant runs ``rank`` on private images, somebody counts
(``clean --ballots`` at once, or ``tally`` to ask back), participants answer the sequence with ``feedback``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from hubclean.cleansing.inputs import load_with_data, open_scanned
from hubclean.errors import BallotError, OptionError
from hubclean.hub.repos import Repo
from hubclean.methods.voting import noise, participant, votes
from hubclean.methods.voting.ballot_files import fresh_nonce, read_document, same_weights, sealed
from hubclean.methods.voting.ballots import Ballot, Feedback, PruningSequence, coarse
from hubclean.methods.voting.votes import Joining, Scheme
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.datasets import Sizes
from hubclean.nets.images import ImageSet
from hubclean.nets.labels.matching import BY_NAME, Labelling
from hubclean.nets.memory import fitted
from hubclean.nets.session import Session
from hubclean.records import BallotReport
from hubclean.version import versions
from hubclean.wording import option

_PACKAGES = ("hubclean", "torch", "timm", "transformers")  # what computes an activation; no more is told


@dataclass(frozen=True)
class OwnImages:
    """Where a command gets its checkpoint and a participant's images, as on the command line.

    Args:
        target: what ``open_target`` takes, an open repo, or a checkpoint from ``loading.wrap`` with its folder.
        data: images, see ``datasets.load_images``; all of the split are used, up to 7,000.
        hooks: a folder with adapters of the user's own.
        labelling: how the classes of the images go to the model's labels, where labels are needed.
    """

    target: str | Repo | Checkpoint
    data: str | None = None
    revision: str | None = None
    split: str | None = None
    hooks: Path | None = None
    labelling: Labelling = BY_NAME


@dataclass(frozen=True)
class Tally:
    """A pruning sequence and a report on every ballot handed in."""

    sequence: PruningSequence
    ballots: tuple[BallotReport, ...]


def rank(
    source: OwnImages,
    session: Session,
    scheme: Scheme = "rap",
    rate: float = 0.5,
    site: Literal["feature", "conv", "position"] = "feature",
    epsilon: float | None = None,
) -> Ballot:
    """One participant's ballot: ranks, or votes at ``rate``, of the units of ``site``; labels are not needed.

    Args:
        epsilon: makes the votes differentially private (``noise.private``); the noise is the system's, no seed's.

    Raises:
        OptionError: ranks with an epsilon.
        HubcleanError: the checkpoint or the images cannot be opened, or units of that site cannot be cut.
    """
    if epsilon is not None and scheme != "mvp":
        raise OptionError(f"noise is for votes alone: give {option('scheme', 'mvp')} with {option('epsilon')}")
    checkpoint, images, session = _opened(source, session, labelled=False)
    units = participant.units_at(checkpoint, site)
    activity = participant.activity(checkpoint, units, images, session)
    entries = votes.ranks(activity) if scheme == "rap" else votes.votes_of(activity, rate)
    if epsilon is not None:
        entries = noise.private(entries, epsilon)
    return sealed(
        Ballot(
            weights=participant.weights_of(checkpoint),
            site=site,
            units=units.count,
            scheme=scheme,
            rate=rate if scheme == "mvp" else None,
            entries=entries,
            images_at_least=coarse(len(images)),
            versions=_versions(),
            nonce=fresh_nonce(),
            epsilon=epsilon,
        )
    )


def tally(
    source: OwnImages, places: Sequence[Path], session: Session, joining: Joining = "mean", step: float = 0.01
) -> Tally:
    """Count ballots for a checkpoint into the sequence that participants are asked about; needs no images.

    Raises:
        BallotError: too few can be counted.
        HubcleanError: the checkpoint cannot be opened.
    """
    checkpoint = open_scanned(source.target, source.revision, source.hooks)[0]
    checkpoint.model.to(session.device)
    _, made, reports = participant.gather(checkpoint, places, joining, step)
    return Tally(made, reports)


def feedback(source: OwnImages, place: Path, session: Session) -> Feedback:
    """One participant's accuracy at every point of the sequence in the file ``place``, on labelled images.

    Accuracies are rounded to a tenth of a point: exact shares would tell the number of images.

    Raises:
        BallotError: the file is no sequence, or one of another checkpoint.
        HubcleanError: the checkpoint or the images cannot be opened.
    """
    made = read_document(PruningSequence, place)
    checkpoint, images, session = _opened(source, session, labelled=True)
    try:
        same_weights(made, participant.weights_of(checkpoint))
    except BallotError as error:
        raise BallotError(f"the pruning sequence is refused: {error}") from error
    units = participant.units_at(checkpoint, made.site)
    if units.count != made.units:
        raise BallotError(
            f"the pruning sequence is refused: it is for {made.units} units, the checkpoint has {units.count}"
        )
    found = participant.accuracies(checkpoint, units, made.order, made.counts, images, session)
    return sealed(
        Feedback(
            weights=made.weights,
            sequence=made.sha256,
            counts=made.counts,
            accuracies=tuple(round(accuracy, 3) for accuracy in found),
            images_at_least=coarse(len(images)),
            versions=_versions(),
            nonce=fresh_nonce(),
        )
    )


def _opened(source: OwnImages, session: Session, labelled: bool) -> tuple[Checkpoint, ImageSet, Session]:
    """The checkpoint on the session's device, and all images there are: a participant has nothing to hold back."""
    checkpoint = open_scanned(source.target, source.revision, source.hooks)[0]
    participant.weights_of(checkpoint)
    session = fitted(session, checkpoint.model, checkpoint.facts.input_size)
    labelling = replace(source.labelling, needed=labelled)
    splits = load_with_data(checkpoint, source.data, source.split, Sizes(), session, labelled, labelling).splits
    every = (splits.defense.fit, splits.defense.val, splits.test)
    images = ImageSet(torch.cat([one.pixels for one in every]), torch.cat([one.labels for one in every]))
    checkpoint.model.to(session.device)
    return checkpoint, images, session


def _versions() -> dict[str, str]:
    return {name: version for name, version in versions().items() if name in _PACKAGES}
