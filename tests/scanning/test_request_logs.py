"""The load set against what real loaders asked a Hub for, lowest and newest versions: nothing they open is outside it.

The logs are made by ``python -m benchmarks.scan.ordinary.loaders``, which says what is in them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hubclean.hub.repos import LocalRepo
from hubclean.scanning.engine import reader_of
from hubclean.scanning.load_sets import Asked, load_set
from support import ROOT

LOGS = ROOT / "tests" / "scanning" / "fixtures" / "request_logs"
REPOS: dict[str, Any] = json.loads((LOGS / "repos.json").read_text(encoding="utf-8"))
OPTIONS: dict[str, dict[str, str]] = {
    "fp16": {"variant": "fp16"},
    "subfolder": {"subfolder": "base"},
    "peft-subfolder": {"subfolder": "adapter"},
}
# A caller who says use_safetensors=False opens other weights than the default, which is what the set is about.
PICKLES_ASKED_FOR = ("pickle", "fp16-pickle")
# One class of tokenizer opens these, another those; a model that is loaded alone opens none. The set holds all.
PROCESSORS = {
    "preprocessor_config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json", "vocab.json",
    "merges.txt", "special_tokens_map.json", "added_tokens.json", "spiece.model", "tokenizer.model",
}  # fmt: skip


def opened() -> dict[str, tuple[str, str, dict[str, str], set[str]]]:
    """By library, version, kind of repo and options: who loads what how, and the files that all its calls opened."""
    found: dict[str, tuple[str, str, dict[str, str], set[str]]] = {}
    for place in sorted(LOGS.glob("*-*.json")):
        log = json.loads(place.read_text(encoding="utf-8"))
        for case in log["cases"].values():
            if case["call"] in PICKLES_ASKED_FOR:
                continue
            loader = "transformers" if case["call"] == "base model" else log["library"]
            call = case["call"] if case["call"] in OPTIONS else ""
            name = " ".join((place.stem, case["kind"], call)).strip()
            found.setdefault(name, (loader, case["kind"], OPTIONS.get(call, {}), set()))[3].update(case["found"])
    return found


CASES = opened()


@pytest.mark.parametrize("name", CASES)
def test_nothing_that_a_real_loader_opens_is_outside_the_load_set(name: str, tmp_path: Path) -> None:
    loader, kind, options, files = CASES[name]
    for path, size in REPOS[kind]["files"].items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        with (tmp_path / path).open("wb") as file:
            file.truncate(min(size, 4096))
    for path, text in REPOS[kind]["configs"].items():
        (tmp_path / path).write_text(text, encoding="utf-8")
    repo = LocalRepo(tmp_path)
    found = load_set(reader_of(repo, repo.files()), Asked(loader, **options))  # type: ignore[arg-type]
    assert files - set(found.files) == set()
    beside = {path.rpartition("/")[2] for path in set(found.files) - files}
    assert beside <= PROCESSORS
