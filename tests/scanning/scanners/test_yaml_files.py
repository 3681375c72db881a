"""YAML: what a loader would call is seen in every spelling, plain data and broken text are not taken for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hubclean.scanning import budget
from hubclean.scanning.formats.yaml_configs import events
from hubclean.scanning.formats.yaml_configs.events import read_yaml
from support.scanned_files import judge

CALLS = [
    "a: !!python/object/apply:os.system [id]",
    "a: !!python/name:os.system",
    "a: !!python/module:evil",
    "a: !!python/object/new:type [a]",
    "a: !!%70ython/name:os.system ''",
    "a: !%21python/name:os.system",
    "a: !<tag:yaml.org,2002:%70ython/object/apply:os.system> [id]",
    "%TAG ! tag:yaml.org,2002:py\n---\na: !thon/object/apply:os.system [id]",
    "\ufeff%TAG !e! tag:yaml.org,2002:python/\n---\na: !e!object/apply:os.system [id]",
    "# x\u2028%TAG !e! tag:yaml.org,2002:python/\u2028---\u2028a: !e!name:os.system",
    "a: 1\n...\n%TAG !e! tag:yaml.org,2002:python/\n---\na: !e!name:os.system",
    "model:\n  _target_: os.system",
    '{"\\x5ftarget_": os.system}',
    '? "_tar\\\n  get_"\n: os.system',
    "? |-\n  _target_\n: os.system",
    'a: &x "\\x5ftarget_"\nb: {*x : os.system}',
    "m: os.system\na: {_target_: '${m}'}",
    "a: {_target_: 'o${s}.system'}",
    "class_path: os.system",
    "pipeline:\n  name: subprocess.Popen\n  params: {args: id}",
    "a: !new:os.system",
    "a: !name:torch.load",
    "a: !apply:torch.hub.load [x]",
    "a: !module:custom",
    "model: {target: os.system, params: {command: id}}",
    "metrics:\n- _component_: subprocess:run",
    "a: builtins.eval",
    "x: $import os; os.system('id')",
    'x: \'$@y and __import__("os").system("id")\'',
    "x: [a, $subprocess.run('id')]",
    "x: ${'a':eval('1')}",
    "backbone:\n- [-1, 1, \"__import__('os').system('id')\", []]",
    "head:\n- [-1, 1, Detect, [nc, \"print(open('/etc/hostname').read())\"]]",
    "a: {_target_: '${oc.env:NOT_SET,os.system}'}",
    "a: [\n!!python/name:os.system",
]


FETCHES = "p: !new:speechbrain.utils.parameter_transfer.Pretrainer\n  paths:\n    model: "
FETCHED = [("HC-CFG-001", "low", False), ("HC-CFG-003", "high", True)]


@pytest.mark.parametrize("text", CALLS)
def test_what_a_loader_would_call_is_hostile_in_every_spelling(tmp_path: Path, text: str) -> None:
    for body in (text.encode(), text.removeprefix("\ufeff").encode("utf-16")):
        findings, _ = judge("yaml-files", tmp_path, {"params.yaml": body})
        rows = {(row.rule, row.severity, row.hostile) for row in findings if row.rule != "HC-INC-001"}
        assert rows == {("HC-CFG-001", "high", True)}


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a: {_target_: torch.nn.Linear}", [("HC-CFG-001", "medium", False)]),
        ("a: !!python/object:evil.Payload {}", [("HC-CFG-001", "medium", False)]),
        ("a: !%6eew:custom.Net", [("HC-CFG-001", "high", False)]),
        ("a: !<!new:custom.Net>", [("HC-CFG-001", "high", False)]),
        ("a: {_target_: '${model.target}'}", [("HC-CFG-001", "high", False)]),
        ("a: !new:torch.nn.Linear\n  in: 2", [("HC-CFG-001", "low", False)]),
        ("a: !apply:speechbrain.utils.seed_everything [1]", [("HC-CFG-001", "low", False)]),
        ("a: !!python/object:argparse.Namespace\n  b: 1", [("HC-CFG-001", "low", False)]),
        ("a: !!python/object/apply:pathlib.PosixPath [b]", [("HC-CFG-001", "low", False)]),
        ("a: !!python/object/apply:numpy.dtype [f8, false, true]", [("HC-CFG-001", "low", False)]),
        ("a: !!python/object:torch.nn.Linear {}", [("HC-CFG-001", "high", False)]),
        (f"{FETCHES}http://host.example/a.ckpt", FETCHED),
        (f"{FETCHES}https://huggingface.co/a/b/resolve/main/a.ckpt", FETCHED[:1]),
        ("a: !include:../../b.yaml", [("HC-CFG-003", "high", True)]),
        ("_BASE_: ../Base-RCNN-FPN.yaml", [("HC-CFG-003", "low", False)]),
        ("_BASE_: ../../../var/tmp/base.yaml", [("HC-CFG-003", "high", True)]),
        ("_BASE_: https://evil.example/base.yaml", [("HC-CFG-003", "high", True)]),
        ("chat_template: \"{{ ''.__class__ }}\"", [("HC-CFG-004", "high", True)]),
        ("default_chat_template: [{template: \"{{ ''.__class__ }}\"}]", [("HC-CFG-004", "high", True)]),
    ],
)
def test_what_is_worth_a_look_is_told_and_not_hostile(tmp_path: Path, text: str, rows: list[object]) -> None:
    findings, _ = judge("yaml-files", tmp_path, {"params.yaml": text.encode()})
    assert sorted({(row.rule, row.severity, row.hostile) for row in findings}) == rows


@pytest.mark.parametrize(
    "text",
    [
        "lr: 0.1\nname: python\n",
        "a: !!python/tuple [1, 2]\nb: !!python/none\nc: !!set {d}\ne: !!binary aGk=",
        "a: !ref <b>\nc: !include:d.yaml\ne: !custom {f: 1}",
        "run: echo hi!\nb: 'python/name:os.system'\nc: not _target_ at all",
        "# !!python/name:os.system\na: '!!python/name:os.system'\nb: |\n  _target_: os.system",
        "chat_template: |\n  {% for m in messages %}{{ m['content'] }}{% endfor %}",
        "class_path: torch.optim.Adam",
        "model:\n  class_path: __main__.Classifier\n  init_args: {x: 1}",
        "_BASE_: Base-RCNN-FPN.yaml",
        "pipeline:\n  name: pyannote.audio.pipelines.SpeakerDiarization\n  params: {a: 1}",
        "forbidden_calls: [os.system, builtins.eval]\nblocked:\n  names: subprocess.run",
        "text: never call os.system here\nmodule: os.system_of_units",
        "imports: [$import os, $import glob]\nx: $os.path.join(@root, 'a')\nz: $@net#__local_refs",
        "y: $torch.device('cuda:0')",
        "backbone:\n- [-1, 1, nn.Conv2d, [64, 6, 2, 2]]\n- [-1, 1, 'nn.Upsample(None, 2)', [None, 2, nearest]]",
        "text: \"__import__('os').system('id')\"\nnote: call eval(x) and __init__ never\nname: __main__",
        "a: ${eval:'2 * ${b}'}\nb: $PRICE\nc: costs $5",
        "{{ if .a }}: broken\n\t- but plain",
        "- " * 100,
    ],
)
def test_plain_data_is_ok(tmp_path: Path, text: str) -> None:
    findings, verdicts = judge("yaml-files", tmp_path, {"params.yml": text.encode()})
    assert (findings, verdicts["params.yml"].state) == ([], "ok")


def test_a_dump_without_an_ending_is_read(tmp_path: Path) -> None:
    body = b"lr: 0.1\nx: !!python/object/apply:os.system [id]\n"
    findings, _ = judge("yaml-files", tmp_path, {"runs/hparams": body, "LICENSE": body})
    assert [(row.path, row.severity) for row in findings] == [("runs/hparams", "high")]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("flavors: {python_function: {loader_module: mlflow.sklearn, model_path: model.pkl}}", 0),
        ("flavors:\n  python_function:\n    loader_module: mlflow.pytorch\n    code: null\n", 0),
        ("flavors:\n  python_function:\n    loader_module: evil\n    data: x\n", 1),
        ("flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n    code: code\n", 1),
        ("flavors:\n  python_function:\n    loader_module: mlflow.pyfunc.model\n    model_code_path: m.py\n", 1),
    ],
)
def test_what_an_mlmodel_has_mlflow_import(tmp_path: Path, text: str, found: int) -> None:
    findings, verdicts = judge("yaml-files", tmp_path, {"sub/MLmodel": text.encode()})
    assert [(row.rule, row.severity) for row in findings] == [("HC-CFG-001", "high")] * found
    assert ("sub/MLmodel" in verdicts) is not bool(found)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("a: !!python/none".encode("utf-16-le"), "zero bytes"),
        (b"a: \xff!", "not UTF-8 at byte 3"),
        (b"a: !b\n\t- c: !d", "does not take it"),
        (b'"_tar\\\n  get_": x', "does not take it"),
        (b"- " * 100 + b"!b", "deeper than 64"),
    ],
)
def test_what_cannot_be_followed_is_not_checked(tmp_path: Path, body: bytes, why: str) -> None:
    findings, verdicts = judge("yaml-files", tmp_path, {"params.yaml": body})
    assert [row.rule for row in findings] == ["HC-INC-001"]
    assert (verdicts["params.yaml"].state, why in verdicts["params.yaml"].reason) == ("unchecked", True)


def test_text_too_long_to_be_followed_is_not_checked_and_without_a_sign_it_is_ok(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hubclean.scanning.scanners.yaml_files.LONGEST", 100)
    long = b"a: 1\n" * 100
    assert judge("yaml-files", tmp_path, {"a.yaml": long})[1]["a.yaml"].state == "ok"
    _, verdicts = judge("yaml-files", tmp_path, {"a.yaml": long + b"b: !c"})
    assert "more than the 100 that are followed" in verdicts["a.yaml"].reason
    findings, _ = judge("yaml-files", tmp_path, {"a.yaml": long + b"b: !!python/name:os.system"})
    assert "HC-CFG-001" in {row.rule for row in findings}


def test_a_text_without_a_sign_is_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml, "parse", None)
    assert judge("yaml-files", tmp_path, {"a.yaml": b"a: 1\nb: [c, d]"})[1]["a.yaml"].state == "ok"


LINES = [
    *("a: !b", "- x", '"\\x5f', "!!python/name:os.system", "%TAG !e! tag:yaml.org,2002:python/", "---", "{", "]"),
    *("? ", "&a", "*a", "_target_: os.system", "\t", "|", "'", "...", "\u2028", "a: !e!name:os.system"),
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(LINES), max_size=12), st.sampled_from(["\n", " ", "\n  "]))
def test_what_pyyaml_would_construct_is_seen(lines: list[str], between: str) -> None:
    """PyYAML's own composer is the judge: a tag of a node that it composes is among those that were read."""
    text = between.join(lines)
    try:
        nodes = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError):
        return
    tags, todo = set(), list(nodes)
    while todo:
        node = todo.pop()
        tags.add(node.tag)
        if isinstance(node.value, list):
            todo += [part for row in node.value for part in (row if isinstance(row, tuple) else [row])]
    read = read_yaml(text)
    assert not read.broken
    assert {tag for tag in tags if "python/" in tag} <= {row.name for row in read.tags}


@pytest.mark.parametrize("unit", ["[a, ", "- !b c\n", 'k: "\\x41"\n', "{a: b}, ", "- *a\n", "x", "\\x41"])
def test_operations_grow_with_the_text(unit: str) -> None:
    def operations(count: int) -> int:
        with budget.counted() as meter:
            read_yaml("- &a !b x\n" + unit * count)
        return meter.used

    assert operations(4000) <= 4 * operations(1000) + 1000
    assert operations(4000) <= budget.allowed(4000 * len(unit))
    assert budget.allowed(events.LONGEST) > events.LONGEST * 2


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        (b"mean: !!python/tuple [0.5, 0.5]\nx: {y: !!python/unicode 'a', z: [!!python/none ]}", None),
        (b"args: !!python/object:argparse.Namespace\n  lr: 0.1\n", "low"),
        (b"out: !!python/object/apply:pathlib.PosixPath\n- out\n", "low"),
        (b"acc: !!python/object/apply:numpy.dtype [f8]\n", "low"),
        (b"cfg: !!python/object:acme.config.Config {a: 1}\nf: !!python/name:acme.hooks.twemoji\n", "medium"),
        (b"model:\n  _target_: src.models.Net\n  depth: 3\n", "medium"),
        (b"model: {_target_: torchvision.models.resnet18, weights: null}\n", "medium"),
    ],
)
def test_yaml_that_holds_values_or_names_classes_is_no_alarm(tmp_path: Path, text: bytes, severity: str | None) -> None:
    findings, _ = judge("yaml-files", tmp_path, {"params.yaml": text})
    assert {(row.rule, row.severity) for row in findings} == ({("HC-CFG-001", severity)} if severity else set())
