"""What needs ``hubclean[models]``: where features and heads are, nets of your own, cleansing, filters."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hubclean.errors import OptionError, several, strings

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hubclean.cleansing.pipeline import CleanResult
    from hubclean.hub.repos import Repo
    from hubclean.methods.runtime_filter import FilteredClassifier
    from hubclean.nets.checkpoint import Checkpoint
    from hubclean.nets.datasets import ImageSource, Sizes
    from hubclean.nets.session import Session
    from hubclean.nets.triggers import Stamp
    from hubclean.progress import Progress
    from hubclean.records import Loader, Severity, SiteReport


def site(
    target: str | Path | Repo,
    *,
    revision: str | None = None,
    subfolder: str = "",
    base: str | None = None,
    hooks: Path | None = None,
) -> SiteReport:
    """Where the feature layer and the heads of a model are, from its config alone.

    >>> report = hubclean.site("model")
    >>> [head.path for head in report.site.heads]
    ['fc']

    Args:
        target, revision, subfolder, base: as for ``scan``.
        hooks: a folder with adapters of your own.

    Raises:
        HubcleanError: it cannot be opened, is no image classifier, or the site cannot be found.
    """
    from hubclean.hub.subfolders import below
    from hubclean.hub.targets import open_target
    from hubclean.nets.site_report import survey

    repo = open_target(str(target), revision) if isinstance(target, (str, Path)) else target
    return survey(below(repo, subfolder), hooks, base)


def locate(model: nn.Module, example: Tensor, *, hooks: Path | None = None) -> SiteReport:
    """Where the feature layer, the heads and the prunable units of any net are, proved on its weights.

    >>> report = hubclean.locate(net, torch.zeros(1, 3, 32, 32))
    >>> report.site.channels
    8

    Args:
        model: takes a batch of images and returns logits (a tensor, or inside a tuple, a mapping or a ModelOutput).
        example: a batch ``(n, c, h, w)`` as the net takes it; only its shape counts.
        hooks: a folder with adapters of your own (``library = "module"``, ``match`` = the class's name).

    Raises:
        ModelError: what could not be found, and how an adapter would say it.
    """
    from hubclean.nets.site_report import survey_module

    return survey_module(model, example, hooks)


def wrap(
    model: nn.Module,
    example: Tensor,
    *,
    labels: Sequence[str] | Mapping[int, str] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    name: str | None = None,
    folder: str | Path | None = None,
    hooks: Path | None = None,
) -> Checkpoint:
    """A net of your own as a checkpoint that ``clean`` takes: a float32 copy on pixels in [0, 1].

    >>> checkpoint = hubclean.wrap(net, torch.zeros(1, 3, 32, 32), labels=["cat", "dog"])
    >>> checkpoint.labels, checkpoint.site.channels
    (('cat', 'dog'), 8)

    Args:
        model: takes a batch of images and returns logits (a tensor, or inside a tuple, a mapping or a ModelOutput).
        example: a batch ``(n, c, h, w)`` as the net takes it; only its shape counts.
        labels: a name for each output, or a mapping from output to name (``model.config.id2label``); without them
            ``label 0``, ``label 1``, ...
        mean, std: the normalisation that ``model`` expects, a value a channel for pixels in [0, 1], both or neither;
            without them it takes pixels in [0, 1] as they are.
        name: shown as architecture and origin; without it the class's name.
        folder: holds the same weights as safetensors, under the names of ``model.state_dict()``: a cleansed copy then
            differs from it in the changed tensors alone. Without it, ``clean`` writes ``model.safetensors`` in float32.
        hooks: a folder with adapters of your own.

    Raises:
        ModelError: the net does not run on ``example``, no head is found, or labels, mean, std or folder do not fit.
    """
    from hubclean.nets.own_net import wrap_module

    place = None if folder is None else Path(folder)
    return wrap_module(model, example, labels=labels, mean=mean, std=std, name=name, folder=place, hooks=hooks)


def open_session(
    device: str = "auto",
    seed: int = 0,
    batch_size: int = 128,
    mixed_precision: str = "no",
    progress: Progress | None = None,
) -> Session:
    """Device, seed and batch size of a run, for ``clean`` and deep scans.

    >>> hubclean.open_session("cpu", seed=1).device.type
    'cpu'

    Args:
        device: ``auto`` (an accelerator when there is one), ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        seed: every random choice of the run derives from it.
        batch_size: images in one forward pass; 0 = as many as the memory holds.
        mixed_precision: ``no``, ``fp16`` or ``bf16``.
        progress: told of long work.

    Raises:
        OptionError: the device or the precision does not exist here.
    """
    from hubclean.nets import session

    return session.open_session(device, seed, batch_size, mixed_precision, progress)


def clean(
    target: str | Path | Repo | Checkpoint,
    data: ImageSource | None,
    out: str | Path,
    *,
    revision: str | None = None,
    session: Session | None = None,
    detectors: Sequence[str] = (),
    defense: str | None = None,
    given: Sequence[str] = (),
    split: str | None = None,
    sizes: Sizes | None = None,
    planted: Sequence[Stamp] = (),
    hooks: Path | None = None,
    retune: bool = True,
    always: bool = False,
    ballots: Sequence[Path] = (),
    feedback: Sequence[Path] = (),
    gate: Severity = "high",
    allow: Sequence[str] = (),
    allow_unchecked: Sequence[str] = (),
    loader: Loader | None = None,
    subfolder: str = "",
    base: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    label_map: str | Path | Mapping[str, str | int | None] | None = None,
    labels_by: Literal["name", "number", "position"] | None = None,
    accept_accuracy: bool = False,
) -> CleanResult:
    """Detect, cleanse, measure and write a sanitized checkpoint with its audit and card.

    A repo, with a folder of pictures, then a net of your own with tensors of your own:

    >>> result = hubclean.clean("model", "images", "clean", detectors=["magnitude-saliency"], defense="clp")
    >>> result.audit.cleansing.defense, (result.folder / "README.md").is_file()
    ('clp', True)
    >>> checkpoint = hubclean.wrap(net, pixels[:1], labels=["cat", "dog"])
    >>> quick = ["magnitude-saliency"]
    >>> result = hubclean.clean(checkpoint, (pixels, labels), "mine", detectors=quick, defense="fine-pruning")
    >>> cleansed = result.checkpoint.model  # or result.folder / "model.safetensors"

    Args:
        target: as for ``scan``, or a checkpoint from ``wrap`` for a net that no library knows.
        data: clean labelled images: a folder, a table or archive of them, or a Hub dataset id
            (``org/data:config``); a pair of tensors (pixels ``(n, c, h, w)``, uint8 or float in [0, 1], and labels),
            an ``ImageSet``, a ``datasets.Dataset``, or any dataset of (image, label); ``None`` for methods that need
            none.
        out: folder to write; it appears whole or not at all.
        revision: branch, tag or commit; only with a target on a Hub.
        session: device, seed, batch size, from ``open_session``.
        detectors: by name, or ``skip`` alone; none named = ``neural-cleanse`` and
            ``source-specific``, which decide from 6 labels on; without images ``mm-bd``.
        defense: by name; ``None`` = ``auto``, which tries several; without images ``clp``.
        given: options of detectors and defense as ``"KEY=VALUE"`` or ``"METHOD.KEY=VALUE"``.
        split: which split of the images; ``None`` = the most held-out one.
        sizes: images for fit, val and test; ``None`` = a quarter, a quarter, the rest.
        planted: triggers that you know. They measure ASR and are never shown to a detector or defense.
        hooks: a folder with adapters of your own.
        retune: measure whether a trigger that is known or recovered comes back.
        always: run the defense where nothing was found, too; else the weights stay as they are.
        ballots, feedback: files of participants, for ``federated-pruning``.
        gate, allow, allow_unchecked, loader: of the static scan before it, as for ``scan``.
        subfolder: where in the repo the model lies, as of ``from_pretrained``.
        base: what an adapter (LoRA) changes; without it the repo that its config names.
        image_column, label_column: of a table of images, where names and the model's labels do not decide.
        label_map: for classes of the images that have not the very name of a label: class to label name, label number
            (from 0) or ``None`` to leave it out; a mapping, or a JSON or CSV file.
        labels_by: ``name`` alone, ``number`` (classes are named by the labels' numbers) or ``position`` (class k is
            label k); without it, by name, and by number where the labels are numbers or have no names.
        accept_accuracy: go on where the model does not answer the images with their labels.

    Returns:
        The folder, the audit, the cleansed checkpoint; ``audit.exit_code`` is that of the command.

    Raises:
        OptionError: no such method or option, or a method needs images and there are none.
        RefusedError: the static scan has findings that count, or did not check what will be loaded; nothing was.
        LabelError: a class goes to no label, or the model's answers do not fit the labels; ``label_map`` of the error
            is a map to save, where one can be offered.
        HubcleanError: anything else that kept it from finishing; then ``out`` does not exist.
    """
    from hubclean.cleansing import pipeline
    from hubclean.cleansing.options import CleanOptions
    from hubclean.nets.checkpoint import Checkpoint
    from hubclean.nets.datasets import Sizes

    options = CleanOptions(
        detectors=strings("detectors", detectors),
        defense=defense,
        given=strings("given", given),
        split=split,
        sizes=sizes or Sizes(),
        planted=several("planted", planted),
        hooks=hooks,
        retune=retune,
        always=always,
        ballots=several("ballots", ballots),
        feedback=several("feedback", feedback),
        gate=gate,
        allow=strings("allow", allow),
        allow_unchecked=strings("allow_unchecked", allow_unchecked),
        loader=loader,
        subfolder=subfolder,
        base=base,
        image_column=image_column,
        label_column=label_column,
        label_map=label_map,
        labels_by=labels_by,
        accept_accuracy=accept_accuracy,
    )
    if not isinstance(target, (str, Path, Checkpoint)) and not hasattr(target, "read_range"):
        raise OptionError(f"clean takes a repo or a checkpoint, not {type(target).__name__}: hubclean.wrap a net first")
    place = str(target) if isinstance(target, Path) else target
    return pipeline.clean(place, data, Path(out), session or open_session(), options, revision)


def load_filtered(
    target: str | Path | Checkpoint, *, revision: str | None = None, session: Session | None = None
) -> FilteredClassifier:
    """Load a checkpoint that ``clean`` wrote with the filter in front of it (``nc-filter``, ``extreme-weights``).

    >>> hubclean.load_filtered("clean")
    Traceback (most recent call last):
    hubclean.errors.DataError: the repo has no hubclean/guard.safetensors: its classifier has no runtime filter

    Args:
        target: the output folder of ``clean``, or where it was published: ``org/model``, ``org/model@rev``; for a net
            of your own, ``wrap(..., folder=...)`` of that folder.
        session: on whose device the model shall be (the CPU without one).

    Raises:
        DataError: there is no filter, or it is damaged. ModelError: it was made for other weights.
    """
    from hubclean.hub.targets import open_target
    from hubclean.methods import runtime_filter

    if isinstance(target, (str, Path)):
        return runtime_filter.open_filtered(open_target(str(target), revision), session)
    return runtime_filter.before(target)


def load_guarded(
    target: str | Path, *, revision: str | None = None, session: Session | None = None
) -> FilteredClassifier:
    """The former name of ``load_filtered``; it goes with the next release."""
    warnings.warn("hubclean.load_guarded is now hubclean.load_filtered", DeprecationWarning, stacklevel=2)
    return load_filtered(target, revision=revision, session=session)
