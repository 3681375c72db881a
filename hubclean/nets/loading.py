"""Loads a repo as a checkpoint from safetensors alone, and writes a checkpoint back with nothing but weights edited."""

from __future__ import annotations

import copy
import math
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from hubclean.errors import HubcleanError, ModelError, OutputError
from hubclean.escaping import printable
from hubclean.hub.repos import Repo, sha256_of
from hubclean.nets import expected_names, weight_files
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.construction import classifier
from hubclean.nets.construction.adapters import Adapter
from hubclean.nets.construction.classifier import Classifier, bare
from hubclean.nets.construction.plain import plain_net
from hubclean.nets.cut import features
from hubclean.nets.images import Images
from hubclean.nets.session import Session
from hubclean.records import Conversion, FileHash, ModelFacts, RepoRef
from hubclean.scanning.formats.safetensors_header import read_header_file
from hubclean.scanning.formats.torch_to_safetensors import main_pickle, parts, unpacked
from hubclean.scanning.pickles.state_dict import Sought

_SMALL = 10**8  # parameters that fit any memory; some libraries enlarge tables while they load them


def load_checkpoint(
    repo: Repo, *, session: Session | None = None, adapters: Iterable[Adapter] | None = None, fetch: bool = True
) -> Checkpoint:
    """Build the repo's classifier, find its heads, and load its weights: float32, eval mode, no gradients.

    Only safetensors, JSON, licences and the card are fetched, the weights after everything else is in order. Where the
    weights are a pickle only, it is converted without unpickling (``torch_to_safetensors``).

    Args:
        session: where to put the model (the CPU without one).
        adapters: those of ``hooks/`` when ``None``.
        fetch: ``False`` stops before the weights: the model is on the meta device, ``folder`` holds configs only.

    Raises:
        ModelError: not a classifier that can be built, located or filled from its files; names what does not fit.
        RefusedError: the repo asks for code, or has its weights only in a format that is not read.
        FormatError: they are a pickle that is not plain, or cannot be converted faithfully.
    """
    names = [entry.path for entry in repo.files()]
    small = [name for name in names if weight_files.is_carried(name) or name in ("README.md", weight_files.INDEX)]
    if "config.json" not in names:
        homes = sorted({name.rpartition("/")[0] for name in names if name.endswith("/config.json")})
        hint = f"; models lie in {', '.join(printable(home, 60) for home in homes[:6])}: --subfolder" if homes else ""
        raise ModelError(f"the repo has no config.json, so how to build the model is unknown{hint}")
    folder = repo.fetch(small)
    rows = None if adapters is None else tuple(adapters)
    model, facts = classifier.build_classifier(folder, meta=True, adapters=rows)
    site = features.locate(model, facts, rows)
    if not fetch:
        return Checkpoint(model, site, facts, repo.ref, folder)
    sought = Sought(averaged=facts.library == "timm", names=expected_names.disk_names(model.net))
    folder, files, conversion = _with_weights(repo, folder, names, small, sought)
    enough(folder, files, facts.parameters)
    model, facts = classifier.build_classifier(folder, weights=files, adapters=rows)
    _finite(model)
    model = model.to(session.device) if session else model
    return Checkpoint(model, site, facts, repo.ref, folder, conversion)


def _with_weights(
    repo: Repo, folder: Path, names: list[str], small: list[str], sought: Sought
) -> tuple[Path, tuple[str, ...], Conversion | None]:
    """The folder with weights in safetensors and their file names; pickled ones are converted, never unpickled."""
    pickled = main_pickle(names)
    if not pickled:
        files = weight_files.with_shards(folder, weight_files.main_file(names))
    else:
        files = parts(repo.fetch([pickled]), pickled)
    if missing := sorted(set(files) - set(names)):
        raise ModelError(f"the repo lacks the shard {printable(missing[0])!r} that its index names")
    folder = repo.fetch([*small, *files])
    if not pickled:
        return folder, files, None
    folder, conversion = unpacked(folder, files, small, sought)
    return (
        folder,
        weight_files.with_shards(folder, weight_files.main_file(place.name for place in folder.iterdir())),
        conversion,
    )


def wrap(
    net: nn.Module,
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    input_size: tuple[int, int, int],
    labels: tuple[str, ...],
    name: str,
    folder: Path | None = None,
    adapters: Iterable[Adapter] | None = None,
) -> Checkpoint:
    """A checkpoint around a copy of any net of the user's own that takes normalised images and returns logits.

    Args:
        mean, std: of the normalisation, a value a channel, for pixels in [0, 1].
        input_size: channels, height, width.
        labels: a name for each output.
        name: shown as architecture and origin.
        folder: holds the same weights as safetensors under the names of ``net.state_dict()``; needed for ``write``.

    Raises:
        ModelError: no head can be found, or the folder does not hold the net's weights.
    """
    own = copy.deepcopy(net).float().eval().requires_grad_(False)
    facts = ModelFacts(
        library="module",
        architecture=name,
        input_size=input_size,
        mean=tuple(mean),
        std=tuple(std),
        interpolation="bilinear",
        crop=1.0,
        labels=tuple(labels),
        parameters=classifier.count_parameters(own),
    )
    if not len(mean) == len(std) == input_size[0]:
        raise ModelError(f"mean and std need {input_size[0]} values, one a channel")
    model = Classifier(own, facts.mean, facts.std).to(next(own.parameters()).device)
    if folder is not None:
        stored = classifier.read_weights(folder, _files(folder))
        for key, tensor in own.state_dict().items():
            if weight_files.may_lack(key) and key not in stored:
                continue
            if key not in stored or not torch.equal(stored[key].to(tensor), tensor):
                raise ModelError(
                    f"the safetensors files in {folder.name!r} do not hold {printable(key)!r} as the net does"
                )
    return Checkpoint(
        model.eval(), features.locate(model, facts, adapters), facts, RepoRef(name, None, "local"), folder
    )


def write_checkpoint(original: Checkpoint, edited: Checkpoint, into: Path) -> tuple[str, ...]:
    """Write the original's files with the edited weights into the existing, empty folder ``into``.

    Config, processor and licence are byte for byte the original's, and so is every tensor that did not change, every
    header, and the order. The card, code, pickles and second copies of the weights stay behind.

    Returns:
        Names on disk of the tensors whose bytes changed, sorted.

    Raises:
        ModelError: a changed value has no place in the files; nothing is written.
        OutputError: ``into`` cannot be written.
    """
    folder = original.folder
    if folder is None:
        raise ModelError("the checkpoint was built in memory; wrap it with the folder of its safetensors to write it")
    files = _files(folder)
    fresh = weight_files.changed_tensors(
        original.facts.library, folder, files, bare(original.model), bare(edited.model)
    )
    try:
        for name in _carried(folder):
            shutil.copyfile(folder / name, into / name)
    except OSError as error:
        raise OutputError(f"the files cannot be written: {error}") from error
    weight_files.patch_weights(folder, files, fresh, into)
    return tuple(sorted(fresh))


def as_written(original: Checkpoint, edited: Checkpoint) -> Checkpoint:
    """``edited`` with its weights rounded as the files will hold them; itself when the files are float32."""
    folder, facts = original.folder, original.facts
    if folder is None or all(
        t.dtype == torch.float32
        for t in classifier.read_weights(folder, _files(folder)).values()
        if t.is_floating_point()
    ):
        return edited
    with tempfile.TemporaryDirectory(prefix="hubclean-") as place:
        write_checkpoint(original, edited, Path(place))
        if original.facts.library == "module":
            net = copy.deepcopy(bare(edited.model))
            net.load_state_dict(classifier.read_weights(Path(place), _files(Path(place))))
        else:
            # Whatever adapters it was loaded with, it is built in the same way.
            said = "patches" if facts.patch else ""
            same = Adapter("loaded", "transformers", facts.architecture, "", "", input=said)
            net = classifier.build_classifier(Path(place), weights=_files(Path(place)), adapters=(same,))[0].net
    device = next(edited.model.parameters()).device
    model = Classifier(net, facts.mean, facts.std, facts.patch).eval().requires_grad_(False)
    return replace(edited, model=model.to(device))


def input_hashes(checkpoint: Checkpoint) -> tuple[FileHash, ...]:
    """Size and sha256 of every file the checkpoint was loaded from, the card included; none for a model in memory."""
    folder = checkpoint.folder
    if folder is None:
        return ()
    card = ("README.md",) if (folder / "README.md").is_file() else ()
    names = sorted({*_carried(folder), *_files(folder), *card})
    return tuple(FileHash(name, (folder / name).stat().st_size, sha256_of(folder / name)) for name in names)


def weight_hashes(folder: Path) -> dict[str, str]:
    """Sha256, by file name, of the files in ``folder`` that hold the weights: one, or the index and its shards.

    Raises:
        ModelError: there are no weights in ``folder``.
    """
    return {name: sha256_of(folder / name) for name in _files(folder)}


def reload_plain(folder: Path, patch: int = 0) -> Callable[[Tensor], Tensor]:
    """Load ``folder`` as a stranger would, with nothing but timm or transformers: normalised images to logits.

    Args:
        patch: side of the patches to cut the images into for a net that takes patches.

    Raises:
        ModelError: the library cannot load it.
    """
    try:
        net = plain_net(folder, _files(folder))
    except HubcleanError:
        raise
    except Exception as error:
        raise ModelError(f"the plain library cannot load the folder: {printable(str(error), 300)}") from error
    net.eval().requires_grad_(False)
    kind = next(net.parameters()).dtype
    return lambda images: classifier.logits_of(classifier.net_output(net, images.to(kind), patch)).float()


@torch.no_grad()
def same_logits(checkpoint: Checkpoint, folder: Path, images: Images) -> float:
    """Worst difference, relative to the largest logit, between the checkpoint and ``folder`` loaded plainly.

    Args:
        images: ``(n, c, h, w)`` in [0, 1].
    """
    device = next(checkpoint.model.parameters()).device
    ours = checkpoint.model(images.to(device)).cpu()
    images = images.cpu()
    mean, std = (torch.tensor(value).view(1, -1, 1, 1) for value in (checkpoint.facts.mean, checkpoint.facts.std))
    if checkpoint.facts.library == "module":
        net = copy.deepcopy(bare(checkpoint.model)).cpu()
        net.load_state_dict(classifier.read_weights(folder, _files(folder)))
        theirs = classifier.logits_of(net((images - mean) / std))
    else:
        theirs = reload_plain(folder, checkpoint.facts.patch)((images - mean) / std)
    return float((ours - theirs).abs().max()) / max(float(ours.abs().max()), 1e-12)


def _files(folder: Path) -> tuple[str, ...]:
    return weight_files.with_shards(folder, weight_files.main_file(file.name for file in folder.iterdir()))


def _carried(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if file.is_file() and weight_files.is_carried(file.name))


def enough(folder: Path, files: tuple[str, ...], parameters: int) -> None:
    """A small file cannot fill a large model; found before the memory for the model is taken."""
    headers = (read_header_file(folder / name) for name in files if name.endswith(".safetensors"))
    stored = sum(math.prod(tensor.shape) for header in headers for tensor in header.tensors)
    if parameters > 2 * stored + _SMALL:
        raise ModelError(f"the config describes {parameters:,} parameters, the weights hold only {stored:,} values")


def _finite(model: nn.Module) -> None:
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ModelError(f"the weights hold NaN or infinity in {printable(name)!r}")
