"""Hostile files in every format and container: each ends in exit 1, and what only looks like one does not."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from hubclean.scanning.engine import scan
from support import red_team
from support.hostile_pickles import sparse
from support.pickled import torch_zip
from support.red_team import padded
from support.scanned_files import written


@pytest.mark.parametrize("kind", red_team.KINDS)
def test_every_hostile_file_is_found(kind: str, tmp_path: Path) -> None:
    missed = {}
    for at, (path, body) in enumerate(red_team.KINDS[kind]().items()):
        name = "x.bin" if kind == "pickles" else path.rsplit("/", 1)[-1]
        report = scan(written(tmp_path / str(at), {name: body}))
        if report.exit_code != 1:
            missed[path] = (report.exit_code, report.files[0].reason)
    assert missed == {}


def test_there_are_many_of_them() -> None:
    assert sum(len(make()) for make in red_team.KINDS.values()) > 150


def test_numbers_that_look_like_a_zip_are_not_taken_for_one(tmp_path: Path) -> None:
    noise = random.Random(7).randbytes(300_000)
    marks = (
        b"PK\x05\x06" + bytes(18),
        b"PK\x03\x04" + noise[:40] + b"PK\x01\x02" + noise[:40] + b"PK\x05\x06" + noise[:30],
    )
    for at, mark in enumerate((*marks, b"PK\x05\x06" + noise[:18])):
        files = {"model.safetensors": padded(noise + mark + noise[:200], 64), "weights.safetensors": padded(mark, 64)}
        report = scan(written(tmp_path / str(at), files), loader="all")
        assert report.exit_code == 0, report.findings


def test_sparse_tensors_whose_indices_lie_inside_are_plain(tmp_path: Path) -> None:
    report = scan(written(tmp_path, {"x.bin": sparse(1), "y.bin": torch_zip()}))
    assert report.exit_code == 0, report.findings
