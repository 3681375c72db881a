"""Learning masks: batch statistics, and the objective against its formula written out."""

from __future__ import annotations

import copy
from itertools import islice

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hubclean.methods.masking.prune import ranked
from hubclean.methods.masking.search import Masks, Recovery, batch_statistics, endless, recover
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.cut import masks, searchable_units
from hubclean.nets.metrics import clean_accuracy
from support.masked_nets import SESSION, Plain, WithNorms, images, small, units_of

CPU = torch.device("cpu")
FIT = images(64, 1)


@pytest.fixture(scope="module")
def normed() -> Checkpoint:
    return small(WithNorms)


@pytest.fixture(scope="module")
def plain() -> Checkpoint:
    return small(Plain)


def accuracy(model: nn.Module) -> float:
    return clean_accuracy(model, FIT, SESSION).value


def broken_off(model: nn.Module, x: Tensor) -> Tensor:
    with batch_statistics(model):
        return model(x) / (1 // 0)  # type: ignore[no-any-return]


def test_batch_statistics_normalise_by_the_batch_and_leave_no_trace() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5)).eval()
    x = torch.randn(8, 3, 4, 4) * 3 + 5
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ZeroDivisionError):
        inside = broken_off(model, x)
    with batch_statistics(model):
        inside = model(x)
        assert not model[1].training
    normal = (x - x.mean((0, 2, 3), keepdim=True)) / (x.var((0, 2, 3), keepdim=True, unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(inside, normal)
    assert not any(module.training for module in model.modules())
    assert model[0].momentum == 0.1
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def by_hand(net: nn.Module, pixels: Tensor, m: tuple[Tensor, Tensor]) -> Tensor:
    """The masked forward of ``WithNorms``, batch statistics written out."""

    def norm(x: Tensor, layer: nn.Module) -> Tensor:
        mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, unbiased=False)
        weight, bias = (value.view(1, -1, 1, 1) for value in (layer.weight, layer.bias))
        return (x - mean) / (var + layer.eps).sqrt() * weight + bias

    x = (pixels - torch.tensor([0.2, 0.3, 0.4]).view(1, 3, 1, 1)) / torch.tensor([0.5, 0.4, 0.3]).view(1, 3, 1, 1)
    x = torch.relu(norm(net.conv1(x), net.bn1) * m[0].view(1, -1, 1, 1))
    return net.fc(torch.relu(norm(net.conv2(x), net.bn2) * m[1].view(1, -1, 1, 1)).flatten(1))  # type: ignore[no-any-return]


def test_masks_go_where_the_objective_written_out_sends_them(normed: Checkpoint) -> None:
    groups, other = units_of(normed), small(WithNorms, epochs=1)
    sizes = searchable_units.relative(searchable_units.magnitudes(normed.model, groups))
    recovery = Recovery(0.5, epochs=2, penalty=0.02, scale=0.7, batch_size=40)
    terms = [(0.3, normed.model), (0.7, other.model)]
    found, passes = recover(terms, Masks.ones(groups, CPU), sizes, recovery, FIT, SESSION, "t")
    assert passes == 2 * 2 * 64
    m, speed = [torch.ones(8), torch.ones(12)], [torch.zeros(8), torch.zeros(12)]
    for pixels, labels in islice(endless(FIT, 40, SESSION, "t", "masks"), 4):
        live = (m[0].requires_grad_(), m[1].requires_grad_())
        loss = sum(w * functional.cross_entropy(by_hand(model.net, pixels, live), labels) for w, model in terms)
        penalty = (m[0] * sizes[0]).sum() + (m[1] * sizes[1]).sum()
        slopes = torch.autograd.grad(0.7 * loss + 0.02 * penalty, live)
        speed = [0.9 * v + slope for v, slope in zip(speed, slopes, strict=True)]
        m = [(value.detach() - 0.5 * v).clamp(0, 1) for value, v in zip(m, speed, strict=True)]
    for value, expected in zip(found.values, m, strict=True):
        torch.testing.assert_close(value, expected, atol=1e-4, rtol=1e-3)
        assert not value.requires_grad
    assert any(bool((value < 0.99).any()) for value in found.values)


def test_a_unit_that_spoils_the_model_is_masked_and_the_others_are_not(plain: Checkpoint) -> None:
    spoilt = plain.copy()
    with torch.no_grad():  # hidden unit 3 fires on everything and pulls to class 2
        spoilt.model.net.hidden.bias[3] = 30.0
        spoilt.model.net.fc.weight[2, 3] = 2.0
    assert accuracy(spoilt.model) < 0.4 < 0.6 < accuracy(plain.model)
    groups = units_of(spoilt)
    ones = tuple(torch.ones(group.count) for group in groups)
    found, _ = recover([(1.0, spoilt.model)], Masks(groups, ones), ones, Recovery(0.05, 20), FIT, SESSION, "t")
    assert float(found.values[1][3]) == 0
    with masks.masked(spoilt.model, groups, found.values):
        assert accuracy(spoilt.model) > accuracy(plain.model) - 0.1
    assert ranked(found.values, ones, 1.0)[0] == (1, 3)
    assert all(torch.equal(one, torch.ones_like(one)) for one in ones), "the start must not move"
