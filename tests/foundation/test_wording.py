"""Options in messages: the argument in Python, the word on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import hubclean
from hubclean.cli.main import main
from hubclean.wording import option, typed


def test_options_are_called_as_the_caller_knows_them(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").write_text("b")
    says = "and is not empty; choose another {} or remove it"
    with pytest.raises(hubclean.HubcleanError, match=says.format("out=")):
        hubclean.download(tmp_path, tmp_path / "out")
    done = CliRunner().invoke(main, ["download", str(tmp_path), "--out", str(tmp_path / "out")])
    assert says.format("--out") in done.output
    with pytest.raises(hubclean.HubcleanError, match=says.format("out=")):  # the command has ended
        hubclean.download(tmp_path, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "value", "python", "word"),
    [
        ("data", None, "data=", "--data"),
        ("loader", "all", "loader='all'", "--for all"),
        ("detectors", ["skip"], "detectors=['skip']", "--detector skip"),
        ("create_pr", True, "create_pr=True", "--create-pr"),
        ("retune", False, "retune=False", "--no-retune"),
    ],
)
def test_how_an_option_is_called(name: str, value: Any, python: str, word: str) -> None:
    assert option(name, value) == python
    with typed():
        assert option(name, value) == word
