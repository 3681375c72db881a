"""A model's own resize and crop, as uint8 pixels, and its normalisation folded into one mean and std."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from hubclean.errors import DataError, ModelError
from hubclean.escaping import printable
from hubclean.nets.construction import configs, image_patches, processors
from hubclean.records import ModelFacts

_CROP_MODES = ("center", "squash", "border")
_LONGEST = 100  # sides in proportion; resized by its short side, a longer image would fill the memory


def preprocessing(folder: Path | None, facts: ModelFacts) -> Callable[[Any], Tensor]:
    """The model's evaluation resize and crop: a picture to uint8 pixels ``(c, h, w)``.

    The picture is a PIL image of any mode, or a uint8 array ``(c, h, w)`` or ``(h, w, c)``. For models of other than 1
    or 3 channels a PIL image needs as many bands, and every channel is resized by itself as a grey picture.

    Raises:
        ModelError: the processor cannot be built, or gives a picture another size than the model takes.
        DataError: (from the function returned) the picture does not have the model's channels.
    """
    channels = facts.input_size[0]
    if facts.library == "transformers" and not _is_wrapper(folder, facts):
        assert folder is not None
        processor = processors.processor(folder)
        resize = image_patches.patch_resize(processor, facts.input_size[1]) if facts.patch else _hf_resize(processor)
    else:
        resize = _timm_resize(facts)

    def pixels(image: Any) -> Tensor:
        pictures = _opened(image, channels) if isinstance(image, Image.Image) else _planes(image, channels)
        width, height = pictures[0].size
        if max(width, height) > _LONGEST * min(width, height):
            raise ValueError(f"an image of {width} x {height} pixels is too long")
        found = torch.cat([resize(picture, band) for band, picture in enumerate(pictures)])
        if tuple(found.shape) != facts.input_size:
            raise ModelError(f"the processor makes images of {tuple(found.shape)}, the model takes {facts.input_size}")
        return found

    return pixels


def _opened(image: Image.Image, channels: int) -> list[Image.Image]:
    """A picture upright, as one RGB or grey picture, or for other channel counts as a grey picture a band."""
    upright = ImageOps.exif_transpose(image)
    if channels not in (1, 3):
        bands = upright.getbands()
        if len(bands) != channels or upright.mode.startswith(("I", "F")):
            raise DataError(
                f"the model takes {channels} channels, but a picture has {len(bands)} ({upright.mode}); give an "
                f"Array3D column of uint8 values ({channels}, height, width) in parquet or arrow instead of pictures"
            )
        return list(upright.split())
    if upright.mode.startswith(("I", "F")):  # 16-bit grey; PIL's own conversion would clip it at 255
        upright = Image.fromarray(_to_bytes(np.asarray(upright)))
    if "transparency" in upright.info:
        upright = upright.convert("RGBA")
    return [upright.convert("L" if channels == 1 else "RGB")]


def _planes(values: Any, channels: int) -> list[Image.Image]:
    """An array as an RGB picture or a grey picture a channel; its first axis is the channels' where both could be."""
    array = np.asarray(values)
    if array.dtype != np.uint8:
        raise DataError(f"images as arrays must be uint8 with values 0 to 255, not {array.dtype}")
    if array.ndim == 2 and channels == 1:
        array = array[None]
    if array.ndim == 3 and array.shape[0] != channels:
        array = array.transpose(2, 0, 1)
    if array.ndim != 3 or array.shape[0] != channels or 0 in array.shape:
        raise DataError(
            f"the model takes {channels} channels, but an image is an array of shape {np.shape(values)}; "
            f"it must be ({channels}, height, width) or (height, width, {channels})"
        )
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in array]
    return [Image.merge("RGB", planes)] if channels == 3 else planes


def timm_facts(
    net: nn.Module, name: str, pretrained: dict[str, Any], args: dict[str, Any], labels: tuple[str, ...]
) -> ModelFacts:
    """Facts of a timm model: its data config, with ``in_chans`` and ``img_size`` of the model's arguments."""
    from timm.data import resolve_data_config

    data = resolve_data_config({}, pretrained_cfg=pretrained)
    channels, height, width = data["input_size"]
    side = args.get("img_size") or (height, width)
    height, width = (side, side) if isinstance(side, int) else side
    channels = args.get("in_chans") or channels
    mean, std = (_per_channel(data[key], channels) for key in ("mean", "std"))
    facts = ModelFacts(
        library="timm",
        architecture=name,
        input_size=(int(channels), int(height), int(width)),
        mean=mean,
        std=std,
        interpolation=str(data["interpolation"]),
        crop=float(data["crop_pct"]),
        crop_mode=str(data["crop_mode"]),
        labels=labels,
        parameters=sum(parameter.numel() for parameter in net.parameters()),
    )
    configs.check_sizes({"size": list(facts.input_size), "crop_pct": facts.crop}, "config.json")
    if not np.isfinite((*mean, *std)).all() or min(std) < 1e-8:
        raise ModelError("mean and std in config.json must be numbers, and std above 0")
    if facts.crop_mode not in _CROP_MODES:
        raise ModelError(f"config.json has the unknown crop_mode {printable(facts.crop_mode)!r}")
    _timm_resize(facts)  # fails here, not at the first image, on an interpolation that timm does not know
    return facts


def hf_facts(
    net: nn.Module, folder: Path, architecture: str, labels: tuple[str, ...], channels: int = 3, patch: int = 0
) -> ModelFacts:
    """Facts of a transformers model; input size, mean and std are measured on what its processor really does.

    Args:
        channels: of the pixels that the model takes, as its config says.
        patch: side of the patches that the model takes; its images are then made square (``cut_patches``).

    Raises:
        ModelError: there is no usable processor, or it is not a fixed size and one scale and shift a channel.
    """
    processor = processors.processor(folder)
    assumed = () if processors.has_processor(folder) else (processors.assumed(processor),)
    resize = (
        image_patches.patch_resize(processor, image_patches.square_side(processor, patch))
        if patch
        else _hf_resize(processor)
    )
    size = resize(Image.new("RGB", (97, 64), (128, 128, 128))).shape
    if len(size) != 3:
        raise ModelError(
            f"the processor makes no images but values of shape {tuple(size)}, as models of tokens or patches take them"
            '; an adapter with input = "patches" may say that these are patches (see hooks/README.md)'
        )
    if size != resize(Image.new("RGB", (64, 97), (128, 128, 128))).shape:
        raise ModelError(
            "the processor gives images of different shapes different sizes; it must crop or resize to one"
        )
    black, middle, white = (_centre(processor, value, channels) for value in (0, 51, 255))
    if not np.allclose(middle, black + 0.2 * (white - black), atol=1e-3 * float(np.abs(white - black).max())):
        raise ModelError("the processor does more to pixel values than a scale and a shift")
    if np.any(np.abs(white - black) < 1e-8):
        raise ModelError("the processor makes black and white the same")
    std = 1 / (white - black)
    resample = getattr(processor, "resample", None)
    facts = ModelFacts(
        library="transformers",
        architecture=architecture,
        input_size=(channels, int(size[1]), int(size[2])),
        mean=_per_channel(_float32(-black * std), channels),
        std=_per_channel(_float32(std), channels),
        interpolation=Image.Resampling(int(resample)).name.lower() if resample is not None else "none",
        crop=float(getattr(processor, "crop_pct", None) or 1.0),
        crop_mode="squash" if patch else "center",
        labels=labels,
        parameters=sum(parameter.numel() for parameter in net.parameters()),
        patch=patch,
        assumed=assumed,
    )
    if patch:
        image_patches.check_patches(processor, facts)
    return facts


def wrapper_facts(
    net: nn.Module, cls: str, name: str, pretrained: dict[str, Any], args: dict[str, Any], labels: tuple[str, ...]
) -> ModelFacts:
    """Facts of a timm net inside transformers, whose processor reads them from ``pretrained_cfg`` as timm does.

    A config without any is one that transformers makes no processor of: then timm's own for the architecture is taken.
    """
    silent = [key for key in ("input_size", "mean", "std") if key not in pretrained]
    known = any(key in pretrained for key in ("input_size", "mean", "std", "interpolation", "crop_pct"))
    own = dict(getattr(net.timm_model, "pretrained_cfg", None) or {})
    keys = () if known else ("input_size", "mean", "std", "interpolation", "crop_pct", "crop_mode")
    facts = timm_facts(net, name, {**{key: own[key] for key in keys if own.get(key)}, **pretrained}, args, labels)
    taken = "as transformers takes them: ImageNet's" if known else f"taken: timm's for {printable(name, 60)}"
    assumed = (f"{', '.join(silent)}: not in config.json, {taken}",) if silent else ()
    return replace(facts, library="transformers", architecture=cls, assumed=assumed)


def _is_wrapper(folder: Path | None, facts: ModelFacts) -> bool:
    return facts.architecture.startswith("TimmWrapper") and (folder is None or not processors.has_processor(folder))


def _hf_resize(processor: Any) -> Callable[..., Tensor]:
    # Rescaling and normalising come after resizing in every processor; without them the values are still 0..255.
    off = {key: False for key in ("do_normalize", "do_rescale", "include_top") if hasattr(processor, key)}

    def resize(image: Image.Image, band: int = 0) -> Tensor:
        values = processor(image.convert("RGB"), return_tensors="pt", **off)["pixel_values"][0]
        if values.dtype != torch.uint8:
            values = values.float().round().clamp(0, 255).to(torch.uint8)
        return torch.as_tensor(values if image.mode == "RGB" else values[:1])  # a grey picture stays one channel

    return resize


def _float32(values: Any) -> tuple[float, ...]:
    """The shortest decimals that float32 arithmetic cannot tell from the measured values."""
    return tuple(float(f"{value:.6g}") for value in values)


def _centre(processor: Any, value: int, channels: int) -> Any:
    """What a flat grey image of ``value`` becomes, one number a channel, away from any padding."""
    picture: Any = Image.new("RGB", (96, 96), (value,) * 3)
    order = {}
    if channels != 3 and len(getattr(processor, "image_mean", None) or ()) == channels:
        picture, order = np.full((channels, 96, 96), value, dtype=np.uint8), {"input_data_format": "channels_first"}
    out = processor(picture, return_tensors="pt", **order)["pixel_values"][0].double()
    if out.ndim == 2:  # patches, channels last
        return out[0, :channels].numpy()
    return out[:, out.shape[1] // 2, out.shape[2] // 2].numpy()


def _timm_resize(facts: ModelFacts) -> Callable[..., Tensor]:
    from timm.data import create_transform

    def transform(mean: tuple[float, ...]) -> Callable[[Image.Image], Tensor]:
        made: Callable[[Image.Image], Tensor] = create_transform(
            (len(mean), *facts.input_size[1:]),
            is_training=False,
            interpolation=facts.interpolation,
            mean=mean,  # borders are filled with it
            crop_pct=facts.crop,
            crop_mode=facts.crop_mode,
            normalize=False,
        )
        return made

    whole = facts.input_size[0] == 3
    bands = [transform(facts.mean)] if whole else [transform((value,)) for value in facts.mean]

    def resize(image: Image.Image, band: int = 0) -> Tensor:
        return torch.as_tensor(bands[band](image))

    return resize


def _per_channel(values: Any, channels: int) -> tuple[float, ...]:
    numbers = [float(value) for value in values]
    if len(numbers) not in (1, channels):  # an RGB mean for a grey or many-channel model
        numbers = [sum(numbers) / len(numbers)]
    return tuple(numbers * channels if len(numbers) == 1 else numbers)


def _to_bytes(values: Any) -> Any:
    top = float(values.max()) if values.size else 0.0
    scale = 1.0 if top <= 255 else 65535 / 255 if top <= 65535 else top / 255
    return np.clip(np.rint(values / scale), 0, 255).astype(np.uint8)
