"""Images as the patches that nets for any aspect ratio take.

Their processor keeps an image's proportions; here all images are made square, so that they have one size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hubclean.errors import ModelError
from hubclean.escaping import printable
from hubclean.nets.construction import configs
from hubclean.records import ModelFacts


def cut_patches(images: Tensor, patch: int) -> dict[str, Tensor]:
    """Normalised images as the patches that nets for any aspect ratio take (NaFlex, Tschannen et al. 2025, Siglip2).

    Args:
        images: ``(n, c, h, w)``; ``h`` and ``w`` are multiples of ``patch``. Gradients pass.

    Returns:
        ``pixel_values (n, l, patch * patch * c)``, row by row of the image and of each patch, channels last;
        ``pixel_attention_mask (n, l)``, all ones; ``spatial_shapes (n, 2)``, rows and columns of patches.
    """
    n, c, h, w = images.shape
    rows, columns = h // patch, w // patch
    grid = images.reshape(n, c, rows, patch, columns, patch).permute(0, 2, 4, 3, 5, 1)
    return {
        "pixel_values": grid.reshape(n, rows * columns, patch * patch * c),
        "pixel_attention_mask": torch.ones(n, rows * columns, dtype=torch.int32, device=images.device),
        # Read number by number; never on meta, which has none.
        "spatial_shapes": torch.tensor([[rows, columns]] * n, device="cpu"),
    }


def square_side(processor: Any, patch: int) -> int:
    """Side of the largest square image that the processor leaves as it is: ``patch * floor(sqrt(max_num_patches))``.

    Raises:
        ModelError: it makes other patches than the model takes, or an unreasonable number of them.
    """
    most = getattr(processor, "max_num_patches", None)
    if getattr(processor, "patch_size", None) != patch:
        raise ModelError(f"the processor does not cut images into the patches of {patch} pixels that the model takes")
    if type(most) is not int or not 1 <= most <= (configs.MAX_PIXELS // patch) ** 2:
        raise ModelError(
            f"the processor has the max_num_patches {printable(repr(most), 40)}, which makes no image of known size"
        )
    return patch * math.isqrt(most)


def patch_resize(processor: Any, side: int) -> Callable[..., Tensor]:
    """A resize by the processor's own filter to a square ``(c, side, side)`` of uint8, whatever an image's shape."""
    resample = Image.Resampling(int(processor.resample))

    def resize(image: Image.Image, band: int = 0) -> Tensor:
        values = torch.from_numpy(np.array(image.resize((side, side), resample)))
        return values.permute(2, 0, 1) if values.ndim == 3 else values[None]

    return resize


def check_patches(processor: Any, facts: ModelFacts) -> None:
    """Makes sure that the processor's own patches of a square image of noise are those of ``cut``.

    Raises:
        ModelError: they are not.
    """
    channels, side, _ = facts.input_size
    noise = np.random.default_rng(0).integers(0, 256, (side, side, channels), dtype=np.uint8)
    theirs = processor(noise, return_tensors="pt", input_data_format="channels_last")["pixel_values"].float()
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (facts.mean, facts.std))
    pixels = torch.from_numpy(noise).permute(2, 0, 1) / 255
    ours = cut_patches(((pixels - mean) / std)[None], facts.patch)["pixel_values"]
    theirs = theirs[:, : ours.shape[1]]  # the rest is padding
    if theirs.shape != ours.shape or not torch.allclose(ours, theirs, atol=1e-3):
        raise ModelError("the processor makes other patches of an image than hubclean, in size or in order")
