"""Plain records besides tensors: told of and never accused; what misuses their names is accused as anywhere."""

from __future__ import annotations

import argparse
import collections
import datetime
import decimal
import fractions
import io
import pathlib
import pickle
import sys
import types
import uuid
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from hubclean.scanning.engine import scan
from hubclean.scanning.formats.zip_members import read_zip
from hubclean.scanning.pickles.allowed_names import allowed_names, is_dangerous
from hubclean.scanning.pickles.libraries.known import estimators
from hubclean.scanning.pickles.record_names import state_names
from hubclean.scanning.pickles.streams import read_pickles
from hubclean.scanning.sources import BytesSource
from support.pickled import call, name, number, row, stream, text

PLAIN: dict[str, Any] = {
    "arguments": argparse.Namespace(lr=0.1, layers=[1, 2], inner=argparse.Namespace()),
    "default dicts": [
        collections.defaultdict(list, {1: [2]}), collections.defaultdict(int), collections.defaultdict(None)
    ],
    "deques": [collections.deque([1, 2], 3), collections.deque()],
    "paths": [Path("a/b"), pathlib.PurePosixPath("c"), pathlib.PureWindowsPath("d")],
    "times": [
        datetime.datetime(2020, 1, 2, 3), datetime.date(2020, 1, 2), datetime.timedelta(1), datetime.time(1),
        datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC),
    ],
    "numbers": [decimal.Decimal("1.5"), fractions.Fraction(1, 3), 1 + 2j],
    "ids": uuid.UUID(int=5),
    "simple": types.SimpleNamespace(a=1),
    "types": [int, float, list, slice(1, 2), range(3), frozenset([1]), Ellipsis, type(None)],
    "generator": torch.Generator().manual_seed(3),
}  # fmt: skip


def saved(value: Any, **options: Any) -> bytes:
    body = io.BytesIO()
    torch.save(value, body, **options)
    return body.getvalue()


def rules(body: bytes) -> set[str]:
    return {row.rule for row in read_zip(BytesSource(body)).problems}


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("kind", PLAIN)
def test_plain_records_are_told_of_and_no_more(kind: str, protocol: int) -> None:
    assert rules(saved({"weight": torch.ones(2), kind: PLAIN[kind]}, pickle_protocol=protocol)) == {"HC-PKL-010"}
    if kind != "generator":
        found = read_pickles(BytesSource(pickle.dumps(PLAIN[kind], protocol))).problems
        assert {row.rule for row in found} == {"HC-PKL-010"}


def test_records_of_protocol_0_too() -> None:
    for value in (argparse.Namespace(a=1), collections.defaultdict(list), collections.deque([1]), Path("a")):
        found = read_pickles(BytesSource(pickle.dumps(value, 0))).problems
        assert {row.rule for row in found} == {"HC-PKL-010"}, (value, found)


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.TrainingArguments(output_dir=str(tmp_path_factory.mktemp("o")), report_to=[])


def test_the_states_that_trainers_leave_are_low(arguments: Any, tmp_path: Path) -> None:
    from accelerate.data_loader import SeedableRandomSampler

    torch.save(arguments, tmp_path / "training_args.bin")
    torch.save(arguments, tmp_path / "old.bin", _use_new_zipfile_serialization=False)
    torch.save(SeedableRandomSampler([1, 2], data_seed=3), tmp_path / "sampler.bin")
    torch.save({"rng": torch.get_rng_state()}, tmp_path / "rng_state.pth")
    report = scan(tmp_path)
    assert report.exit_code == 0
    assert {row.path for row in report.findings if row.rule == "HC-PKL-010"} == {
        "training_args.bin", "old.bin", "sampler.bin"
    }  # fmt: skip
    assert {row.severity for row in report.findings if row.rule == "HC-PKL-010"} == {"low"}


ENUM = name("transformers.trainer_utils", "IntervalStrategy")
ARGUMENTS = name("transformers.training_args", "TrainingArguments")
OLD = {
    "an enum by getattr": stream(call("__builtin__", "getattr", ENUM, text("NO"))),
    "an enum by getattr, protocol 4": stream(call("builtins", "getattr", ENUM, text("NO")), 4),
    "an enum of 4.20": stream(call("transformers.trainer_utils", "ShardedDDPOption", text("simple"))),
    "evaluation of 4.0": stream(call("transformers.trainer_utils", "EvaluationStrategy", text("epoch"))),
    "arguments": stream(ARGUMENTS + b")\x81}" + text("lr") + number(1) + b"sb"),
    "deepspeed of 4.20": stream(name("transformers.deepspeed", "HfTrainerDeepSpeedConfig") + b")\x81}b"),
}


@pytest.mark.parametrize("case", OLD)
def test_what_older_versions_wrote_is_low(case: str) -> None:
    assert {row.rule for row in read_pickles(BytesSource(OLD[case])).problems} == {"HC-PKL-010"}


SYSTEM = name("os", "system")
MISUSED: dict[str, tuple[bytes, str]] = {
    "getattr of a module's function": (call("builtins", "getattr", name("os", "path"), text("system")), "HC-PKL-001"),
    "getattr with a secret name": (call("builtins", "getattr", ENUM, text("__class__")), "HC-PKL-001"),
    "getattr by a computed owner": (call("builtins", "getattr", b"}", text("NO")), "HC-PKL-001"),
    "what getattr found is called": (call("builtins", "getattr", ENUM, text("mro")) + b")R", "HC-PKL-003"),
    "getattr handed on": (call("innocent", "Map", name("builtins", "getattr")), "HC-PKL-001"),
    "getattr of an unknown class": (call("builtins", "getattr", name("a.b", "C"), text("x")), "HC-PKL-002"),
    "arguments that are constructed": (ARGUMENTS + row(text("/etc")) + b"R", "HC-PKL-002"),
    "arguments with a state that is no dict": (ARGUMENTS + b")\x81" + row(b"N", b"}") + b"b", "HC-PKL-002"),
    "an enum of a computed value": (ENUM + row(call("os", "system", text("id"))) + b"R", "HC-PKL-001"),
    "a factory that runs commands": (call("collections", "defaultdict", SYSTEM), "HC-PKL-001"),
    "a factory nobody knows": (call("collections", "defaultdict", name("a.b", "C")), "HC-PKL-002"),
    "a range without end": (call("builtins", "set", call("builtins", "range", number(1 << 40))), "HC-PKL-002"),
    "a type that is made": (call("builtins", "type", text("x"), b")", b"}"), "HC-PKL-002"),
    "a number out of a short text": (call("fractions", "Fraction", text("1e999999999")), "HC-PKL-002"),
    "a payload beside": (row(ARGUMENTS + b")\x81}b", call("os", "system", text("id"))), "HC-PKL-001"),
    "an unknown class beside": (row(ARGUMENTS + b")\x81}b", call("a.b", "C")), "HC-PKL-002"),
    "a path that is opened": (call("pathlib", "Path.read_text", text("x")), "HC-PKL-003"),
    "rebuilt from another base": (
        call("copyreg", "_reconstructor", name("argparse", "Namespace"), name("a.b", "C"), b"N"), "HC-PKL-002"
    ),
    "a reference to a command": (call("functools", "partial", SYSTEM, text("id")), "HC-PKL-001"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISUSED)
def test_a_listed_name_that_is_misused_is_as_severe_as_any_other(case: str) -> None:
    body, rule = MISUSED[case]
    assert rule in {row.rule for row in read_pickles(BytesSource(stream(body, 4))).problems}


class Settings:
    """Pickled as a class of a script."""

    def __init__(self) -> None:
        self.lr = 0.1


def test_a_class_of_the_script_that_wrote_it_is_a_plain_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Settings, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "Settings", Settings, raising=False)
    found = read_pickles(BytesSource(pickle.dumps(Settings())))
    assert {row.rule for row in found.problems} == {"HC-PKL-010"}
    for body in (call("__main__", "Popen", text("id")), call("__main__", "run", text("id"))):
        assert "HC-PKL-001" in {row.rule for row in read_pickles(BytesSource(stream(body, 4))).problems}


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_tensor_in_a_plain_pickle_is_walked_too(protocol: int) -> None:
    body = pickle.dumps({"x": torch.ones(2), "y": [torch.zeros(1)]}, protocol)
    found = read_pickles(BytesSource(body))
    assert {row.rule for row in found.problems} == {"HC-PKL-010"}
    inner = stream(call("os", "system", text("id")))
    for held in (inner, b"PK\x03\x04", b""):
        odd = b"\x80\x04" + name("torch.storage", "_load_from_bytes") + b"B" + len(held).to_bytes(4, "little") + held
        rules = {row.rule for row in read_pickles(BytesSource(odd + b"\x85R.")).problems}
        assert "HC-PKL-003" in rules
        assert ("HC-PKL-001" in rules) == (held == inner)
    called = stream(call("torch.storage", "_load_from_bytes", call("os", "system", text("id"))), 4)
    assert "HC-PKL-001" in {row.rule for row in read_pickles(BytesSource(called)).problems}


def test_estimators_hold_state_and_what_tables_rebuild_is_not_hostile() -> None:
    logistic = name("sklearn.linear_model._logistic", "LogisticRegression")
    rows = read_pickles(BytesSource(stream(logistic + b")\x81}b", 4))).problems
    assert [row.rule for row in rows] == ["HC-PKL-010"]
    called = stream(row(logistic + b"(" + text("x") + b"tR"), 4)
    assert "HC-PKL-002" in {row.rule for row in read_pickles(BytesSource(called)).problems}
    table = stream(call("pandas._libs.internals", "_unpickle_block", text("x")), 4)
    foreign = stream(call("pandas._libs.other", "_unpickle_block", text("x")), 4)
    (one,), (other,) = (read_pickles(BytesSource(body)).problems for body in (table, foreign))
    assert [(row.rule, row.hostile) for row in (one, other)] == [("HC-PKL-002", False), ("HC-PKL-002", True)]
    assert not any(is_dangerous(*pair) for pair in estimators())


@pytest.mark.parametrize(
    ("body", "hostile"),
    [
        (call("h5py", "File", text("model.bin"), text("w")), True),
        (call("tensorboardX", "SummaryWriter", text("runs/x")), True),
        (call("mylib", "Client", text("https://evil.example")), True),
        (call("mylib", "Strategy", text("steps")), False),  # as an enum is pickled
        (name("mylib", "Layer") + b")\x81" + text("a/b") + b"b", False),
        (name("subprocess", "getoutput"), True),
        (name("builtins", "getattr"), False),
        (name("functools", "partial"), False),
    ],
)
def test_a_class_that_is_given_a_path_and_a_function_that_runs_commands_are_hostile(body: bytes, hostile: bool) -> None:
    rows = [row for row in read_pickles(BytesSource(stream(body, 4))).problems if row.rule == "HC-PKL-002"]
    assert rows
    assert any(row.hostile for row in rows) is hostile


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_the_metadata_of_a_distributed_checkpoint_is_a_plain_record(tmp_path: Path) -> None:
    import torch.distributed.checkpoint as dcp

    dcp.save({"a": torch.ones(3), "b": 5, "c": torch.ones(2, 2)}, checkpoint_id=str(tmp_path), no_dist=True)
    states = {file.path: (file.state, file.reason) for file in scan(tmp_path, loader="all").files}
    assert states[".metadata"] == ("finding", "HC-PKL-009, HC-PKL-010")
    assert states["__0_0.distcp"][0] == "ok", states
    shard = tmp_path / "__0_0.distcp"
    whole = shard.read_bytes()
    evil = zipped(stream(call("os", "system", text("id"))))
    for body in (evil + whole, whole + evil):
        shard.write_bytes(body)
        assert "HC-PKL-001" in {row.rule for row in scan(tmp_path).findings if row.path == shard.name}
    shard.write_bytes(b"x" * 9 + whole)
    assert {file.path: file.state for file in scan(tmp_path).files}[shard.name] == "unchecked"


def zipped(pickled: bytes) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
    return body.getvalue()


def test_the_lists_do_not_overlap_and_hold_no_dotted_names() -> None:
    assert not state_names() & allowed_names()
    assert all("." not in name for _, name in state_names())
    assert 100 < len(state_names()) < 260


def test_the_file_is_what_the_script_writes() -> None:
    import json
    from importlib.metadata import version

    from support import ROOT
    from tools.state_names import document

    kept = json.loads((ROOT / "hubclean" / "scanning" / "pickles" / "state_names.json").read_text("utf-8"))
    if all(version(library).startswith(kept[library]) for library in ("transformers", "accelerate", "torch")):
        assert kept == document()
