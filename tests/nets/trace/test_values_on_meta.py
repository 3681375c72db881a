"""Nets that read values in their forward are recorded without weights as with them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from benchmarks.catalogue import Entry, entries
from hubclean.errors import ModelError
from hubclean.nets.trace import locate, unit_finder
from hubclean.records import ModelFacts

CALLS: list[str] = []  # devices of the forwards of the nets below, copies included


@pytest.fixture(autouse=True)
def no_calls() -> None:
    CALLS.clear()


class Reads(nn.Module):
    """Reads a value of a mask and of a parameter in its forward, which the meta device cannot give."""

    def __init__(self, shared: bool = False) -> None:
        super().__init__()
        self.conv, self.fc, self.again = nn.Conv2d(3, 4, 3), nn.Linear(4, 4), nn.Linear(4, 4)
        self.register_buffer("mask", torch.ones(4))
        if shared:
            self.again.weight = self.fc.weight

    def forward(self, images: Tensor) -> Tensor:
        CALLS.append(images.device.type)
        low = self.mask.min().item() + self.fc.bias[0].item()
        assert torch.isfinite(torch.tensor(low, device="cpu"))
        return self.again(self.fc(self.conv(images).mean((2, 3))).relu())


def facts(architecture: str = "Net", side: int = 8) -> ModelFacts:
    half = (0.5,) * 3
    return ModelFacts("module", architecture, (3, side, side), half, half, "bicubic", 1.0, ("a", "b", "c", "d"), 0)


def test_a_net_that_reads_values_is_recorded_without_weights_as_with_them() -> None:
    with torch.device("meta"):
        net = Reads()
    state = torch.random.get_rng_state()
    empty = locate.recorded(net, facts())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(parameter.is_meta for parameter in net.parameters())
    assert net.mask.is_meta
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    real = Reads()
    full = locate.recorded(real, facts())
    assert (empty.values, empty.calls, empty.logits) == (full.values, full.calls, full.logits)
    assert [group.summary() for group in unit_finder.find_units(empty, net)] == [
        group.summary() for group in unit_finder.find_units(full, real)
    ]
    assert locate.locate(net, facts(), ()) == locate.locate(real, facts(), ())


class Masked(Reads):
    """Reads what follows from constants alone, written in place and made like the images."""

    def forward(self, images: Tensor) -> Tensor:
        CALLS.append(images.device.type)
        mask = torch.ones(images.shape[0], 3)
        mask[:, 2] = 0
        steps = int(mask.sum(1).max()) + len(torch.arange(2).tolist()) - bool((torch.zeros_like(images) == 0).all())
        assert steps == 3
        value = self.conv(images).mean((2, 3))
        for _ in range(steps):
            value = self.fc(value)
        return self.again(value)


def test_values_of_constants_are_known_without_weights() -> None:
    with torch.device("meta"):
        net = Masked()
    real, state = Masked(), torch.random.get_rng_state()
    empty, full = locate.recorded(net, facts()), locate.recorded(real, facts())
    assert CALLS == ["meta", "meta", "cpu"]
    assert (empty.values, empty.calls) == (full.values, full.calls)
    assert torch.equal(torch.random.get_rng_state(), state)


PERCEIVERS = [entry for entry in entries("transformers") if entry.family == "perceiver"]


@pytest.mark.parametrize("entry", PERCEIVERS, ids=lambda entry: entry.name)
def test_a_perceiver_is_recorded_without_weights_as_with_them(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locate, "MAX_MADE_UP", 0)  # its mask is a constant, so no copy with values is needed
    empty, full = locate.recorded(*entry.build()), locate.recorded(*entry.build(meta=False))
    assert (empty.values, empty.calls, empty.logits) == (full.values, full.calls, full.logits)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda mask, images, bias: mask.__setitem__(0, images.sum()),
        lambda mask, images, bias: mask.add_(images.sum()),
        lambda mask, images, bias: mask.mul_(bias),
    ],
)
def test_what_depends_on_images_or_weights_is_no_constant(spoil: Callable[[Tensor, Tensor, Tensor], None]) -> None:
    class Spoilt(Reads):
        def forward(self, images: Tensor) -> Tensor:
            CALLS.append(images.device.type)
            mask = torch.ones(2)
            spoil(mask, images, self.fc.bias[0])
            CALLS.append("stale" if mask.sum().item() == 2 else "right")
            return self.again(self.fc(self.conv(images).mean((2, 3))))

    with torch.device("meta"):
        net = Spoilt()
    locate.recorded(net, facts())
    assert CALLS == ["meta", "meta", "cpu", "right"]


def test_what_the_recorder_leaves_blank_is_no_constant() -> None:
    class Blank(Reads):
        def forward(self, images: Tensor) -> Tensor:
            CALLS.append(images.device.type)
            CALLS.append(f"{torch.ones(2).relu().sum().item()}")  # on meta the recorder computes no relu
            return self.again(self.fc(self.conv(images).mean((2, 3))))

    with torch.device("meta"):
        net = Blank()
    locate.recorded(net, facts())
    assert CALLS == ["meta", "meta", "cpu", "2.0"]


def test_a_shared_weight_is_still_shared_in_the_copy_with_values() -> None:
    with torch.device("meta"):
        net = Reads(shared=True)
    with pytest.raises(ModelError, match=r"'fc\.weight' is also used by"):
        locate.locate(net, facts(), ())


def test_a_net_too_large_for_values_is_refused_with_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.device("meta"):
        net = Reads()
    monkeypatch.setattr(locate, "MAX_MADE_UP", 100)
    with pytest.raises(ModelError, match=r"reads values .* 152 parameters are too many .*at most 100"):
        locate.recorded(net, facts())
    assert CALLS == ["meta", "meta"]


@pytest.mark.parametrize("place", ["meta", "cpu"])
def test_another_failure_is_told_and_not_tried_again(place: str) -> None:
    class Broken(Reads):
        def forward(self, images: Tensor) -> Tensor:
            CALLS.append(images.device.type)
            raise ValueError("no such shape")

    with torch.device(place):
        net = Broken()
    with pytest.raises(ModelError, match=r"cannot be run on two images .*no such shape"):
        locate.recorded(net, facts())
    assert [place] == CALLS
