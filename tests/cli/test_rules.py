"""``hubclean rules``, ``methods RULE`` and ``scan --explain RULE`` tell a rule as the page of rules does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hubclean.cli.main import main
from hubclean.cli.rules import plain, render_rules
from hubclean.scanning.rule_texts import describe_rules
from hubclean.scanning.rules import RULES
from tools import reference


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="hubclean")


def test_every_rule_is_listed_and_told_whole() -> None:
    listed = run("rules").stdout
    assert [line.split()[0] for line in listed.splitlines() if line.startswith("HC-")] == list(RULES)
    told = {row["id"]: row for row in json.loads(run("rules", "--json").stdout)}
    assert told.keys() == RULES.keys()
    for name, text in reference.rule_texts().items():
        assert {key: told[name][key] for key in text} == {key: value.strip() for key, value in text.items()}
        words = set(run("rules", name).stdout.split())
        for part in (RULES[name].text, *map(plain, text.values())):
            assert set(part.split()) <= words, name


@pytest.mark.parametrize(
    "words",
    [
        ("rules", "HC-PKL-002"),
        ("rules", "pkl-002"),
        ("methods", "hc-pkl-002"),
        ("scan", "--explain", "HC-PKL-002"),
        ("scan", "gone", "--explain", "PKL-002"),
    ],
)
def test_a_rule_is_told_under_every_door(words: tuple[str, ...]) -> None:
    done = run(*words)
    assert done.exit_code == 0
    assert done.stdout.startswith("HC-PKL-002 (high)\n")
    for word in ("Why: Deny-lists lose", "Example: A pickle of the model", "What to do: Take the safetensors"):
        assert word in done.stdout
    assert "docs/scan/policy.md#names-that-pickles-may-hold" in done.stdout


@pytest.mark.parametrize(
    ("name", "hint"), [("PKL-02", "HC-PKL-002"), ("something-else", "lists"), ("\x1b[31m", "lists")]
)
def test_a_rule_that_there_is_not(name: str, hint: str) -> None:
    for words in (("rules", name), ("scan", "--explain", name)):
        done = run(*words)
        assert (done.exit_code, done.stdout) == (2, "")
        assert hint in done.stderr
        assert "\x1b" not in done.stderr


def test_rules_fit_a_narrow_terminal() -> None:
    for name in (None, *RULES):
        lines = render_rules(describe_rules(name), 60).splitlines()
        long = [line for line in lines if len(line) > 60]
        assert all(" " not in line.strip() for line in long), long  # a word alone may be longer


def test_the_texts_lie_in_the_package() -> None:
    import hubclean.scanning

    assert (Path(hubclean.scanning.__file__).parent / "rules.toml").is_file()
