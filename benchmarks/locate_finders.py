"""The finders that ``locate_peers`` compares: hubclean's and those of others, each by its own rule.

A finder takes an architecture's name, its net on the meta device and two images there, and returns what it found:
``layer``, the name of the layer that gives out the final feature map; ``heads``, the names of the heads; ``map`` if it
takes ``forward_features`` for the map; ``why`` if it finds nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from torch import Tensor, nn

from benchmarks.locate_judge import CLASSES
from hubclean.nets.construction import adapters
from hubclean.nets.cut import features as sites
from hubclean.records import ModelFacts

Found = dict[str, Any]
Finder = Callable[[str, nn.Module, Tensor], Found]


def ours(name: str, net: nn.Module, images: Tensor) -> Found:
    size = (int(images.shape[1]), int(images.shape[2]), int(images.shape[3]))
    half, labels = (0.5,) * size[0], tuple(map(str, range(CLASSES)))
    facts = ModelFacts("timm", name, size, half, half, "bicubic", 1.0, labels, 0)
    site = sites.locate(net, facts, hooks())
    return {"layer": site.feature, "heads": [head.path for head in site.heads], "site": site}


@cache
def hooks() -> tuple[adapters.Adapter, ...]:
    return adapters.load_adapters()


def torch_cam(name: str, net: nn.Module, images: Tensor) -> Found:
    from torchcam.methods._utils import locate_candidate_layer

    layer = locate_candidate_layer(net, tuple(images.shape[1:]))
    return {"why": "names no layer"} if layer is None else {"layer": layer}


def grad_cam(name: str, net: nn.Module, images: Tensor) -> Found:
    from pytorch_grad_cam.utils.find_layers import find_layer_types_recursive

    layers = find_layer_types_recursive(net, [nn.Conv2d])
    names = {id(module): path for path, module in net.named_modules()}
    return {"layer": names[id(layers[-1])]} if layers else {"why": "lists no layer"}


def last_child(name: str, net: nn.Module, images: Tensor) -> Found:
    top, child = list(net.named_children())[-1]
    linears = [path for path, module in child.named_modules(prefix=top) if isinstance(module, nn.Linear)]
    if not linears:
        return {"why": "no Linear in the last child"}
    features: list[Tensor] = []
    handle = net.get_submodule(linears[0]).register_forward_hook(lambda module, args, out: features.append(args[0]))
    net(images)
    handle.remove()
    return {"heads": linears[:1]}


def last_linear(name: str, net: nn.Module, images: Tensor) -> Found:
    linears = [path for path, module in net.named_modules() if isinstance(module, nn.Linear)]
    net.forward_features(images)  # type: ignore[operator]
    return {"heads": linears[-1:], "map": True} if linears else {"why": "no Linear"}


def timms_own(name: str, net: nn.Module, images: Tensor) -> Found:
    names = {id(module): path for path, module in net.named_modules()}
    heads: Any = net.get_classifier()  # type: ignore[operator]
    net.forward_features(images)  # type: ignore[operator]
    several = isinstance(heads, (tuple, list, nn.ModuleList))
    return {"heads": [names.get(id(head), "") for head in (heads if several else [heads])], "map": True}


FINDERS: dict[str, Finder] = {
    "hubclean": ours,
    "torch-cam": torch_cam,
    "grad-cam": grad_cam,
    "last child": last_child,
    "last Linear": last_linear,
    "timm's own": timms_own,
}
