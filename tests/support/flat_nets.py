"""Nets whose map is laid flat before a Linear: channels first and last, a hidden layer or a head, timm and HF."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint

SHAPE, CLASSES = (3, 32, 32), 10


class Hidden(nn.Module):
    """Convolution, average pool, hidden Linear over 6 x 8 x 8 inputs, head."""

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.conv, self.hidden, self.head = nn.Conv2d(3, 6, 4, 4), nn.Linear(6 * 64, 24, bias=bias), nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        found = functional.relu(self.conv(x)).flatten(1)
        return self.head(functional.relu(self.hidden(found)))  # type: ignore[no-any-return]


class ChannelsLast(nn.Module):
    """A map with channels last and a LayerNorm, laid flat into the head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.mix = nn.Conv2d(3, 8, 8, 8), nn.LayerNorm(8), nn.Linear(8, 8)
        self.head = nn.Linear(8 * 16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        found = self.norm(self.conv(x).permute(0, 2, 3, 1))
        return self.head((found + functional.gelu(self.mix(found))).reshape(len(x), -1))  # type: ignore[no-any-return]


def timm_flat() -> nn.Module:
    """timm's own small ResNet without its pool: the head reads the whole map."""
    import timm

    net = timm.create_model("test_resnet", num_classes=CLASSES, output_stride=8).eval()
    with torch.no_grad():
        width = net.forward_features(torch.zeros(1, *SHAPE)).numel()
    net.global_pool, net.fc = nn.Flatten(), nn.Linear(width, CLASSES)
    return net


def hf_flat() -> nn.Module:
    """The same of transformers."""
    import transformers as t

    config = t.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=10)
    net = t.ResNetForImageClassification(config).eval()
    with torch.no_grad():
        width = net.resnet(torch.zeros(1, *SHAPE)).last_hidden_state.numel()
    net.resnet.pooler = nn.Identity()
    net.classifier = nn.Sequential(nn.Flatten(), nn.Linear(width, CLASSES))
    return net  # type: ignore[no-any-return]


# Net, and the Linear whose inputs are its positions.
FLAT: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "hidden": (Hidden, "hidden"),
    "channels last": (ChannelsLast, "head"),
    "timm": (timm_flat, "fc"),
    "hf": (hf_flat, "classifier.1"),
}


def flat(factory: Callable[[], nn.Module]) -> Checkpoint:
    """The net with random weights, as a checkpoint."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = factory()
    labels = tuple(f"thing {index}" for index in range(CLASSES))
    return loading.wrap(net, mean=(0.5,) * 3, std=(0.5,) * 3, input_size=SHAPE, labels=labels, name="flat")
