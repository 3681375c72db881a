"""Inherited metadata as the Hub takes them; a loopback Hub with its rules takes what was mended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from hubclean.cleansing.hub_metadata import accepted, inherited
from hubclean.cli.main import main
from hubclean.hub import publish
from support.hub_server import HubServer
from support.tiny_models import make_repo


def mended(text: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    return inherited(f"---\n{text}\n---\n# card\n")


@pytest.mark.parametrize(
    ("text", "kept", "said"),
    [
        ("language: no", {"language": "no"}, "language: False is now 'no'"),
        ("language: [en, no]", {"language": ["en", "no"]}, "language: False is now 'no'"),
        ("language: English", {"language": "en"}, "'English' is now 'en'"),
        ("language: [klingonish]", {}, "'klingonish' was left out"),
        ("language: zh-Hant", {"language": "zh-Hant"}, ""),
        ("datasets: [null]", {}, "datasets: None was left out"),
        ("datasets:\n- org/data\n- null", {"datasets": ["org/data"]}, "None was left out"),
        ("datasets: ImageNet 1k subset", {}, "left out"),
        ("datasets: [https://huggingface.co/datasets/org/data]", {"datasets": ["org/data"]}, "is now 'org/data'"),
        ("base_model: /home/me/checkpoint-500", {}, "left out"),
        ("base_model: ../base", {}, "left out"),
        ("base_model: org/base", {"base_model": "org/base"}, ""),
        ("tags: [2024, a, null, 2024-01-02, true]", {"tags": ["2024", "a", "2024-01-02"]}, "2024 is now '2024'"),
        ("license: MIT", {"license": "mit"}, "is now 'mit'"),
        ("license: Apache 2.0", {"license": "apache-2.0"}, "is now 'apache-2.0'"),
        ("license: Our Licence v2", {"license_name": "our-licence-v2", "license": "other"}, "now 'other'"),
        ("license: null", {}, "names none"),
        ("license: [mit]", {"license": "mit"}, ""),
        ("license_link: ./LICENSE.pdf", {}, "left out"),
        ("base_model_relation: child", {}, "left out"),
        ("metrics: [accuracy, {f1: 0.9}]", {"metrics": ["accuracy"]}, "left out"),
        ("mine: [null, false]", {"mine": [None, False]}, ""),
    ],
)  # fmt: skip
def test_what_the_hub_refuses_is_mended_or_left_out_and_said(text: str, kept: dict[str, Any], said: str) -> None:
    found, notes = mended(text)
    assert found == kept
    assert (said in " ".join(notes)) if said else not notes


@given(st.dictionaries(st.sampled_from(["language", "tags", "license", "datasets", "base_model", "widget", "x"]),
                       st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.dates(),
                                    lambda inner: st.lists(inner, max_size=3))))  # fmt: skip
def test_nothing_raises_and_what_was_accepted_is_accepted(data: dict[str, Any]) -> None:
    kept, _ = accepted(data)
    assert accepted(kept) == (kept, ())
    for key in ("language", "tags", "datasets", "base_model", "license"):
        value = kept.get(key, "")
        assert all(isinstance(item, str) for item in (value if isinstance(value, list) else [value]))
    assert kept.get("x") == data.get("x")


def test_a_card_that_the_hub_would_refuse_is_published(hub: HubServer, tmp_path: Path) -> None:
    folder = make_repo(tmp_path / "repo", "timm-resnet")
    head = {"license": "mit", "language": False, "datasets": [None], "tags": [1, "a"], "base_model": "/home/me/base"}
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump(head)}---\n# mine\n")
    words = ["clean", str(folder), "--out", str(tmp_path / "out"), "--detector", "skip", "--defense", "none"]
    done = CliRunner().invoke(main, words)
    assert "hubclean: warning: the original's card: language: False is now 'no'" in done.output
    assert "Note: language" in (tmp_path / "out" / "README.md").read_text()
    assert publish.push(tmp_path / "out", "org/clean", token=hub.write_token).commit
