"""The red team's cases are what they say: raw pickles reach their effect, no repo is in two sets."""

from __future__ import annotations

import io
import pickle
from typing import Any, ClassVar

import pytest

from benchmarks.scan.hostile.cases import Case, encoded
from benchmarks.scan.hostile.sets import cases
from benchmarks.scan.hostile.table import judged

SETS = {name: cases(name) for name in ("a", "b", "c")}
RAW = [
    pytest.param(case, id=f"{name}-{case.name}")
    for name in SETS
    for case in SETS[name]["pickle_forms"]
    if case.hostile and not encoded(case.make().get("pytorch_model.bin", b"PK")).startswith(b"PK")
]


class Inert:
    """Stands for whatever a pickle names; remembers that it was made, called or changed, and does nothing."""

    seen: ClassVar[list[str]] = []

    def __new__(cls, *values: Any, **named: Any) -> Inert:
        Inert.seen.append(f"{cls.__name__} called")
        return super().__new__(cls)

    def __init__(self, *values: Any, **named: Any) -> None:
        pass

    def __call__(self, *values: Any) -> Inert:
        return Inert(*values)

    def __setitem__(self, key: Any, value: Any) -> None:
        Inert.seen.append(f"{type(self).__name__} changed")

    def __setstate__(self, state: Any) -> None:
        Inert.seen.append(f"{type(self).__name__} built")

    def append(self, value: Any) -> None:
        """As APPEND calls it."""
        Inert.seen.append(f"{type(self).__name__} appended")


class Recorder(pickle.Unpickler):
    """The real C unpickler, with an inert class in place of every name."""

    def find_class(self, module: str, name: str) -> Any:
        """Nothing is imported."""
        made = type(f"{module}.{name}", (Inert,), {})
        return made() if name in ("environ", "path", "serialization", "constants") else made

    def persistent_load(self, key: Any) -> Any:
        """A storage."""
        return Inert()


@pytest.mark.parametrize("case", RAW)
def test_raw_pickle_reaches_an_effect(case: Case) -> None:
    """Up to the first fault, over all streams of the file, the unpickler calls or changes what is not torch's own."""
    Inert.seen.clear()
    file = io.BytesIO(encoded(case.make()["pytorch_model.bin"]))
    try:
        for _ in range(6):
            Recorder(file).load()
    except Exception:  # a fault, or the end of the file: what was called before it is called
        pass
    plain = ("collections.OrderedDict", "torch._utils._rebuild", "Inert")
    assert [row for row in Inert.seen if not row.startswith(plain)] or case.name in SETSTATE, Inert.seen


SETSTATE = ("setstate-put-into-an-instance",)  # its effect is the instance's own: an inert one has none


def test_sets_are_disjoint() -> None:
    """No set copies another: no repo is in two, nor twice in one."""
    repos = [
        tuple(sorted((path, encoded(content)) for path, content in case.make().items()))
        for kinds in SETS.values()
        for held in kinds.values()
        for case in held
    ]
    assert len(set(repos)) == len(repos)


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_sizes_and_kinds(name: str) -> None:
    """All sets have the same kinds; each kind has hostile cases and twins, and each case says what a loader does."""
    kinds = SETS[name]
    assert sorted(kinds) == sorted(SETS["a"])
    for held in kinds.values():
        assert any(case.hostile for case in held)
        assert any(not case.hostile for case in held)
        assert all(case.loader for case in held)


@pytest.mark.parametrize("name", ["data-pkl", "new-weights"])
def test_judged_by_a_real_scan(name: str) -> None:
    """The table's count is the scan's own exit code."""
    case = next(case for kind in SETS["a"].values() for case in kind if case.name == name)
    code, said, seconds = judged(case)
    assert code == case.right
    assert seconds < 30
    assert said or not case.hostile
