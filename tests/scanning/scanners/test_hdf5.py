"""HDF5 and Keras files: what the libraries write passes, whatever reaches out or runs is a finding."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from hubclean.scanning.engine import scan
from support import ROOT
from support.scanned_files import judge, written
from tools.rule_examples import EXAMPLES

FIXTURES = ROOT / "tests" / "scanning" / "fixtures"
GOOD = sorted([*(FIXTURES / "keras" / "good").iterdir(), *(FIXTURES / "hdf5" / "good").iterdir()])
BAD = sorted([*(FIXTURES / "keras" / "bad").iterdir(), *(FIXTURES / "hdf5" / "bad").iterdir()])


def keras_zip(config: Any) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", config if isinstance(config, str) else json.dumps(config))
    return body.getvalue()


def layer(name: str, module: str | None = "keras.layers", registered: str | None = None, **config: Any) -> Any:
    return {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"layers": [{"module": module, "class_name": name, "config": config, "registered_name": registered}]},
        "registered_name": None,
    }


def function(module: str, name: str) -> Any:
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


@pytest.mark.parametrize("place", GOOD, ids=lambda place: place.name)
def test_what_the_libraries_write_is_ok(place: Path) -> None:
    report = scan(place)
    assert report.exit_code == 0, (report.files, report.findings)
    assert [row.severity for row in report.findings if row.severity != "medium"] == []
    assert place.name.startswith("custom") or report.files[0].state == "ok"


@pytest.mark.parametrize("place", BAD, ids=lambda place: place.name)
def test_a_bad_twin_is_a_finding(place: Path) -> None:
    report = scan(place)
    assert report.exit_code == 1
    wanted = "HC-KER-001" if "lambda" in place.name else "HC-H5-001"
    assert wanted in {row.rule for row in report.findings if row.severity in ("high", "critical")}


@pytest.mark.parametrize(
    ("config", "rule", "severity"),
    [
        (layer("Dense", activation=function("os", "system")), "HC-KER-002", "critical"),
        (layer("Dense", activation=function("builtins", "exec")), "HC-KER-002", "critical"),
        (layer("system", module="os"), "HC-KER-002", "critical"),
        (layer("Anything", module="numpy.f2py.crackfortran", registered="a>Anything"), "HC-KER-002", "high"),
        (layer("Net", module="evil_package.layers"), "HC-KER-002", "high"),
        (layer("Dense", activation=function("keras.utils", "get_file")), "HC-KER-003", "high"),
        (layer("get_file", module="keras.utils"), "HC-KER-003", "high"),
        (layer("Dense", activation=function("keras.src.utils.file_utils", "get_file")), "HC-KER-003", "high"),
        (layer("enable_unsafe_deserialization", module="keras.config"), "HC-KER-003", "high"),
        (layer("Dense", activation=function("keras.models", "load_model")), "HC-KER-003", "high"),
        (layer("Dense", activation=function("keras.saving", "load_model")), "HC-KER-003", "high"),
        (layer("Dense", activation=function("tensorflow.io", "write_file")), "HC-KER-002", "high"),
        (layer("StringLookup", vocabulary="/etc/passwd"), "HC-KER-003", "high"),
        (layer("TextVectorization", vocabulary="words"), "HC-KER-003", "high"),
        (layer("IntegerLookup", module="keras.src.layers", vocabulary="gs://a/b"), "HC-KER-003", "high"),
        (layer("TorchModuleWrapper", module={"a": 1}), "HC-KER-003", "high"),  # type: ignore[arg-type]
        (layer("TFSMLayer", filepath="/tmp/a"), "HC-KER-003", "high"),
        (layer("Lambda", function=["4wEA", None, None]), "HC-KER-001", "critical"),
        (layer("Lambda", function={"class_name": "__lambda__", "config": {"code": "4w"}}), "HC-KER-001", "critical"),
        (layer("JaxLayer", call_fn={"class_name": "__lambda__", "config": {}}), "HC-KER-001", "critical"),
        (layer("Lambda", module=None, output_shape_type="lambda", function="a"), "HC-KER-001", "critical"),
        (layer("Lambda", function_type="function", function="system", module="os"), "HC-KER-002", "critical"),
        (layer("TFOpLambda", module=None, function="io.read_file"), "HC-KER-003", "high"),
        (layer("TFOpLambda", module=None, function="raw_ops.WriteFile"), "HC-KER-003", "high"),
        (layer("TFOpLambda", module=None, function="numpy_function"), "HC-KER-003", "high"),
        (layer("Net", module="__main__"), "HC-KER-002", "medium"),
        (layer("Net", module="my.layers", registered="my>Net"), "HC-KER-002", "medium"),
        (layer("KerasLayer", module=None, registered="Custom>KerasLayer", handle="https://x"), "HC-KER-003", "medium"),
    ],
)
@pytest.mark.parametrize("ending", [".keras", "_training_config.h5"])
def test_a_config_that_runs_or_opens_something(
    tmp_path: Path, config: Any, rule: str, severity: str, ending: str
) -> None:
    if ending == ".keras":
        body = keras_zip(config)
    else:
        from tools.rule_examples import hdf5

        body = hdf5(training_config=json.dumps(config).encode())
    (tmp_path / f"model{ending}").write_bytes(body)
    report = scan(tmp_path / f"model{ending}")
    assert (rule, severity) in {(row.rule, row.severity) for row in report.findings}
    assert report.exit_code == (0 if severity == "medium" else 1)


@pytest.mark.parametrize(
    "config",
    [
        layer("Dense", activation=function("builtins", "relu")),
        layer("Dense", activation=function("keras.activations", "gelu"), dtype="float32"),
        layer("Conv2D", module="keras.src.layers.convolutional.conv2d"),
        layer("Add", module="keras.src.ops.numpy"),
        layer("StringLookup", vocabulary=["a", "b"]),
        layer("StringLookup", vocabulary=None),
        layer("TFOpLambda", module=None, function="math.add"),
        layer("TFOpLambda", module=None, function="__operators__.getitem"),
        layer("TFOpLambda", module=None, function="compat.v1.transpose"),
        layer("Adam", module=None, registered="Custom>Adam"),
        layer("ViTBackbone", module="keras_hub.src.models.vit.vit_backbone", registered="keras_hub>ViTBackbone"),
        layer("Lambda", module=None, function_type="function", function=None),
    ],
)
def test_a_config_of_keras_own_things(tmp_path: Path, config: Any) -> None:
    (tmp_path / "model.keras").write_bytes(keras_zip(config))
    report = scan(tmp_path / "model.keras")
    assert report.exit_code == 0
    assert report.findings == ()


def test_an_escape_does_not_hide_a_word(tmp_path: Path) -> None:
    text = (
        json.dumps(layer("x", module="os")).replace("class_name", "class\\u005fname").replace("module", "m\\u006fdule")
    )
    (tmp_path / "model.keras").write_bytes(keras_zip(text))
    assert scan(tmp_path / "model.keras").exit_code == 1


def test_a_config_that_is_no_json_is_not_checked(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(keras_zip('{"class_name": '))
    assert scan(tmp_path / "model.keras").exit_code == 2


def test_attributes_that_pytables_unpickles_are_walked(tmp_path: Path) -> None:
    from tools.rule_examples import hdf5

    findings, _ = judge("hdf5", tmp_path, {"a.h5": hdf5(note=b"cos\nsystem\n(S'id'\ntR.")})
    assert {row.rule for row in findings} >= {"HC-PKL-001"}
    findings, verdicts = judge("hdf5", tmp_path, {"a.h5": hdf5(note=b"Words, and a dot at their end.")})
    assert findings == []
    assert verdicts["a.h5"].state == "ok"


def test_a_link_into_a_file_of_the_repo_is_only_odd(tmp_path: Path) -> None:
    from tools.rule_examples import hdf5

    report = scan(written(tmp_path, {"a/b.h5": hdf5(outside="c.h5"), "a/c.h5": hdf5(x=b"y")}))
    assert [(row.rule, row.severity) for row in report.findings] == [("HC-H5-001", "medium")]


@pytest.mark.parametrize("change", ["cut", "tail"])
def test_what_cannot_be_followed_is_not_checked(tmp_path: Path, change: str) -> None:
    body = (FIXTURES / "hdf5" / "good" / "old.h5").read_bytes()
    changed = {"cut": body[:-100], "tail": body + b"tail"}[change]
    (tmp_path / "a.h5").write_bytes(changed)
    assert scan(tmp_path / "a.h5").exit_code == 2


def test_the_examples_of_the_rules_are_hdf5() -> None:
    assert EXAMPLES["HC-H5-001"]()["model.h5"].startswith(b"\x89HDF")
