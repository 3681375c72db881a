"""trojanzoo's own defense classes around a model and images of ours.

Its classes want datasets that it downloads itself, models of its own zoo and an attack object with the true trigger, so
they are made without their constructors and given stand-ins with the attributes they read. `optimize_mark`,
`check_early_stop`, `loss`, `add_mark`, `prune_step` and its logging are trojanzoo's, unchanged.

Versions that worked: trojanzoo 2.0.3 with matplotlib 3.8.4 (a newer one lacks `matplotlib.cm.get_cmap`, which it
imports), pandas, scikit-image, scikit-learn, pyyaml, tqdm; torch 2.15. Installed with `--no-deps`.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hubclean.nets.images import ImageSet


class Loader:
    """``batches`` random mini-batches an epoch, or all images once in order where ``batches`` is 0."""

    def __init__(self, images: ImageSet, batches: int, size: int, seed: int = 0) -> None:
        self.images, self.batches, self.size = images, batches, size
        self.order = torch.Generator().manual_seed(seed)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if not self.batches:
            yield from self.images.batches(self.size)
            return
        for _ in range(self.batches):
            rows = torch.randperm(len(self.images), generator=self.order)[: self.size]
            yield self.images.images(rows), self.images.labels[rows]


def _model(model: nn.Module, features: nn.Module | None = None) -> Any:
    class Stand:
        num_classes = 0

        def __call__(self, images: Tensor, **_: Any) -> Tensor:
            logits: Tensor = model(images)
            return logits

        def get_data(self, data: Any, **_: Any) -> Any:
            return data

        def loss(self, _input: Any = None, _label: Any = None, _output: Any = None, **_: Any) -> Tensor:
            return functional.cross_entropy(_output, _label)

        def get_fm(self, images: Tensor) -> Tensor:
            """Output of ``features``, as trojanzoo's `features(preprocess(x))`."""
            kept: list[Tensor] = []
            assert features is not None
            hook = features.register_forward_hook(lambda _module, _inputs, output: kept.append(output))
            with torch.no_grad(), contextlib.ExitStack() as stack:
                stack.callback(hook.remove)
                model(images)
            return kept[-1]

        def named_modules(self) -> Any:
            return model.named_modules()

    return Stand()


def neural_cleanse(model: nn.Module, images: ImageSet, epochs: int, batches: int, size: int, **settings: float) -> Any:
    """Its `NeuralCleanse` with its own defaults; `optimize_mark(label, verbose=False)` inverts one label."""
    from trojanvision.defenses.backdoor.model_inspection.neural_cleanse import NeuralCleanse
    from trojanvision.marks import Watermark

    _, channels, height, width = images.pixels.shape
    mark = Watermark.__new__(Watermark)
    mark.mark, mark.mark_alpha, mark.mark_random_pos, mark.add_mark_fn = (
        torch.zeros(channels + 1, height, width),
        1.0,
        False,
        None,
    )
    mark.mark_height, mark.mark_width, mark.mark_height_offset, mark.mark_width_offset = height, width, 0, 0
    mark.data_shape = [channels, height, width]
    cleanse = NeuralCleanse.__new__(NeuralCleanse)
    cleanse.attack = SimpleNamespace(mark=mark, add_mark=mark.add_mark)
    cleanse.model = _model(model)
    cleanse.dataset = SimpleNamespace(loader={"train": Loader(images, batches, size)})
    cleanse.defense_remask_epoch, cleanse.defense_remask_lr, cleanse.cost = epochs, 0.1, 1e-3
    cleanse.init_cost = cleanse.cost
    multiplier = settings.get("multiplier", 1.5)
    cleanse.cost_multiplier_up, cleanse.cost_multiplier_down = multiplier, multiplier**1.5
    cleanse.nc_asr_threshold, cleanse.nc_early_stop_threshold = 0.99, 0.99
    cleanse.nc_patience = settings.get("patience", 10.0)
    cleanse.early_stop_patience = cleanse.nc_patience * 2
    return cleanse


def fine_pruning(
    model: nn.Module, features: nn.Module, val: ImageSet, accuracy: Callable[[], float], tune: Callable[[], None]
) -> Any:
    """Its `FinePruning` with its own defaults; `detect()` prunes ``model`` in place and calls ``tune``.

    It ranks on its `valid` loader and stops when clean accuracy there fell by 20 points.

    Args:
        features: the module whose last output is the final feature map.
        accuracy: clean accuracy in percent on ``val``.
        tune: stands in for the training of its zoo models.
    """
    from trojanvision.defenses.backdoor.attack_agnostic.fine_pruning import FinePruning

    pruning = FinePruning.__new__(FinePruning)
    pruning.model = _model(model, features)
    pruning.model._train = lambda **_: tune()
    pruning.dataset = SimpleNamespace(loader={"valid": Loader(val, 0, 100)})
    pruning.attack = SimpleNamespace(clean_acc=accuracy(), validate_fn=lambda **_: (0.0, accuracy()))
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    pruning.prune_num = int(convolutions[-1].out_channels * 0.95)
    pruning.folder_path, pruning.get_filename = "", lambda: "unused"
    return pruning


def quietly(work: Any, *arguments: Any, **named: Any) -> Any:
    """Call it without what it prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        return work(*arguments, **named)


def invert_all(cleanse: Any, labels: range) -> Tensor:
    """Its loop over labels: marks ``(k, c+1, h, w)``, the last channel the mask."""
    marks = []
    for label in labels:
        cleanse.cost = cleanse.init_cost
        marks.append(quietly(cleanse.optimize_mark, label, verbose=False)[0])
    return torch.stack(marks)


def available() -> str:
    """Why trojanzoo cannot run here; empty if it can."""
    try:
        import trojanvision.defenses  # noqa: F401
    except Exception as error:  # whatever its imports raise is the answer
        return f"{type(error).__name__}: {error}"
    return ""
