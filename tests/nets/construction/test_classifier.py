"""Models from configs alone: what is built, and what is refused."""

from __future__ import annotations

import json
import signal
import socket
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hubclean.errors import HubcleanError, ModelError, RefusedError
from hubclean.nets.construction import bounds, classifier, configs
from hubclean.nets.construction.classifier import Classifier, build_classifier, logits_of
from hubclean.records import ModelFacts
from support.tiny_models import KINDS, edit, only_configs


@pytest.mark.parametrize("kind", KINDS)
def test_configs_alone_make_the_model_and_its_facts(kind: str, repos: dict[str, Path], tmp_path: Path) -> None:
    folder = only_configs(repos[kind], tmp_path)
    model, facts = build_classifier(folder, meta=True)
    real, same = build_classifier(folder)
    assert facts == same
    assert facts.library == ("timm" if kind.startswith("timm") else "transformers")
    assert facts.labels == tuple(f"thing {index}" for index in range(10))
    assert facts.input_size == (3, 32, 32)
    assert all(p.is_meta for p in model.net.parameters())
    assert not any(p.is_meta for p in real.parameters())
    assert facts.parameters == sum(p.numel() for p in real.parameters())
    assert real(torch.rand(2, 3, 32, 32)).shape == (2, 10)
    assert {"mean", "std"}.isdisjoint(real.state_dict())


def test_legacy_flat_config_and_missing_labels(repos: dict[str, Path], tmp_path: Path) -> None:
    nested = json.loads((repos["timm-resnet"] / "config.json").read_text())
    flat = {**nested["pretrained_cfg"], "architecture": "test_resnet.r160_in1k", "num_features": 96}
    (tmp_path / "config.json").write_text(json.dumps(flat))
    _, facts = build_classifier(tmp_path, meta=True)
    assert facts.labels[:2] == ("label 0", "label 1")
    assert len(facts.labels) == 10
    assert facts.architecture == "test_resnet"
    (tmp_path / "config.json").write_text(json.dumps({**flat, "labels": [f"x{i}" for i in range(10)]}))
    assert build_classifier(tmp_path, meta=True)[1].labels[9] == "x9"


def test_float32_whatever_the_config_says(repos: dict[str, Path], tmp_path: Path) -> None:
    folder = only_configs(repos["hf-vit"], tmp_path)
    edit(
        folder, torch_dtype="bfloat16", dtype="float16", _attn_implementation="eager", _attn_implementation_autoset=True
    )
    assert {p.dtype for p in build_classifier(folder)[0].parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("kind", "values", "error"),
    [
        ("hf-vit", {"auto_map": {"AutoConfig": "x.Y"}}, RefusedError),
        ("hf-vit", {"text_config": {"auto_map": {"AutoConfig": "x.Y"}}}, RefusedError),
        ("hf-vit", {"_attn_implementation_internal": "evil/kernel"}, RefusedError),
        ("hf-vit", {"_attn_implementation": "evil/kernel:main"}, RefusedError),
        ("hf-vit", {"attn_implementation": {"vision": "evil/kernel"}}, RefusedError),
        ("hf-vit", {"trust_remote_code": True}, RefusedError),
        ("hf-vit", {"attribute_map": {"x": "_attn_implementation_internal"}, "x": "evil/kernel"}, RefusedError),
        ("hf-vit", {"attribute_map": {"_attn_implementation_internal": "x"}, "x": "evil/kernel"}, RefusedError),
        ("hf-vit", {"attribute_map": {"x": "auto_map"}, "x": {"AutoConfig": "x.Y"}}, RefusedError),
        ("hf-vit", {"sub": {"repo_path": "/etc", "class_info_file": "passwd"}}, RefusedError),
        ("hf-vit", {"configuration_files": ["../config.4.0.0.json"]}, RefusedError),
        ("hf-vit", {"model_type": "nothing-known"}, RefusedError),
        ("hf-vit", {"model_type": ["vit"]}, RefusedError),
        ("hf-vit", {"architectures": ["ViTModel"]}, ModelError),
        ("hf-vit", {"architectures": ["os"]}, ModelError),
        ("hf-vit", {"quantization_config": {"quant_method": "x"}}, ModelError),
        ("hf-vit", {"num_hidden_layers": 10**6}, ModelError),
        ("hf-vit", {"hidden_size": 2 * 10**6}, ModelError),
        ("hf-vit", {"hidden_size": "many"}, ModelError),
        ("hf-vit", {"num_labels": 10**8}, ModelError),
        ("hf-vit", {"problem_type": "multi_label_classification"}, ModelError),
        ("hf-swin", {"depths": [10**9, 1]}, ModelError),
        ("hf-swin", {"depths": [1] * 2000}, ModelError),
        ("timm-resnet", {"architecture": "hf-hub:evil/model"}, RefusedError),
        ("timm-resnet", {"architecture": "local-dir:/etc"}, RefusedError),
        ("timm-resnet", {"architecture": "not_an_architecture"}, RefusedError),
        ("timm-resnet", {"pretrained_cfg": {"custom_load": True}}, RefusedError),
        ("timm-resnet", {"model_args": {"pretrained": True}}, RefusedError),
        ("timm-resnet", {"model_args": {"checkpoint_path": "/etc/passwd"}}, RefusedError),
        ("timm-resnet", {"model_args": {"checkpoint_path": "x.pth"}}, RefusedError),
        ("timm-resnet", {"model_args": {"pretrained_cfg_overlay": {"file": "x.pth"}}}, RefusedError),
        ("timm-resnet", {"pretrained_cfg": {"url": "https://example.com/x.pth"}}, RefusedError),
        ("timm-resnet", {"model_args": {"features_only": True}}, RefusedError),
        ("timm-resnet", {"model_args": {"act_layer": "os.path/../x:y"}}, RefusedError),
        ("timm-resnet", {"model_args": {"stem_width": 10**6}}, RefusedError),
        ("timm-resnet", {"model_args": {"block": {"a": 1}}}, RefusedError),
        ("timm-resnet", {"model_args": {"__class__": 1}}, RefusedError),
        ("timm-resnet", {"model_args": {"layers": [10**5, 1, 1, 1]}}, ModelError),
        ("timm-resnet", {"model_args": {"no_such_argument": 1}}, ModelError),
        ("timm-resnet", {"model_args": {"num_classes": 7}}, ModelError),
        ("timm-resnet", {"num_classes": 0}, ModelError),
        ("timm-resnet", {"pretrained_cfg": {"input_size": [3, 10**6, 10**6]}}, ModelError),
        ("timm-resnet", {"pretrained_cfg": {"input_size": [3, 32, 32], "crop_pct": 1e-9}}, ModelError),
        ("timm-resnet", {"pretrained_cfg": {"mean": "abc"}}, ModelError),
        ("timm-resnet", {"pretrained_cfg": {"mean": [float("nan")] * 3}}, ModelError),
        ("timm-resnet", {"pretrained_cfg": {"std": [1e400] * 3}}, ModelError),
        ("timm-resnet", {"pretrained_cfg": {"std": [0, 0, 0]}}, ModelError),
        ("timm-resnet", {"pretrained_cfg": {"interpolation": "\x1b[31m"}}, ModelError),
        ("timm-resnet", {"pretrained_cfg": {"crop_mode": "\x1b[31m"}}, ModelError),
        ("timm-resnet", {"pretrained_cfg": []}, ModelError),
    ],
)
def test_what_a_config_may_not_ask_for(
    kind: str, values: dict[str, Any], error: type[Exception], repos: dict[str, Path], tmp_path: Path
) -> None:
    folder = only_configs(repos[kind], tmp_path)
    edit(folder, **values)
    with pytest.raises(error) as caught:
        build_classifier(folder, meta=True)
    assert not {"\n", "\x1b"} & set(str(caught.value))
    assert len(str(caught.value)) < 700


def test_what_a_processor_may_not_ask_for(repos: dict[str, Path], tmp_path: Path) -> None:
    folder = only_configs(repos["hf-vit"], tmp_path)
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "repo_path": "/etc", "class_info_file": "passwd"}))
    with pytest.raises(RefusedError, match="repo_path"):
        build_classifier(folder, meta=True)


def test_no_library_sees_a_field_of_the_table(
    repos: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    folder = only_configs(repos["hf-vit"], tmp_path)
    harmless = {"attribute_map": {"my_size": "hidden_size"}, "backbone": "org/other", "hf_hub_id": "org/other"}
    edit(folder, **harmless, label2id={"auto_map": 0, "url": 1})
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "repo_path": "shi-labs/oneformer_demo"}))
    seen: list[dict[str, Any]] = []

    def spy(cls: Any, settings: dict[str, Any], **more: Any) -> Any:
        seen.append(settings)
        return plain(settings, **more)

    plain = transformers.ViTConfig.from_dict
    monkeypatch.setattr(transformers.ViTConfig, "from_dict", classmethod(spy))
    original = transformers.AutoImageProcessor.from_pretrained

    def processor(room: Path, **more: Any) -> Any:
        seen.extend(json.loads(text.read_text()) for text in Path(room).glob("*.json"))
        return original(room, **more)

    monkeypatch.setattr(transformers.AutoImageProcessor, "from_pretrained", processor)
    build_classifier(folder, meta=True)
    assert len(seen) >= 3
    for given_to_it in seen:
        assert not {*harmless, "repo_path"} & given_to_it.keys()
    assert seen[0]["label2id"] == {"auto_map": 0, "url": 1}


def test_without_a_processor_that_of_its_kind_is_taken_and_said(repos: dict[str, Path], tmp_path: Path) -> None:
    folder = only_configs(repos["hf-vit"], tmp_path)
    (folder / "modeling_vit.py").write_text("raise SystemExit('ran')")
    (folder / "sitecustomize.py").write_text("raise SystemExit('ran')")
    build_classifier(folder, meta=True)
    (folder / "preprocessor_config.json").unlink()
    _, facts = build_classifier(folder, meta=True)
    assert (facts.input_size, facts.mean) == ((3, 32, 32), (0.5, 0.5, 0.5))
    assert "preprocessor_config.json is missing" in facts.assumed[0]
    assert "ViTImageProcessor" in facts.assumed[0]


def test_building_opens_no_connection(repos: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for kind in ("timm-vit", "hf-swin"):
        build_classifier(repos[kind])


def test_global_settings_are_left_alone(repos: dict[str, Path]) -> None:
    from huggingface_hub import constants
    from transformers.utils import logging

    before = constants.HF_HUB_OFFLINE, torch.get_default_dtype(), logging.get_verbosity(), torch.get_rng_state()
    build_classifier(repos["hf-vit"])
    build_classifier(repos["timm-vit"], meta=True)
    with pytest.raises(ModelError):
        build_classifier(repos["hf-vit"], weights=("nothing.safetensors",))
    assert before[:3] == (constants.HF_HUB_OFFLINE, torch.get_default_dtype(), logging.get_verbosity())
    assert not torch.nn.modules.module._global_parameter_registration_hooks
    assert torch.equal(before[3], torch.get_rng_state())


class Returns(nn.Module):
    def __init__(self, wrap: Any) -> None:
        super().__init__()
        self.wrap = wrap

    def forward(self, images: Tensor) -> Any:
        return self.wrap(images.mean((2, 3)))


class Output:
    def __init__(self, logits: Tensor) -> None:
        self.logits = logits


@pytest.mark.parametrize(
    "wrap",
    [
        lambda x: x,
        lambda x: (x, None),
        lambda x: [x],
        lambda x: {"loss": None, "logits": x},
        lambda x: OrderedDict(out=x),
        lambda x: Output(x),
        lambda x: x[:, :, None, None],
    ],
    ids=["tensor", "tuple", "list", "dict", "other key", "object", "1x1 map"],
)
def test_logits_come_out_of_anything_and_pixels_are_normalised(wrap: Any) -> None:
    images = torch.rand(2, 3, 4, 4)
    found = Classifier(Returns(wrap), (0.1, 0.2, 0.3), (0.5, 1.0, 2.0))(images)
    expected = (images.mean((2, 3)) - torch.tensor([0.1, 0.2, 0.3])) / torch.tensor([0.5, 1.0, 2.0])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("out", [None, (), torch.zeros(2), torch.zeros(2, 3, 4), {"a": 1}, "text"])
def test_no_logits_is_an_error(out: Any) -> None:
    with pytest.raises(ModelError, match="no logits"):
        logits_of(out)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["architecture", "pretrained_cfg", "model_args", "num_classes", "labels"]), values)
)
def test_any_timm_config_is_read_or_refused(content: dict[str, Any]) -> None:
    try:
        name, pretrained, args, labels = configs.timm_parts(content)
    except HubcleanError:
        return
    assert isinstance(name, str)
    assert isinstance(pretrained, dict)
    assert labels is None or isinstance(labels, tuple)
    for item in args.values():
        assert not isinstance(item, dict)


@pytest.mark.parametrize("text", ["", "[1]", "null", "{", "[" * 100_000, '{"a": ' * 50_000, "\ud800"])
def test_a_damaged_config_is_one_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ModelError, match=r"config\.json"):
        configs.read_configs(tmp_path)


def test_a_huge_config_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(" " * (8 * 2**20 + 1))
    with pytest.raises(ModelError, match="larger"):
        configs.read_configs(tmp_path)


def test_facts_survive_json(repos: dict[str, Path]) -> None:
    from hubclean.records import from_json, to_json

    facts = build_classifier(repos["hf-convnext"], meta=True)[1]
    assert from_json(ModelFacts, json.loads(json.dumps(to_json(facts)))) == facts


def test_loops_without_end_are_broken_off(
    repos: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(*_: Any) -> Any:
        while True:
            pass

    monkeypatch.setattr(bounds, "MAX_SECONDS", 0.2)
    monkeypatch.setattr(classifier, "build_timm", endless)
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(ModelError, match=r"within 0\.2 seconds"):
        build_classifier(repos["timm-resnet"], meta=True)
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
