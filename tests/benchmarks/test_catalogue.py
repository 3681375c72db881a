"""The catalogue lists every classifier, and what it lists can be built and run without a download."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from benchmarks.catalogue import Entry, entries, smallest
from hubclean.errors import ModelError
from hubclean.nets.construction.classifier import logits_of, net_output
from hubclean.nets.trace.locate import recorded
from hubclean.records import ModelFacts

HF = [entry for entry in entries("transformers") if not entry.refused]
QUICK = [
    entry
    for entry in entries()
    if entry.name in ("test_convnext", "test_vit", "resnetv2_50", "mobilenetv3_small_050", "squeezenet1_1", "googlenet")
]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A download would go through here."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("something was fetched")

    monkeypatch.setattr("huggingface_hub.file_download.hf_hub_download", refuse)
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", refuse)


def logits(net: nn.Module, facts: ModelFacts, device: str = "cpu") -> torch.Tensor:
    with torch.no_grad():
        return logits_of(net_output(net, torch.randn(2, *facts.input_size, device=device), facts.patch))


def find(name: str) -> Entry:
    return next(entry for entry in entries() if entry.name == name)


def test_every_classifier_of_the_libraries_is_listed_once() -> None:
    import timm
    import torchvision
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES as mapping

    assert [entry.name for entry in entries("timm")] == timm.list_models()
    assert {entry.name for entry in entries("torchvision")} == set(torchvision.models.list_models(torchvision.models))
    assert {entry.family for entry in entries("transformers")} == set(mapping)
    names = [(entry.library, entry.name) for entry in entries()]
    assert len(names) == len(set(names)) > 1400


def test_smallest_has_one_runnable_entry_a_family() -> None:
    wanted = {(entry.library, entry.family) for entry in entries() if not entry.refused}
    found = smallest()
    assert [(entry.library, entry.family) for entry in found if entry.refused] == []
    assert {(entry.library, entry.family) for entry in found} == wanted
    assert len(found) == len(wanted)
    assert set(found) <= set(entries())


@pytest.mark.parametrize("entry", HF + QUICK, ids=lambda entry: entry.name)
def test_an_entry_builds_and_runs_on_meta_and_on_real_weights(entry: Entry) -> None:
    net, facts = entry.build(classes=7)
    assert {tensor.device.type for tensor in net.parameters()} == {"meta"}
    trace = recorded(net, facts)
    assert trace.values[trace.logits].shape == (2, 7)
    torch.manual_seed(1)
    net, real = entry.build(meta=False, classes=7)
    found = logits(net, real)
    assert found.shape == (2, 7)
    assert found.isfinite().all()
    assert (found[0] - found[1]).abs().max() > 1e-3, "every image gets the same logits"
    assert real == facts
    assert (len(facts.labels), facts.architecture) == (7, entry.name)
    assert not any(module.training for module in net.modules())


def test_weights_are_the_same_each_time_and_the_random_numbers_outside_stay() -> None:
    before = torch.random.get_rng_state()
    first, _ = find("test_resnet").build(meta=False)
    torch.rand(3)
    second, _ = find("test_resnet").build(meta=False)
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())
    torch.random.set_rng_state(before)
    find("test_resnet").build(meta=False)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("name", ["resnet18", "shufflenet_v2_x0_5", "deepseek_vit_412m"])
def test_tiny_images_are_smaller_and_run(name: str) -> None:
    entry = find(name)
    net, facts = entry.build(tiny=True)
    assert math.prod(facts.input_size) < math.prod(entry.build()[1].input_size) / 3
    assert logits(net, facts, "meta").shape == (2, 10)


def test_tiny_leaves_images_of_a_fixed_size() -> None:
    assert find("test_vit").build(tiny=True)[1] == find("test_vit").build()[1]


def test_a_refused_entry_takes_no_pixels() -> None:
    entry = find("ImageGPTForImageClassification")
    assert entry.refused
    net, facts = entry.build(meta=False)
    with pytest.raises((TypeError, ValueError, RuntimeError, IndexError)):
        logits(net, facts)


def test_a_refused_encoder_gives_no_logits() -> None:
    entry = find("gemma4_vit_167m_enc")
    assert "head" in entry.refused
    with pytest.raises(ModelError):
        logits(*entry.build(), device="meta")


def test_a_class_of_a_newer_transformers_is_listed_as_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES as mapping

    monkeypatch.setitem(mapping, "tomorrow", "TomorrowForImageClassification")
    entries.cache_clear()
    try:
        assert "no tiny config" in find("TomorrowForImageClassification").refused
    finally:
        entries.cache_clear()
