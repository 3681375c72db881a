"""Units of hand-made and of random nets: who owns which stored entries, which sides can be cut, and the proof."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hubclean.errors import ModelError
from hubclean.nets.cut import masks
from hubclean.nets.trace.units import UnitGroup
from support.unit_nets import CASES, IMAGES, groups_of, shaken


def owners(group: UnitGroup, side: str) -> dict[str, list[int]]:
    return {entries.tensor: entries.owner.flatten().tolist() for entries in getattr(group, side)}


@pytest.mark.parametrize("case", CASES)
def test_kind_sides_and_number_of_units(case: str) -> None:
    make, expected = CASES[case]
    groups = groups_of(shaken(make()))
    found = {name: (group.kind, group.cut, group.count, group.residual) for name, group in groups.items()}
    assert {name: found.get(name) for name in expected} == expected
    assert all(group.why for group in groups.values() if group.cut != "both")


@pytest.mark.parametrize("case", CASES)
def test_every_unit_of_every_layer_is_silenced_exactly(case: str) -> None:
    net = shaken(CASES[case][0]())
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    for group in groups_of(net).values():
        if group.cut == "none":
            continue
        for seed in range(group.count):
            proof = masks.prove_units(net, [group], IMAGES, seed=seed)
            assert proof.failed == ()
            assert max(proof.worst, proof.leak) <= 1e-6
            assert proof.effect > 1e-4, (group.name, seed)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_owners_name_the_entries() -> None:
    shuffle = groups_of(shaken(CASES["shuffle"][0]()))["a"]
    assert owners(shuffle, "producer") == {"a.weight": [0, 1, 2, 3, 4, 5], "a.bias": [0, 1, 2, 3, 4, 5]}
    # shuffled channels are 0 3 1 4 2 5: rows 0, 1 of b read the first three, rows 2, 3 the others
    assert owners(shuffle, "consumers") == {"b.weight": [0, 3, 1, 0, 3, 1, 4, 2, 5, 4, 2, 5]}
    glu = groups_of(shaken(CASES["gated linear units"][0]()))["a"]
    assert owners(glu, "producer")["a.bias"] == [0, 1, 2, 3, 4, 5] * 2
    heads = groups_of(shaken(CASES["attention"][0]()))["qkv"]
    assert owners(heads, "producer")["qkv.bias"] == [0, 0, 0, 0, 1, 1, 1, 1] * 3
    assert owners(heads, "consumers") == {"proj.weight": [0, 0, 0, 0, 1, 1, 1, 1]}
    branches = groups_of(shaken(CASES["branches"][0]()))["b"]
    assert owners(branches, "consumers") == {"fc.weight": [-1, -1, -1, 0, 1, 2, 3]}
    flat = groups_of(shaken(CASES["flatten"][0]()))["a"]
    assert owners(flat, "consumers") == {"b.weight": [0] * 16 + [1] * 16}
    normed = groups_of(shaken(CASES["norm"][0]()))["a"]
    assert set(owners(normed, "producer")) == {"n.weight", "n.bias", "a.weight", "a.bias"}
    together = groups_of(shaken(CASES["norm over channels"][0]()))["a"]
    assert set(owners(together, "producer")) == {"n.weight", "n.bias"}, "rows would change the statistics of others"
    scaled = groups_of(shaken(CASES["weight norm"][0]()))["a"]
    assert set(owners(scaled, "producer")) == {"a.parametrizations.weight.original0", "a.bias"}


def test_the_proof_fails_for_wrong_entries() -> None:
    from dataclasses import replace

    net = shaken(CASES["norm"][0]())
    group = groups_of(net)["a"]
    wrong = replace(group, consumers=tuple(replace(one, owner=one.owner.flip(1)) for one in group.consumers))
    assert masks.prove_units(net, [group], IMAGES).failed == ()
    assert masks.prove_units(net, [wrong], IMAGES).failed == ("a",)
    half = replace(group, producer=group.producer[:1])  # gamma without beta
    assert masks.prove_units(net, [half], IMAGES).failed == ("a",)


def test_masks_carry_gradients_and_hooks_are_gone_after_an_error() -> None:
    net = shaken(CASES["norm"][0]())
    group = groups_of(net)["a"]
    mask = torch.ones(group.count, requires_grad=True)
    with masked_forward(net, group, mask) as out:
        (gradient,) = torch.autograd.grad(out.square().sum(), mask)
    assert bool((gradient != 0).any())
    with torch.no_grad():
        full = net(IMAGES)
    torch.testing.assert_close(out.detach(), full)
    with pytest.raises(RuntimeError), masks.masked(net, [group], [torch.ones(group.count)]):
        net(torch.zeros(1, 5, 4, 4))
    assert not any(module._forward_hooks for module in net.modules())


class masked_forward:
    def __init__(self, net: nn.Module, group: UnitGroup, mask: Tensor) -> None:
        self.context, self.net = masks.masked(net, [group], [mask]), net

    def __enter__(self) -> Tensor:
        self.context.__enter__()
        return self.net(IMAGES)

    def __exit__(self, *args: Any) -> None:
        self.context.__exit__(*args)


def test_what_cannot_be_cut_is_refused_with_its_reason() -> None:
    net = shaken(CASES["squeeze and excite"][0]())
    groups = groups_of(net)
    with pytest.raises(ModelError, match="'up' cannot be cut"):
        masks.cut_units(net, [groups["up"]], {"up": torch.tensor([0])})
    kept = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    masks.cut_units(net, [groups["a"]], {"a": torch.tensor([1, 4])})
    changed = [name for name, tensor in net.state_dict().items() if not torch.equal(tensor, kept[name])]
    assert changed == ["a.weight", "a.bias", "down.weight", "b.weight"]


LAYERS = st.sampled_from(
    ["conv", "conv1", "depthwise", "grouped", "bn", "gn", "relu", "gelu", "pool", "se", "residual", "cat", "shuffle"]
)


class Random(nn.Module):
    """A chain of drawn layers on eight channels."""

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self.names = names
        self.layers = nn.ModuleList(self.layer(name) for name in names)
        self.stem, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(8, 4)

    @staticmethod
    def layer(name: str) -> nn.Module:
        made: dict[str, Callable[[], nn.Module]] = {
            "conv": lambda: nn.Conv2d(8, 8, 3, padding=1, bias=False),
            "conv1": lambda: nn.Conv2d(8, 8, 1),
            "depthwise": lambda: nn.Conv2d(8, 8, 3, padding=1, groups=8),
            "grouped": lambda: nn.Conv2d(8, 8, 3, padding=1, groups=4),
            "bn": lambda: nn.BatchNorm2d(8),
            "gn": lambda: nn.GroupNorm(2, 8),
            "se": lambda: nn.Sequential(
                nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 3, 1), nn.ReLU(), nn.Conv2d(3, 8, 1), nn.Sigmoid()
            ),
            "residual": lambda: nn.Conv2d(8, 8, 1),
            "cat": lambda: nn.ModuleList([nn.Conv2d(8, 5, 1), nn.Conv2d(8, 3, 1)]),
            "pool": lambda: nn.AvgPool2d(2, ceil_mode=True),
            "relu": nn.ReLU,
            "gelu": nn.GELU,
        }
        return made.get(name, nn.Identity)()

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        for name, layer in zip(self.names, self.layers, strict=True):
            if name == "se":
                x = x * layer(x)
            elif name == "residual":
                x = x + layer(x)
            elif name == "cat":
                x = torch.cat([one(x) for one in layer], 1)  # type: ignore[union-attr]
            elif name == "shuffle":
                x = x.view(len(x), 4, 2, *x.shape[2:]).transpose(1, 2).flatten(1, 2)
            else:
                x = layer(x)
        return self.fc(x.mean((2, 3)))


@settings(max_examples=60, deadline=None)
@given(names=st.lists(LAYERS, min_size=1, max_size=7), seed=st.integers(0, 99))
def test_random_nets_are_cut_exactly_and_no_unit_is_missing(names: list[str], seed: int) -> None:
    net = shaken(Random(names), seed)
    found = groups_of(net)
    layers = {name for name, module in net.named_modules() if isinstance(module, nn.Conv2d)}
    assert set(found) == layers
    proof = masks.prove_units(net, list(found.values()), IMAGES, tolerance=1e-5, seed=seed)
    assert proof.failed == ()
    for name, group in found.items():
        gate = name.count(".") == 2 and name.endswith(".3")
        assert group.cut != "none" or gate, name
        assert group.kind == "gate" if gate else True
