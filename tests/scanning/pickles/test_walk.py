"""The walk over a pickle: one adversarial stream for each mechanism by which scanners were beaten."""

from __future__ import annotations

import pickle
import struct
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubclean.errors import BudgetError, OptionError
from hubclean.scanning.pickles.allowed_names import check_names
from hubclean.scanning.pickles.opcodes import NeedMore
from hubclean.scanning.pickles.streams import read_pickles
from hubclean.scanning.pickles.walk import walk
from hubclean.scanning.sources import BytesSource
from support.pickled import EVIL, PLAIN, call, framed, name, number, row, storage, stream, tensor, text
from support.scanned_files import judge
from support.work import processor_seconds

SAFE = call("collections", "OrderedDict")
WRITTEN = text("os") + text("system") + b"\x93"
PAYLOAD = call("os", "system", text("id"))
ALIASES = b"".join(b"(" + b"h" + bytes([n]) * 1 + (b"h" + bytes([n])) * 9 + b"lq" + bytes([n + 1]) for n in range(8))


def rules(body: bytes, allow: frozenset[str] = frozenset()) -> set[str]:
    return {problem.rule for problem in read_pickles(BytesSource(body), allow).problems}


ATTACKS: dict[str, tuple[bytes, str]] = {
    # names
    "a command": (EVIL, "HC-PKL-001"),
    "a command by STACK_GLOBAL": (
        stream(text("os") + text("system") + b"\x93" + row(text("id")) + b"R", 4),
        "HC-PKL-001",
    ),
    "a command by INST": (b"(" + text("id") + b"ios\nsystem\n.", "HC-PKL-001"),
    "a command by OBJ": (stream(b"(" + name("os", "system") + text("id") + b"o"), "HC-PKL-001"),
    "a command by NEWOBJ": (stream(name("subprocess", "Popen") + row(text("id")) + b"\x81"), "HC-PKL-001"),
    "a command in Python 2's words": (stream(call("__builtin__", "eval", text("1"))), "HC-PKL-001"),
    "a command handed to a call": (stream(call("collections", "OrderedDict", name("os", "system"))), "HC-PKL-001"),
    "a loader nobody listed": (stream(call("torch.hub", "load", text("x"))), "HC-PKL-001"),
    "a resolver of names": (stream(call("pkgutil", "resolve_name", text("os:system"))), "HC-PKL-001"),
    "pickle in pickle": (stream(call("pickle", "loads", text("x"))), "HC-PKL-001"),
    "the scanner switched off": (stream(call("fickling.hook", "remove_hook")), "HC-PKL-001"),
    "a class nobody knows": (stream(call("innocent.models", "Net")), "HC-PKL-002"),
    "a name that is only referred to": (stream(name("os", "system")), "HC-PKL-002"),
    "a submodule of a listed module": (stream(call("collections.abc", "OrderedDict")), "HC-PKL-002"),
    "a prefix of a listed name": (stream(call("torch._utils", "_rebuild_tensor_v2x")), "HC-PKL-002"),
    "a listed name in another case": (stream(call("torch", "floatstorage")), "HC-PKL-002"),
    # what is called
    "a dot in a name": (stream(text("site") + text("os.system") + b"\x93" + row(text("id")) + b"R", 4), "HC-PKL-003"),
    "a dot in a listed name": (stream(call("collections", "OrderedDict.fromkeys", b"]")), "HC-PKL-003"),
    "a callable made at run time": (stream(SAFE + row() + b"R"), "HC-PKL-003"),
    "a callable out of a memo": (stream(b"}q\x00h\x00" + row() + b"R"), "HC-PKL-003"),
    "a name computed at run time": (stream(SAFE + text("system") + b"\x93", 4), "HC-PKL-003"),
    "a codec that is none of ours": (stream(call("_codecs", "encode", text("x"), text("evil"))), "HC-PKL-003"),
    # opcodes
    "EXT1": (stream(b"\x82\x01"), "HC-PKL-004"),
    "EXT4": (stream(b"\x84\x01\x00\x00\x00"), "HC-PKL-004"),
    "PERSID": (b"Pfile\n.", "HC-PKL-004"),
    "BINPERSID where nothing is outside": (stream(text("x") + b"Q"), "HC-PKL-004"),
    "DUP": (stream(b"]2\x86"), "HC-PKL-004"),
    "POP of a result": (stream(PAYLOAD + b"0N"), "HC-PKL-004"),
    "NEWOBJ_EX": (stream(name("torch", "Size") + b")}\x92", 4), "HC-PKL-004"),
    "buffers from outside": (stream(b"\x97\x98", 5), "HC-PKL-004"),
    "BUILD on a class": (stream(name("torch", "Tensor") + b"}" + text("a") + b"Nsb"), "HC-PKL-004"),
    "BUILD on a dict": (stream(b"}}b"), "HC-PKL-004"),
    "BUILD on a list": (stream(b"]}b"), "HC-PKL-004"),
    "items set on a list": (stream(b"]" + number(0) + b"Ns"), "HC-PKL-004"),
    "APPEND to a class": (stream(name("torch", "Size") + b"Na"), "HC-PKL-004"),
    # broken and ambiguous streams
    "a break behind the payload": (b"\x80\x02" + PAYLOAD + b"\xff\xff", "HC-PKL-005"),
    "no STOP": (b"\x80\x02" + SAFE, "HC-PKL-005"),
    "an opcode cut": (b"\x80\x02X\x10\x00\x00\x00abc", "HC-PKL-005"),
    "PROTO twice": (b"\x80\x02\x80\x04N.", "HC-PKL-005"),
    "PROTO at the end": (b"N\x80\x02.", "HC-PKL-005"),
    "a protocol of the future": (b"\x80\x09N.", "HC-PKL-005"),
    "a frame that ends inside an opcode": (framed(text("a" * 20) + b"0N", 12), "HC-PKL-005"),
    "a frame inside a frame": (framed(b"\x95" + struct.pack("<Q", 1) + b"N"), "HC-PKL-005"),
    "a frame behind the file": (framed(b"N", 1000), "HC-PKL-005"),
    "a frame behind STOP": (framed(b"N", 3) + b"N", "HC-PKL-005"),
    "a memo entry that is not there": (stream(b"h\x05"), "HC-PKL-005"),
    "a memo entry off by one": (stream(b"]q\x00h\x01"), "HC-PKL-005"),
    "a memo entry of nothing": (stream(b"q\x00N"), "HC-PKL-005"),
    "a mark that is not there": (stream(b"t"), "HC-PKL-005"),
    "an empty stack": (stream(b"\x86"), "HC-PKL-005"),
    "a mark left over": (stream(b"(N"), "HC-PKL-005"),
    "values left over": (stream(PAYLOAD + b"N"), "HC-PKL-005"),
    "a key without a value": (stream(b"}(" + text("a") + b"u"), "HC-PKL-005"),
    "arguments that are no tuple": (stream(name("collections", "OrderedDict") + b"NR"), "HC-PKL-005"),
    "a name with an escape that pickletools undoes": (b"\x80\x02co\\x73\nsystem\n)R.", "HC-PKL-005"),
    "a name with a space": (stream(name("os sys", "tem")), "HC-PKL-005"),
    "text that is not UTF-8": (stream(b"X\x01\x00\x00\x00\xff"), "HC-PKL-005"),
    "a number with a sign that some skip": (b"I1_0\n.", "HC-PKL-005"),
    "a negative length": (b"\x80\x02T\xff\xff\xff\xff.", "HC-PKL-005"),
    # more than one stream
    "a second stream": (PLAIN[:2] + b"N." + EVIL, "HC-PKL-006"),
    "bytes behind STOP": (stream(SAFE) + b"MZ rest", "HC-PKL-006"),
    # budgets
    "aliases that expand": (stream(b"]q\x00" + ALIASES + b"h\x08", 2), "HC-PKL-007"),
    "nesting": (stream(b"]" * 600 + b"a" * 599), "HC-PKL-007"),
    "marks": (b"(" * 2000 + b".", "HC-PKL-007"),
    "a memo of 4 GB": (stream(b"Nr\xff\xff\xff\x7f"), "HC-PKL-007"),
    "a buffer of 8 GB": (stream(call("builtins", "bytearray", number(1 << 33))), "HC-PKL-007"),
    # the list's own dangers
    "items set on a tensor": (stream(tensor(storage()) + number(0) + b"Ns"), "HC-PKL-008"),
    "items set on a storage": (stream(storage() + number(0) + b"Ns"), "HC-PKL-008"),
}


@pytest.mark.parametrize("case", ATTACKS)
def test_the_mechanism_is_found(case: str) -> None:
    body, rule = ATTACKS[case]
    assert rule in rules(body)


@pytest.mark.parametrize("body", [b"\x80\x02co\\x73\nsystem\n.", "\x63caf\u00e9\nNet\n.".encode()])
def test_a_disagreement_of_two_readers_is_told(body: bytes) -> None:
    told = [row.what for row in read_pickles(BytesSource(body)).problems if row.rule == "HC-PKL-005"]
    assert any("two readers disagree: pickletools" in what for what in told), told


def test_findings_before_a_break_and_in_a_second_stream_stand() -> None:
    assert {"HC-PKL-001", "HC-PKL-005"} <= rules(b"\x80\x02" + PAYLOAD + b"\xff")
    assert {"HC-PKL-001", "HC-PKL-006"} <= rules(stream(b"N") + EVIL)


def test_a_fault_does_not_hide_what_follows_it() -> None:
    assert "HC-PKL-001" in rules(stream(b"h\x07t" + PAYLOAD))


def test_the_place_the_count_and_the_wording_are_told() -> None:
    body = stream(b"(" + name("a.b", "C") + name("a.b", "C") + PAYLOAD + b"t")
    found = {row.rule: row for row in read_pickles(BytesSource(body)).problems}
    assert (found["HC-PKL-002"].offset, "a.b.C, 2 times" in found["HC-PKL-002"].what) == (3, True)
    assert "calls os.system" in found["HC-PKL-001"].what


def test_one_exact_name_may_be_allowed_and_dangerous_ones_never() -> None:
    body = stream(call("timm.models.resnet", "ResNet"))
    assert rules(body) == {"HC-PKL-002"}
    assert rules(body, check_names(["timm.models.resnet.ResNet"])) == set()
    assert rules(body, check_names(["timm.models.resnet"])) == {"HC-PKL-002"}
    assert "HC-PKL-001" in rules(EVIL, frozenset({"os.system"}))
    for path in ("os.system", "builtins.eval", "posix.system", "timm.*", "ResNet", "a..b", "torch.hub.load"):
        with pytest.raises(OptionError):
            check_names([path])


def test_a_stream_is_read_on_until_it_ends() -> None:
    class Counted(BytesSource):
        asked: ClassVar[list[int]] = []

        def at(self, start: int, stop: int) -> bytes:
            self.asked.append(stop)
            return super().at(start, stop)

    body = pickle.dumps(list(range(300_000)), 2)[:-1] + PAYLOAD + b"\x86."
    found = read_pickles(Counted(body))
    assert {row.rule for row in found.problems} == {"HC-PKL-001"}
    assert Counted.asked == sorted(set(Counted.asked))
    assert len(Counted.asked) <= 4
    with pytest.raises(NeedMore):
        walk(body[:100], 0, len(body))


def test_a_million_opcodes_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubclean.scanning.pickles.walk.MOST_OPCODES", 1000)
    assert "HC-PKL-007" in rules(stream(b"(" + b"N" * 2000 + b"t"))


def test_other_budgets_end_the_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    many = stream(b"(" + b"]" * 200 + b"t")
    names = stream(b"(" + name("torch", "Size") * 50 + b"t")
    assert rules(many) == rules(names) == set()
    monkeypatch.setattr("hubclean.scanning.pickles.stack.MOST_PUSHED", 100)
    monkeypatch.setattr("hubclean.scanning.pickles.stack.MOST_NAMES", 20)
    assert rules(many) == rules(names) == {"HC-PKL-007"}
    with pytest.raises(BudgetError):
        walk(stream(b"N0" * 5000 + b"N"), 0, 20_000, seconds=0.0)


def test_bytes_that_python_2_wrote_are_silent_and_hide_nothing() -> None:
    assert rules(b"(dp0\nS'caf\\xe9'\np1\nI1\ns.") == set()
    assert "HC-PKL-001" in rules(b"(S'caf\\xe9'\ncos\nsystem\n(S'id'\ntRt.")
    assert "HC-PKL-005" in rules(b"(S'caf\\xe9'\nco\\x73\nsystem\nt.")


BYTES = st.one_of(
    st.binary(max_size=300),
    st.lists(st.sampled_from([bytes([code]) for code in b"(]})tlduae\x81Rb0.2QNq\x00h\x00\x93\x94"]), max_size=60).map(
        b"".join
    ),
    st.tuples(st.sampled_from([body for body, _ in ATTACKS.values()]), st.integers(0, 40), st.binary(max_size=3)).map(
        lambda part: part[0][: part[1]] + part[2] + part[0][part[1] :]
    ),
)


@settings(max_examples=150, deadline=None)
@given(body=BYTES)
def test_no_bytes_raise_or_take_long(body: bytes) -> None:
    with processor_seconds(2):
        found = read_pickles(BytesSource(body))
    assert found.walks
    assert found.problems or found.walks[-1].complete or found.unchecked
    assert found.opcodes <= len(body)


def test_nothing_scanned_is_imported_or_run(tmp_path: Path) -> None:
    seen: list[str] = []
    watching = True

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event in ("pickle.find_class", "os.system", "subprocess.Popen", "exec", "marshal.loads"):
            seen.append(f"{event} {arguments[:2]}")
        if watching and event == "import":
            seen.append(f"import {arguments[0]}")

    (tmp_path / "hubclean_trap.py").write_text("raise SystemExit('imported')\n")
    trap = stream(call("hubclean_trap", "boom"))
    judge("pickles", tmp_path / "warm", {"a.pkl": EVIL})
    sys.path.insert(0, str(tmp_path))
    sys.addaudithook(hook)
    try:
        bodies = {f"{place}.pkl": body for place, (body, _) in enumerate(ATTACKS.values())}
        findings, _ = judge("pickles", tmp_path / "repo", {"trap.pkl": trap, **bodies})
    finally:
        watching = False
        sys.path.remove(str(tmp_path))
    assert "trap.pkl" in {row.path for row in findings}
    assert "hubclean_trap" not in sys.modules
    assert [row for row in seen if not row.startswith("import hubclean.")] == []
