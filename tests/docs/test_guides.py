"""The guides are true: what they show as Python is run, as a package of a user's own would be."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

import hubclean
from hubclean.nets import loading
from hubclean.nets.images import DefenseData, ImageSet
from hubclean.nets.session import open_session
from hubclean.registry import methods

GUIDES = Path(__file__).parents[2] / "docs" / "guides"


def shown(guide: str, file: str) -> ModuleType:
    """The Python block of a guide that begins with the file's name, as a module."""
    (code,) = re.findall(rf"```python\n# {file}\n(.*?)```", (GUIDES / guide).read_text(encoding="utf-8"), re.DOTALL)
    module = ModuleType(Path(file).stem)
    sys.modules[module.__name__] = module  # where dataclasses and type hints look names up
    exec(compile(code, guide, "exec"), module.__dict__)
    return module


class Entry:
    """An entry point of an installed package."""

    dist, value = None, "a guide"

    def __init__(self, name: str, cls: type) -> None:
        self.name, self._cls = name, cls

    def load(self) -> Any:
        return self._cls


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Registers a class under an entry-point group, as installing its package would."""
    held: dict[str, list[Entry]] = {}
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: held.get(group, []))
    methods.cache_clear()
    yield lambda group, cls: held.setdefault(group, []).append(Entry(cls.name, cls))
    methods.cache_clear()


def test_the_scanner_of_the_guide_judges_its_format(plug: Any, tmp_path: Path) -> None:
    for name, line in (("good", b"TOY1 colours=3\n"), ("bad", b"TOY1 run=id\n"), ("odd", b"TOY9\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.toy").write_bytes(line + b"\x00\x01" * 100)
    assert hubclean.scan(tmp_path / "good").exit_code == 2, "without the scanner nobody knows the format"
    plug("hubclean.scanners", shown("write-a-scanner.md", "toyscan.py").ToyFiles)
    methods.cache_clear()
    assert {name: hubclean.scan(tmp_path / name).exit_code for name in ("good", "bad", "odd")} == {
        "good": 0,
        "bad": 1,
        "odd": 2,
    }


def test_the_defense_of_the_guide_is_registered_and_cleanses(plug: Any) -> None:
    plug("hubclean.defenses", shown("write-a-defense.md", "shrinker.py").Shrink)
    methods.cache_clear()
    net = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))
    checkpoint = loading.wrap(net, mean=(0.5,), std=(0.5,), input_size=(1, 12, 12), labels=tuple("abc"), name="small")
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (8, *checkpoint.facts.input_size), dtype=torch.uint8, generator=generator)
    images = ImageSet(pixels, torch.arange(8) % len(checkpoint.labels))
    before = {name: value.clone() for name, value in checkpoint.model.state_dict().items()}
    defense = methods("defenses")["shrink"](c=1.0, max_drop=1.0)
    cleansing = defense.cleanse(checkpoint, DefenseData(images, images), (), open_session("cpu", batch_size=8))
    assert cleansing.kept == "shrunk"
    head = f"net.{checkpoint.site.heads[0].weight}"
    assert float(cleansing.checkpoint.model.get_parameter(head).abs().max()) < float(before[head].abs().max())
    assert all(torch.equal(value, before[name]) for name, value in checkpoint.model.state_dict().items())
