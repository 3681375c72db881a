"""``hubclean.toml`` read strictly, and what a target is judged by under it."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from hubclean.errors import OptionError
from hubclean.scanning.policy.effective import Wishes, effective
from hubclean.scanning.policy.settings import LONGEST, Settings, read_settings

NAME = "timm.models.resnet.ResNet"
FULL = f"""
fail-on = "medium"
for = "timm"
allow = [{{ name = "{NAME}", reason = "our own of 2021", expires = 2027-03-01 }}]

[[allow-unchecked]]
pattern = "*.onnx"
reason = "exported by our own job"

[[repos]]
match = "ourorg/*"
fail-on = "critical"

[[repos]]
match = ["ourorg/legacy-*", "other/one"]
for = "all"
allow-unchecked = [{{ pattern = "*.engine", reason = "runs on the edge only" }}]
"""


def settings(folder: Path, text: str, name: str = "hubclean.toml") -> Settings:
    (folder / name).write_text(text, encoding="utf-8")
    return read_settings(folder / name, name)


def test_the_last_rules_that_hold_win_and_what_they_allow_adds_up(tmp_path: Path) -> None:
    found = settings(tmp_path, FULL)
    plain = effective(Wishes(), found, None, today=datetime.date(2027, 3, 1))
    assert (plain.gate, plain.loader, plain.allow, plain.allow_unchecked) == ("medium", "timm", (NAME,), ("*.onnx",))
    assert plain.sources == {"fail-on": "hubclean.toml", "for": "hubclean.toml", "baseline": "default"}
    legacy = effective(Wishes(), found, "OurOrg/Legacy-1", today=datetime.date(2027, 3, 2))
    assert (legacy.gate, legacy.loader) == ("critical", "all")
    assert (legacy.allow, legacy.allow_unchecked) == ((), ("*.onnx", "*.engine"))
    assert [legacy.sources[name] for name in ("fail-on", "for")] == ["hubclean.toml: repos 1", "hubclean.toml: repos 2"]
    assert [(row.what, row.expires, row.reason) for row in legacy.expired] == [(NAME, "2027-03-01", "our own of 2021")]
    assert effective(Wishes(), found, "notourorg/x").gate == "medium"


def test_wishes_win_and_say_where_they_come_from(tmp_path: Path) -> None:
    asked = effective(Wishes("low", "peft", ("a.B",), ("*.tflite",)), settings(tmp_path, FULL), "ourorg/x")
    assert (asked.gate, asked.loader) == ("low", "peft")
    assert asked.sources == {"fail-on": "gate=", "for": "loader=", "baseline": "default"}
    assert asked.allow_unchecked == ("*.tflite", "*.onnx")
    assert {row.what: row.source for row in asked.allowances}["a.B"] == "allow="
    nothing = effective(Wishes())
    assert (nothing.gate, nothing.loader, nothing.allowances, nothing.file) == ("high", None, (), "")
    assert set(nothing.sources.values()) == {"default"}


def test_a_table_of_pyproject(tmp_path: Path) -> None:
    text = '[project]\nname = "x"\n[tool.hubclean]\nfail-on = "low"\n'
    assert settings(tmp_path, text, "pyproject.toml").rules[0].where == "pyproject.toml [tool.hubclean]"
    with pytest.raises(OptionError, match=r"no table \[tool.hubclean\]"):
        settings(tmp_path, "[tool.other]\nx = 1\n", "pyproject.toml")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('fail_on = "low"', "no setting is called 'fail_on'; did you mean 'fail-on'"),
        ("xyz = 1", "no setting is called 'xyz'; there are: fail-on, for"),
        ("fail-on = 3", "fail-on must be a text, not a number"),
        ('fail-on = "never"', "fail-on is 'never'; it must be one of info, low"),
        ("for = true", "for must be a text, not a boolean"),
        ('for = "tim"', "for is 'tim'"),
        ('allow = "timm.models.resnet.ResNet"', "allow must be a list of tables, not the text"),
        ('allow = ["timm.models.resnet.ResNet"]', "allow 1 must be a table, not the text"),
        ('[[allow]]\nname = "os.system"\nreason = "x"', "allow 1: 'os.system' can run code"),
        ('[[allow]]\nname = "timm.*"\nreason = "x"', "allow 1: 'timm.\\*' is no exact name"),
        ('[[allow]]\nname = "a.B"', "allow 1: reason is missing"),
        ('[[allow]]\nname = "a.B"\nreason = " "', "allow 1: reason must be a text"),
        ('[[allow]]\nname = "a.B"\nreason = "x"\nexpires = "2027-01-01"', "expires must be a day such as 2027-03-01"),
        ('[[allow]]\nname = "a.B"\nreason = "x"\nexpires = 2027-01-01T00:00:00', "not a date or time"),
        ('[[allow-unchecked]]\nname = "*.onnx"\nreason = "x"', "no setting is called 'name'; there are: pattern"),
        ("[allow]\nname = 1", "allow must be a list of tables, not a table"),
        ('[[repos]]\nfail-on = "low"', "repos 1: match must be a text or a list of texts, not missing"),
        ("[[repos]]\nmatch = []", "repos 1: match must be a text or a list of texts, not a list"),
        ('[[repos]]\nmatch = "a/b"\n[[repos.repos]]\nmatch = "c/d"', "repos 1: no setting is called 'repos'"),
        ("fail-on =", "is no TOML"),
        ("a = " + "[" * 5000, "is no TOML"),
        ("x = '" + "y" * LONGEST + "'", "which no settings have"),
    ],
)
def test_whatever_is_wrong_is_one_sentence_with_its_place(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=says) as told:
        settings(tmp_path, text)
    assert str(told.value).startswith("hubclean.toml")
    assert "\n" not in str(told.value)


def test_what_is_no_text_is_no_settings(tmp_path: Path) -> None:
    (tmp_path / "hubclean.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(OptionError, match="is no TOML"):
        read_settings(tmp_path / "hubclean.toml")
    with pytest.raises(OptionError, match="cannot be read: No such file"):
        read_settings(tmp_path / "gone.toml")
