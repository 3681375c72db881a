"""Every image classifier that hubclean promises to handle, each buildable with random weights and without a download.

All architectures of timm and builders of torchvision in their own size, all ``*ForImageClassification`` classes of
transformers from a tiny config, since a class has no size of its own.

    python -m benchmarks.catalogue          # the number of entries by library, and what is refused and why
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from benchmarks.tiny_configs import TINY
from hubclean.errors import ModelError
from hubclean.nets.construction.adapters import load_adapters
from hubclean.nets.construction.bounds import quiet
from hubclean.nets.construction.classifier import count_parameters, patch_size
from hubclean.records import ModelFacts

LIBRARIES = ("timm", "transformers", "torchvision")
_HALF = (0.5, 0.5, 0.5)
_SMALL = 128  # pixels a side; four positions a side in a net that halves five times

_REFUSED = {
    "dinat": "its neighbourhood attention is in the compiled package natten, which is not installed",
    "imagegpt": "it takes colour tokens, one a pixel, in place of pixels",
    "shieldgemma2": "it is a language model that answers a prompt about an image with Yes or No",
}

# Of every module the entry with the fewest operations a forward, on meta with timm 1.0.31, torchvision 0.29.
_SMALLEST = {
    "timm": """
        beit_base_patch16_224 haloregnetz_b test_byobnet cait_xxs24_224 coat_lite_tiny convit_tiny
        convmixer_1024_20_ks9_p14 test_convnext cpubone_nano crossvit_tiny_240 csatv2 cs3darknet_focus_s
        cspnext_tiny davit_tiny deepseek_vit_412m deit_tiny_patch16_224 densenet121 dla46x_c dpn48b
        edgenext_xx_small efficientformer_l1 efficientformerv2_s0 tinynet_e efficientvim_m1 efficientvit_b0
        efficientvit_m0 eva02_tiny_patch14_224 fasternet_t0 fastvit_t8 focalnet_tiny_srf gcvit_xxtiny
        gemma4_vit_167m ghostnet_050 hardcorenas_a hgnetv2_b0 hiera_tiny_224 hieradet_small hrnet_w18_small
        iformer_t inception_next_atto inception_resnet_v2 inception_v3 inception_v4 lcnetv2_small levit_128s
        lowformer_b0 test_mambaout test_coatnet poolformerv2_s12 mixer_s32_224 mobilenetv3_small_050
        mobilenetv5_base mobilevit_xxs mvitv2_tiny naflexvit_base_patch16_siglip nasnetalarge nest_tiny
        nextvit_small test_nfnet pit_ti_224 pnasnet5large pvt_v2_b0 qwen3_vit_88m rdnet_tiny regnetx_002
        repghostnet_050 repvit_m1 res2net50_48w_2s resnest14d test_resnet resnetv2_18 rexnet_100 selecsls42
        legacy_seresnet18 sequencer2d_s shvit_s1 skresnet18 starnet_s050 swiftformer_xs
        swin_tiny_patch4_window7_224 swinv2_tiny_window8_256 swinv2_cr_tiny_224 tiny_vit_5m_224
        tnt_s_legacy_patch16_224 tresnet_m twins_svt_small vgg11 visformer_tiny test_vit vit_tiny_r_s16_p8_224
        test_vit_relpos samvit_base_patch16_224 vitamin_small_224 volo_d1_224 ese_vovnet19b_slim_dw
        legacy_xception xception41p xcit_nano_12_p16_224
    """,
    "torchvision": """
        alexnet convnext_tiny densenet121 efficientnet_b0 googlenet inception_v3 maxvit_t mnasnet0_5
        mobilenet_v2 mobilenet_v3_small regnet_y_400mf resnet18 shufflenet_v2_x0_5 squeezenet1_1 swin_t vgg11
        vit_b_32
    """,
}


@dataclass(frozen=True)
class Entry:
    """One image classifier.

    Args:
        library: ``timm``, ``transformers`` or ``torchvision``.
        name: timm architecture, transformers class, torchvision builder.
        family: module of timm or torchvision that defines it, model_type of transformers.
        refused: why it cannot be built here or is no classifier of pixels, else empty.
    """

    library: str
    name: str
    family: str
    refused: str = ""

    def build(self, meta: bool = True, classes: int = 10, tiny: bool = False) -> tuple[nn.Module, ModelFacts]:
        """The net in evaluation mode and its facts; ``classifier.net_output(net, pixels, facts.patch)`` gives logits.

        The same entry always gets the same random weights; the global random numbers stay as they were.

        Args:
            meta: build on the meta device: no memory, no arithmetic.
            classes: of the head, 1 and up.
            tiny: take smaller images (128 pixels a side) where the net allows any size.

        Raises:
            ModelError: a package that the library needs for it is not installed.
        """
        make = {"timm": _timm, "transformers": _transformers, "torchvision": _torchvision}[self.library]
        place = _on_meta(self.library) if meta else contextlib.nullcontext()
        try:
            with _undisturbed(), place:
                net, size = make(self, classes, tiny)
                patch = patch_size(net.config, self.name, load_adapters()) if self.library == "transformers" else 0
                if not meta and not self.refused:
                    _scatter(net.eval(), size)
        except ImportError as error:
            raise ModelError(f"{self.name}: {self.refused or error}") from error
        facts = ModelFacts(
            library="module" if self.library == "torchvision" else self.library,  # type: ignore[arg-type]
            architecture=self.name,
            input_size=size,
            mean=_HALF,
            std=_HALF,
            interpolation="bicubic",
            crop=1.0,
            labels=tuple(f"label {index}" for index in range(classes)),
            parameters=count_parameters(net),
            patch=patch,
        )
        return net.eval(), facts


@functools.cache
def entries(library: str | None = None) -> tuple[Entry, ...]:
    """Every image classifier of ``library``, or of all three, in the libraries' own order."""
    if library is None:
        return tuple(entry for each in LIBRARIES for entry in entries(each))
    return {"timm": _timm_entries, "transformers": _transformers_entries, "torchvision": _torchvision_entries}[
        library
    ]()


def smallest() -> tuple[Entry, ...]:
    """For every library and family the entry that is cheapest to run on real weights."""
    known = {library: frozenset(names.split()) for library, names in _SMALLEST.items()}
    rows: dict[tuple[str, str], Entry] = {}
    for entry in entries():
        family = entry.library, entry.family
        if not entry.refused and (family not in rows or entry.name in known.get(entry.library, ())):
            rows[family] = entry
    return tuple(rows.values())


def _timm_entries() -> tuple[Entry, ...]:
    import timm
    from timm.models import _registry

    module = _registry._model_to_module
    encoder = "it encodes images into tokens for a language model and has no classifier head"
    return tuple(Entry("timm", name, module[name], encoder * name.endswith("_enc")) for name in timm.list_models())


def _transformers_entries() -> tuple[Entry, ...]:
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES as mapping
    from transformers.utils import is_natten_available

    refused = {kind: why for kind, why in _REFUSED.items() if kind != "dinat" or not is_natten_available()}
    rows = [(kind, name) for kind, names in mapping.items() for name in ((names,) if isinstance(names, str) else names)]
    new = "the catalogue has no tiny config for it yet"
    return tuple(
        Entry("transformers", name, kind, refused.get(kind, "" if kind in TINY else new)) for kind, name in rows
    )


def _torchvision_entries() -> tuple[Entry, ...]:
    from torchvision import models

    names = models.list_models(module=models)
    return tuple(
        Entry("torchvision", name, models.get_model_builder(name).__module__.rpartition(".")[2]) for name in names
    )


def _timm(entry: Entry, classes: int, tiny: bool) -> tuple[nn.Module, tuple[int, int, int]]:
    import timm

    net: nn.Module = timm.create_model(entry.name, num_classes=classes)
    config: Any = net.pretrained_cfg
    size = config["input_size"]
    if tiny and not config.get("fixed_input_size"):
        size = config.get("min_input_size") or (size[0], _SMALL, _SMALL)
    return net, (size[0], size[1], size[2])


def _transformers(entry: Entry, classes: int, tiny: bool) -> tuple[nn.Module, tuple[int, int, int]]:
    import transformers

    cls, args = getattr(transformers, entry.name), TINY[entry.family]
    net: nn.Module = cls._from_config(cls.config_class(**args, num_labels=classes), dtype=torch.float32)
    side = args.get("vision_config", args).get("image_size", 64)
    side = side if isinstance(side, int) else side[0]
    return net, (3, side, side)


def _torchvision(entry: Entry, classes: int, tiny: bool) -> tuple[nn.Module, tuple[int, int, int]]:
    from torchvision import models

    slow = {"init_weights": False} if entry.family in ("googlenet", "inception") else {}
    net: nn.Module = models.get_model(entry.name, weights=None, num_classes=classes, **slow)
    fixed = entry.family in ("maxvit", "vision_transformer")
    side = _SMALL if tiny and not fixed else 299 if entry.family == "inception" else 224
    return net, (3, side, side)


@contextlib.contextmanager
def _on_meta(library: str) -> Iterator[None]:
    """All tensors are made on the meta device; for torchvision, which computes widths with tensors, weights alone."""
    if library != "torchvision":
        with torch.device("meta"):
            yield
        return

    def move(module: nn.Module, name: str, tensor: Any) -> Any:
        if tensor is None or tensor.is_meta:
            return None
        moved = tensor.detach().to("meta")
        return nn.Parameter(moved, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else moved

    handles = [
        nn.modules.module.register_module_parameter_registration_hook(move),
        nn.modules.module.register_module_buffer_registration_hook(move),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def _scatter(net: nn.Module, size: tuple[int, int, int]) -> None:
    """Random weights that let a signal through every layer, so that no check on numbers passes on equal logits.

    Initialisers leave many layers at zero or so small that thirty of them turn every image into the same logits.
    """
    for parameter in net.parameters():
        shape = [length for length in parameter.shape if length > 1]
        if len(shape) < 2:  # biases, norms, scales of a layer
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
        else:
            parameter.normal_(std=(2 / (parameter.numel() / shape[0])) ** 0.5)  # He et al. 2015
    norms = [module for module in net.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0  # running statistics become those of this one batch
    if norms:
        net(torch.randn(4, *size) + torch.randn(4, size[0], 1, 1))  # noise on four colours
    for norm, momentum in zip(norms, before, strict=True):
        norm.eval()
        norm.momentum = momentum
        if norm.running_var is not None:  # a channel that was dead in this batch must not be blown up in the next
            norm.running_var.clamp_(min=float(norm.running_var.mean()) / 10)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Own random numbers, no warnings, no network, no bars."""
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]), quiet():
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            yield
    finally:
        constants.HF_HUB_OFFLINE = before


def main() -> None:
    """Print the counts and what is refused."""
    for library in LIBRARIES:
        listed = entries(library)
        print(f"{library}: {len(listed)} classifiers of {len({entry.family for entry in listed})} families")
        for entry in listed:
            if entry.refused:
                print(f"  {entry.name}: {entry.refused}")


if __name__ == "__main__":
    main()
