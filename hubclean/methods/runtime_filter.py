"""The runtime filter: rejects images that fire the features a trigger fires (Neural Cleanse, S&P 2019, VI-A), and
limits what goes in (federated pruning, ICDCS 2022).

A filter lies beside the weights it was made for, as ``hubclean/guard.safetensors``: unit numbers as tensors, everything
else as JSON in the metadata, with the hashes of those weights.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from hubclean.errors import BudgetError, DataError, FormatError, ModelError
from hubclean.escaping import printable
from hubclean.hub.repos import Repo
from hubclean.methods.interface import AnyFilter, Filter, InputRange
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.construction import preprocessing
from hubclean.nets.cut.features import capture, features, pooled
from hubclean.nets.images import Features, Images, ImageSet, Logits
from hubclean.nets.session import Session
from hubclean.records import FeatureSite, HeadSite, from_json, to_json
from hubclean.scanning.formats.safetensors_header import read_header_file

PATH = "hubclean/guard.safetensors"
SCHEMA = "hubclean/guard/v1"
_KEY = "guard"  # of the metadata
_MOST_BYTES = 8 << 20  # a million units; a filter has a hundredth of one layer


@dataclass(frozen=True)
class FilteredAnswer:
    """What a filtered classifier says of n images.

    Args:
        logits: of the checkpoint itself ``(n, k)``.
        score: mean activation over the units of each of the g filters ``(n, g)``.
        rejected: whether any filter rejects the image ``(n,)`` bool.
    """

    logits: Logits
    score: Tensor
    rejected: Tensor

    @property
    def labels(self) -> Tensor:
        """Predicted labels ``(n,)``, -1 for a rejected image."""
        return self.logits.argmax(1).masked_fill(self.rejected, -1)


class FilteredClassifier(nn.Module):
    """A checkpoint behind its filters; logits and scores come from one forward pass.

    As a module it gives logits ``(n, k+1)``: the last column wins exactly for rejected images, so that whoever counts
    predictions counts a rejected image neither as correct nor as the attacker's.

    Args:
        checkpoint: its model is shared, not copied.
        filters: an image is rejected when any of them rejects it; limits of the inputs come before all else.

    Raises:
        DataError, ModelError: a filter names units, or limits channels, that the checkpoint does not have.
    """

    def __init__(self, checkpoint: Checkpoint, filters: Sequence[AnyFilter]) -> None:
        super().__init__()
        self.checkpoint, self.model = checkpoint, checkpoint.model
        self.filters, self.ranges = _sorted(filters)
        _check_all(filters, checkpoint)
        self.eval()

    @torch.no_grad()
    def answer(self, images: Images) -> FilteredAnswer:
        """Classify images ``(n, c, h, w)`` in [0, 1], at the model's input size, on any device."""
        return self._answer(images.to(next(self.model.parameters()).device))

    def prepare(self, picture: Any) -> Images:
        """The model's own resize and crop of one picture (PIL image, or uint8 array): ``(1, c, h, w)`` in [0, 1]."""
        pixels = preprocessing.preprocessing(self.checkpoint.folder, self.checkpoint.facts)(picture)
        return pixels.unsqueeze(0).float() / 255

    def forward(self, images: Images) -> Logits:
        """Images ``(n, c, h, w)`` in [0, 1] to logits ``(n, k+1)``; the last column is that of rejection."""
        found = self._answer(images)
        logits = found.logits.float()
        most, least = logits.amax(1), logits.amin(1)
        # Beyond every logit by more than rounding can take away.
        extra = torch.where(found.rejected, most + most.abs() + 1, least - least.abs() - 1)
        return torch.cat([logits, extra.unsqueeze(1)], 1)

    def _answer(self, images: Images) -> FilteredAnswer:
        site = self.checkpoint.site
        for limit in self.ranges:
            images = limit.limit(images)
        with capture(self.model, site) as seen:
            logits = self.model(images)
        found = pooled(seen, site)
        score = found.new_zeros(len(found), len(self.filters))
        for column, one in enumerate(self.filters):
            score[:, column] = found[:, one.units.to(found.device)].mean(1)
        limits = score.new_tensor([one.threshold for one in self.filters])
        # A score that is no number is no reason to let pass.
        return FilteredAnswer(logits, score, ~(score <= limits).all(1))


def filtered(checkpoint: Checkpoint, filters: Sequence[AnyFilter]) -> FilteredClassifier:
    """The checkpoint behind ``filters``, as ``metrics`` measures it."""
    return FilteredClassifier(checkpoint, filters)


def input_range(images: ImageSet, spread: float | None = None) -> InputRange:
    """The range of every channel of clean images: smallest and largest value, or mean +- ``spread`` deviations.

    Never beyond [0, 1]; without images it is all of it.
    """
    channels = images.pixels.shape[1]
    if not len(images):
        return InputRange((0.0,) * channels, (1.0,) * channels)
    rows = images.pixels.transpose(0, 1).flatten(1)  # uint8: counted by value, no float copy of all images
    counts = torch.stack([torch.bincount(row, minlength=256) for row in rows]).double()
    values = torch.arange(256, dtype=torch.float64) / 255
    if spread is None:
        seen = counts > 0
        limits = [(float(values[row].min()), float(values[row].max())) for row in seen]
        return InputRange(tuple(low for low, _ in limits), tuple(high for _, high in limits))
    share = counts / counts.sum(1, keepdim=True)
    mean = (share * values).sum(1)
    wide = spread * (share * (values - mean.unsqueeze(1)) ** 2).sum(1).sqrt()
    return InputRange(tuple((mean - wide).clamp(0, 1).tolist()), tuple((mean + wide).clamp(0, 1).tolist()))


@torch.no_grad()
def feature_rows(checkpoint: Checkpoint, images: ImageSet, session: Session) -> Features:
    """Final features of all images ``(n, channels)`` float32 on the CPU; what a filter's score averages."""
    checkpoint.model.to(session.device).eval()
    rows = [torch.empty(0, checkpoint.site.channels)]
    for pixels, _ in images.batches(session.batch_size, session.device):
        rows.append(features(checkpoint.model, checkpoint.site, pixels).cpu())
        session.progress.advance(len(pixels))
    return torch.cat(rows)


@dataclass(frozen=True)
class _Row:
    """A filter without its units."""

    threshold: float
    false_alarms: float
    target: int | None


@dataclass(frozen=True)
class _Facts:
    """The metadata of a filter file: the filters, where their units are, and sha256 of the weights by file name."""

    schema: str
    guards: tuple[_Row, ...]
    channels: int
    block: int
    heads: tuple[HeadSite, ...]
    weights: dict[str, str]
    ranges: tuple[InputRange, ...] = ()

    def fits(self, site: FeatureSite) -> bool:
        return (self.channels, self.block, self.heads) == (site.channels, site.block, site.heads)


def save_filters(filters: Sequence[AnyFilter], site: FeatureSite, folder: Path) -> str:
    """Write the filters of the checkpoint that lies in ``folder``; the path written, inside ``folder``.

    Raises:
        ModelError: there are no weights in ``folder``.
    """
    rejecting, ranges = _sorted(filters)
    rows = tuple(_Row(one.threshold, one.false_alarms, one.target) for one in rejecting)
    facts = _Facts(SCHEMA, rows, site.channels, site.block, site.heads, loading.weight_hashes(folder), ranges)
    text = json.dumps(to_json(facts), allow_nan=False)
    (folder / PATH).parent.mkdir(exist_ok=True)
    units = {str(number): one.units.cpu().contiguous() for number, one in enumerate(rejecting)}
    save_file(units, folder / PATH, {_KEY: text})
    return PATH


def load_filters(folder: Path, checkpoint: Checkpoint) -> tuple[AnyFilter, ...]:
    """Read what ``save`` wrote; ``checkpoint`` is the one loaded from ``folder``.

    Raises:
        DataError: there is no filter, or it is damaged.
        ModelError: it was made for other weights or another site.
    """
    place = folder / PATH
    if not place.is_file():
        raise DataError(f"the folder has no {PATH}: its classifier has no runtime filter")
    facts, units = _read(place)
    if not facts.fits(checkpoint.site):
        raise ModelError(f"{PATH} was made for a net with other heads than this one")
    here = loading.weight_hashes(folder)
    if facts.weights != here:
        names = sorted(facts.weights.keys() ^ here.keys() | {n for n in here if facts.weights.get(n) != here[n]})
        raise ModelError(f"{PATH} was made for other weights: {printable(names[0], 120)!r} is not the file it knows")
    pairs = zip(facts.guards, units, strict=True)
    found: tuple[AnyFilter, ...] = (
        *(Filter(own, row.threshold, row.false_alarms, row.target) for row, own in pairs),
        *facts.ranges,
    )
    _check_all(found, checkpoint)
    return found


def open_filtered(repo: Repo, session: Session | None = None) -> FilteredClassifier:
    """Load a checkpoint that ``clean`` wrote together with its filter.

    Raises:
        DataError, ModelError: as ``load`` and ``loading.load_checkpoint``.
    """
    if PATH not in {entry.path for entry in repo.files()}:
        raise DataError(f"the repo has no {PATH}: its classifier has no runtime filter")
    checkpoint = loading.load_checkpoint(repo, session=session)
    return FilteredClassifier(checkpoint, load_filters(repo.fetch([PATH]), checkpoint))


def before(checkpoint: Checkpoint) -> FilteredClassifier:
    """The filter of a checkpoint that is loaded already, read from the folder that it came from.

    Raises:
        DataError, ModelError: as ``load_filters``; or the checkpoint has no folder.
    """
    if checkpoint.folder is None:
        raise DataError("the checkpoint has no folder: wrap it with the one that holds the filter")
    return FilteredClassifier(checkpoint, load_filters(checkpoint.folder, checkpoint))


def _read(place: Path) -> tuple[_Facts, list[Tensor]]:
    """The file's content; whether it fits a checkpoint is not asked."""
    damaged = DataError(f"{PATH} is no filter file that hubclean wrote, or it is damaged")
    if place.stat().st_size > _MOST_BYTES:
        raise DataError(f"{PATH} has {place.stat().st_size:,} bytes; a filter has {_MOST_BYTES:,} at most")
    try:
        facts = from_json(_Facts, json.loads(read_header_file(place).metadata[_KEY]))
        if facts.schema != SCHEMA:
            raise DataError(f"{PATH} is of the form {printable(facts.schema, 60)!r}, this hubclean reads {SCHEMA!r}")
        with safe_open(place, framework="pt") as file:
            if set(file.keys()) != {str(number) for number in range(len(facts.guards))}:
                raise damaged
            if not facts.guards and not facts.ranges:
                raise damaged
            return facts, [file.get_tensor(str(number)) for number in range(len(facts.guards))]
    except (OSError, FormatError, BudgetError, SafetensorError, KeyError, ValueError, RecursionError) as error:
        raise damaged from error


def _sorted(filters: Sequence[AnyFilter]) -> tuple[tuple[Filter, ...], tuple[InputRange, ...]]:
    """Those that reject images, and those that limit them."""
    rejecting = tuple(one for one in filters if isinstance(one, Filter))
    return rejecting, tuple(one for one in filters if isinstance(one, InputRange))


def _check_all(filters: Sequence[AnyFilter], checkpoint: Checkpoint) -> None:
    rejecting, ranges = _sorted(filters)
    for one in rejecting:
        _check(one, checkpoint)
    for limits in ranges:
        if not len(limits.low) == len(limits.high) == checkpoint.facts.input_size[0]:
            raise ModelError(f"the inputs' limits are not those of {checkpoint.facts.input_size[0]} channels")
        if not all(0 <= low <= high <= 1 for low, high in zip(limits.low, limits.high, strict=True)):
            raise DataError("the inputs' limits must lie in [0, 1], the lower below the upper")


def _check(one: Filter, checkpoint: Checkpoint) -> None:
    units, target = one.units, one.target
    if units.dtype != torch.int64 or units.ndim != 1 or not len(units) or len(set(units.tolist())) != len(units):
        raise DataError("a filter needs at least one unit number (int64), each once")
    if not isfinite(one.threshold) or not 0 <= one.false_alarms <= 1:
        raise DataError("a filter's threshold must be a finite number, its false alarms a share")
    if not 0 <= int(units.min()) <= int(units.max()) < checkpoint.site.channels:
        raise ModelError(f"a filter names units beyond the {checkpoint.site.channels} of the model")
    if target is not None and not 0 <= target < len(checkpoint.labels):
        raise ModelError(f"a filter is for label {target}, the model has {len(checkpoint.labels)} labels")
