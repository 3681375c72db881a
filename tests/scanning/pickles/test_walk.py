"""The walk over a pickle: one adversarial stream for each mechanism by which scanners were beaten."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubclean.errors import BudgetError, OptionError
from hubclean.scanning.budget import of_file
from hubclean.scanning.pickles.allowed_names import check_names
from hubclean.scanning.pickles.opcodes import NeedMore
from hubclean.scanning.pickles.streams import read_pickles
from hubclean.scanning.pickles.walk import walk
from hubclean.scanning.sources import BytesSource
from support.pickle_attacks import ATTACKS, PAYLOAD
from support.pickled import EVIL, call, name, stream
from support.scanned_files import judge
from support.work import processor_seconds


def rules(body: bytes, allow: frozenset[str] = frozenset()) -> set[str]:
    return {problem.rule for problem in read_pickles(BytesSource(body), allow).problems}


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
    monkeypatch.setattr("hubclean.scanning.budget.FLOOR", 1000)
    with of_file("a.pkl", 0), pytest.raises(BudgetError, match="more than 1,000 operations"):
        walk(stream(b"N0" * 5000 + b"N"), 0, 20_000)


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
