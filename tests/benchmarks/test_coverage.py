"""A fortieth of the classifiers of timm, transformers and torchvision is located on meta; some families are proved.

``make coverage`` does the whole list.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks import coverage, coverage_table
from benchmarks.catalogue import Entry, entries, smallest

# The parts run side by side. All of either list would take CI many minutes.
PARTS = 4
SHARE = 40
PROVED = 4
# What takes seconds on its own is proved by ``make coverage`` alone.
COSTLY = frozenset(
    [
        "deepseek_vit",
        "gemma4_vit",
        "qwen3_vit",
        "beit",
        "sknet",
        "naflexvit",
        "nasnet",
        "pnasnet",
        "hrnet",
        "hieradet_sam2",
        "vision_transformer_sam",
        "mobilenetv5",
        "mambaout",
        "inception_resnet_v2",
        "inception_v4",
        "senet",
        "efficientformer_v2",
        "densenet",
        "maxvit",
        "convmixer",
        "tnt",
        "tresnet",
        "iformer",
        "gcvit",
        "rdnet",
        "dpn",
        "samvit",
        "crossvit",
        "cait",
        "coat",
        "eva",
        "swin_transformer_v2",
        "davit",
        "vgg",
        "vitamin",
        "volo",
        "visformer",
        "byoanet",
        "mvitv2",
        "nest",
        "twins",
        "hiera",
        "focalnet",
        "swin_transformer_v2_cr",
        "sequencer",
    ]
)


@pytest.mark.parametrize("part", range(PARTS))
def test_every_fortieth_classifier_is_located_from_its_config_alone(part: int) -> None:
    for entry in entries()[::SHARE][part::PARTS]:
        row = coverage.guarded("survey", entry)
        if entry.refused:
            assert row["refused"]
            continue
        assert "layout" in row, row
        assert row["channels"] > 0
        assert row["heads"] > 0
        assert row["conv"], f"{entry.name}: no units for site=conv"
        assert row["cuts"].get("none", 0) <= 0.7 * sum(row["cuts"].values()), row["cuts"]


CHEAP = [entry for entry in smallest() if entry.family not in COSTLY]


@pytest.mark.parametrize("entry", CHEAP[::PROVED], ids=lambda e: f"{e.library}-{e.family}")
def test_zeros_in_the_file_do_what_a_hook_does(entry: Entry) -> None:
    row = coverage.guarded("prove", entry)
    assert row.get("error") is None, row
    assert max(row["feature"], row["units"], row["reload"]) <= coverage.TOLERANCE
    assert row["failed"] == []
    assert row["tried"] > 0
    assert row["effect"] > 1e-3, "silenced units must matter, or the proof is empty"
    assert row["unhooked"]


def test_the_committed_table_is_drawn_from_the_committed_results() -> None:
    result: dict[str, Any] = json.loads(coverage.RESULTS.read_text())
    assert coverage.TABLE.read_text() == coverage_table.table(result)
    assert sum(row["count"] for row in result["families"]) >= 1371 + 40 + 80
    refused = {name for row in result["families"] for name in row["refused"]}
    assert len(refused) == sum(row["count"] - row["located"] for row in result["families"]), "each has its reason"
