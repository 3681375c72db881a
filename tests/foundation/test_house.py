"""The rules of the house, read off the sources: small folders and files, maps in every package, tests from outside.

``import-linter`` holds the floors; this holds what it cannot see.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from support import ROOT
from support.source_trees import PACKAGE, TESTS, python_files, touches_of_private_names, tree

MOST_FILES, MOST_LINES = 20, 300
ONE_A_FILE = re.compile(r"\b[Oo]ne\b.* a file\b")
FOLDERS = sorted({place.parent for place in python_files(PACKAGE)})


def shown(place: Path) -> str:
    return place.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("folder", FOLDERS, ids=shown)
def test_a_folder_has_at_most_twenty_files(folder: Path) -> None:
    text = ast.get_docstring(tree(folder / "__init__.py")) or ""
    if ONE_A_FILE.search(text.partition("\n")[0]):
        return  # one method is one file, however many there are
    files = [place.name for place in folder.glob("*.py") if place.name != "__init__.py"]
    assert len(files) <= MOST_FILES, f"{shown(folder)} needs another room: {sorted(files)}"


def test_a_file_has_at_most_300_lines() -> None:
    lengths = {
        shown(place): len(place.read_text(encoding="utf-8").splitlines())
        for folder in (PACKAGE, TESTS)
        for place in python_files(folder)
    }
    assert {place: lines for place, lines in lengths.items() if lines > MOST_LINES} == {}


@pytest.mark.parametrize("folder", FOLDERS, ids=shown)
def test_a_package_names_its_modules_in_its_map(folder: Path) -> None:
    """The docstring of ``__init__.py`` names every file and package beside it.

    A folder of methods says that one is a file, and no more: a new method needs no line in any list.
    """
    place = folder / "__init__.py"
    assert place.is_file(), f"{shown(folder)} has no __init__.py"
    text = ast.get_docstring(tree(place)) or ""
    if ONE_A_FILE.search(text.partition("\n")[0]):
        return
    words = set("".join(c if c.isalnum() or c == "_" else " " for c in text).split())
    inside = {one.stem for one in folder.glob("*.py")} | {one.parent.name for one in folder.glob("*/__init__.py")}
    assert inside - {"__init__", "__main__"} <= words


def test_tests_touch_no_private_name_of_hubclean() -> None:
    touched = [
        f"{shown(place)}, line {line}: {name}"
        for place in python_files(TESTS)
        for line, name in touches_of_private_names(tree(place))
    ]
    assert touched == []


def test_private_names_are_found_however_they_are_touched() -> None:
    private = f"_{'refused'}"  # of hubclean.hub.transport; in two parts, or it would be found here
    for source in (
        f"from hubclean.hub.transport import {private}",
        f"transport.{private}",
        f"monkeypatch.setattr(transport, '{private}', None)",
        f"monkeypatch.setattr('hubclean.hub.transport.{private}', None)",
    ):
        assert [name.rpartition(".")[2] for _, name in touches_of_private_names(ast.parse(source))] == [private]
    for source in (f"self.{private}", "from hubclean.hub.transport import ATTEMPTS", "x._of_somebody_else", "'_'"):
        assert list(touches_of_private_names(ast.parse(source))) == []


def test_tests_look_at_no_clock() -> None:
    """The time on the clock is the machine's, not the code's: see ``support/work.py`` for limits that hold anyway."""
    clocks = {"monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "time_ns"}
    seen = [
        f"{shown(place)}, line {node.lineno}: {ast.unparse(node)}"
        for place in python_files(TESTS)
        for node in ast.walk(tree(place))
        if (isinstance(node, ast.ImportFrom) and node.module == "time")
        or (
            isinstance(node, ast.Attribute)
            and (node.attr in clocks or ast.unparse(node) in ("time.time", "time.sleep"))
        )
    ]
    assert seen == []


def test_no_test_imports_another() -> None:
    """What two of them need stands in ``tests/support``."""
    borrowed = [
        f"{shown(place)}, line {node.lineno}: {node.module}"
        for place in python_files(TESTS)
        for node in ast.walk(tree(place))
        if isinstance(node, ast.ImportFrom) and re.search(r"\btest_\w+$|^tests\b", node.module or "")
    ]
    assert borrowed == []
