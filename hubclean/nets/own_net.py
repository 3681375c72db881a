"""A net of the user's own, which no library knows: copied, described by an example, made a checkpoint."""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from hubclean.errors import ModelError, OptionError, several
from hubclean.escaping import printable
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.construction import adapters
from hubclean.nets.construction.classifier import bare, count_parameters
from hubclean.nets.cut import features
from hubclean.nets.trace import locate
from hubclean.nets.trace.recorder import Trace
from hubclean.records import ModelFacts


def wrap_module(
    module: nn.Module,
    example: Tensor,
    *,
    labels: Sequence[str] | Mapping[int, str] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    name: str | None = None,
    folder: Path | None = None,
    hooks: Path | None = None,
) -> Checkpoint:
    """A checkpoint around a float32 copy of any net; see ``hubclean.wrap``.

    Raises:
        ModelError: the net does not run on ``example``, no head can be found, or labels, mean or std do not fit it.
    """
    own = free_copy(module)
    facts, _ = described(own, example)
    if len(facts.labels) < 2:
        raise ModelError("the net has a single output: one a label is needed, two for yes and no")
    if folder is not None and not folder.is_dir():
        raise ModelError(f"there is no folder {printable(folder.name)!r} with the weights of the net")
    middle, spread = _normalisation(mean, std, facts.input_size[0])
    checkpoint = loading.wrap(
        own,
        mean=middle,
        std=spread,
        input_size=facts.input_size,
        labels=facts.labels if labels is None else _names(labels, len(facts.labels)),
        name=facts.architecture if name is None else name,
        folder=folder,
        adapters=adapters.load_adapters(hooks),
    )
    if not next(own.parameters()).is_meta:
        images = torch.rand(2, *facts.input_size, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            features.verify_site(checkpoint.model, checkpoint.site, images.to(next(own.parameters()).device))
    return checkpoint


def _names(labels: Sequence[str] | Mapping[int, str], count: int) -> tuple[str, ...]:
    """One name an output, from a sequence or from transformers' ``id2label``.

    Raises:
        ModelError: another number of names, a name twice, or something that is no name.
    """
    if isinstance(labels, Mapping):
        if set(labels) != set(range(count)):
            raise ModelError(f"the labels' keys must be 0 to {count - 1}, one for each output of the net")
        labels = [labels[index] for index in range(count)]
    if isinstance(labels, str) or not isinstance(labels, Sequence) or not all(isinstance(one, str) for one in labels):
        raise ModelError("labels are a sequence of names, or a mapping from output to name")
    if len(labels) != count:
        raise ModelError(f"there are {len(labels)} labels for a net with {count} outputs")
    if len(set(labels)) != count:
        twice = next(one for one in labels if list(labels).count(one) > 1)
        raise ModelError(f"the label {printable(twice, 60)!r} is there twice")
    return tuple(labels)


def _normalisation(
    mean: Sequence[float] | None, std: Sequence[float] | None, channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std as numbers, one a channel.

    Raises:
        ModelError: one without the other, not a finite number a channel, or a std that is not above 0.
    """
    if mean is None and std is None:
        return (0.0,) * channels, (1.0,) * channels
    if mean is None or std is None:
        raise ModelError("mean and std go together: pixels become (pixel - mean) / std")
    try:
        mean, std = several("mean", mean), several("std", std)
        middle, spread = (tuple(float(value) for value in values) for values in (mean, std))
    except (TypeError, ValueError, OptionError) as error:
        raise ModelError(f"mean and std need {channels} values, one a channel") from error
    if not len(middle) == len(spread) == channels:
        raise ModelError(f"mean and std need {channels} values, one a channel")
    if not all(math.isfinite(value) for value in (*middle, *spread)) or min(spread) <= 1e-8:
        raise ModelError("mean and std must be finite, and std above 0")
    if max(map(abs, middle)) > 1:
        raise ModelError(
            f"the mean {max(middle, key=abs):g} is not that of pixels in [0, 1]: divide mean and std by 255"
        )
    return middle, spread


def described(own: nn.Module, example: Tensor) -> tuple[ModelFacts, Trace]:
    """What one recorded forward on a batch like ``example`` ``(n, c, h, w)`` says of a net; only its shape counts.

    Raises:
        ModelError: it is no such batch, or the net does not run on it or returns no logits.
    """
    if not isinstance(example, Tensor) or example.ndim != 4:
        raise ModelError("the example must be a batch of images of shape (n, c, h, w)")
    channels, height, width = example.shape[1:]
    facts = ModelFacts(
        library="module",
        architecture=type(own).__name__,
        input_size=(channels, height, width),
        mean=(0.0,) * channels,
        std=(1.0,) * channels,
        interpolation="bilinear",
        crop=1.0,
        labels=(),
        parameters=count_parameters(own),
    )
    trace = locate.recorded(own, facts)
    count = trace.values[trace.logits].shape[1]
    return replace(facts, labels=tuple(f"label {index}" for index in range(count))), trace


def free_copy(module: nn.Module) -> nn.Module:
    """The net in float32, free to be run and cut, out of its wrapper.

    Raises:
        ModelError: it is no net, or one that cannot be copied or seen into.
    """
    if not isinstance(module, nn.Module):
        raise ModelError(f"the model must be a torch.nn.Module, not {type(module).__name__}")
    module = getattr(module, "_orig_mod", module)  # torch.compile keeps the net there
    module = bare(module)
    name = printable(type(module).__name__)
    if any(isinstance(part, torch.jit.ScriptModule) for part in module.modules()):
        raise ModelError(f"{name} has parts made by torch.jit, which cannot be seen into: give the net it was made of")
    if next(module.parameters(), None) is None:
        raise ModelError(f"{name} has no parameters, so there is no head whose columns could be cut")
    if any(torch.nn.parameter.is_lazy(parameter) for parameter in module.parameters()):
        raise ModelError(f"{name} has lazy layers without weights: run it once on a batch")
    try:
        return copy.deepcopy(module).float().eval().requires_grad_(False)
    except Exception as error:  # a stranger's net can raise anything
        said = printable((str(error) or type(error).__name__).splitlines()[0], 100)
        raise ModelError(
            f"{name} cannot be copied ({said}); if it keeps tensors of an earlier forward, give a new net"
        ) from error


@contextmanager
def on_disk(checkpoint: Checkpoint) -> Iterator[Checkpoint]:
    """The checkpoint with a folder of files; one that was built in memory gets a temporary ``model.safetensors``."""
    if checkpoint.folder is not None:
        yield checkpoint
        return
    # Clones: tied tensors are stored once for each of their names.
    state = {
        name: value.detach().cpu().clone().contiguous() for name, value in bare(checkpoint.model).state_dict().items()
    }
    with tempfile.TemporaryDirectory(prefix="hubclean-") as place:
        save_file(state, Path(place) / "model.safetensors")
        yield replace(checkpoint, folder=Path(place))
