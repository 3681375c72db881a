"""Adapters: read strictly, chosen by library and glob, and none that changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from hubclean.errors import ModelError, OptionError
from hubclean.nets.construction import adapters
from hubclean.nets.construction.adapters import Adapter
from hubclean.nets.construction.classifier import patch_size
from hubclean.nets.cut.features import locate
from hubclean.records import ModelFacts

GOOD = 'library = "module"\nmatch = "Net*"\nreason = "why"\nexample = "Net"\n'


def facts(library: str, name: str, size: int, classes: int) -> ModelFacts:
    three = (0.5, 0.5, 0.5)
    labels = tuple(str(index) for index in range(classes))
    return ModelFacts(library, name, (3, size, size), three, three, "bicubic", 1.0, labels, 0)  # type: ignore[arg-type]


def example(adapter: Adapter) -> tuple[nn.Module, ModelFacts]:
    with torch.device("meta"):
        if adapter.library == "timm":
            import timm

            net = timm.create_model(adapter.example, num_classes=10)
            size = net.pretrained_cfg["input_size"][-1]
        else:
            import transformers

            cls = getattr(transformers, adapter.example)
            net, size = cls._from_config(cls.config_class(num_labels=10)), 224
    return net, facts(adapter.library, adapter.example, size, 10)


@pytest.mark.parametrize("adapter", adapters.load_adapters(), ids=lambda adapter: adapter.name)
def test_an_adapter_changes_what_is_found_for_its_example(adapter: Adapter) -> None:
    net, known = example(adapter)

    def outcome(rows: tuple[Adapter, ...]) -> object:
        try:
            patch = patch_size(net.config, known.architecture, rows) if known.library == "transformers" else 0
            site = locate(net, replace(known, patch=patch), rows)
            return site.feature, site.layout, site.prefix_tokens, site.heads
        except ModelError as error:
            return str(error)

    assert adapters.find_adapter((adapter,), adapter.library, adapter.example) is adapter
    assert outcome((adapter,)) != outcome(())


def test_a_user_folder_wins_over_ours(tmp_path: Path) -> None:
    ours = adapters.load_adapters()[0]
    (tmp_path / "mine.toml").write_text(
        f'[x]\nlibrary = "{ours.library}"\nmatch = "{ours.match}"\nreason = "r"\nexample = "e"\nrefuse = "not mine"\n'
    )
    rows = adapters.load_adapters(tmp_path)
    found = adapters.find_adapter(rows, ours.library, ours.example)
    assert found is not None
    assert found.name == "mine:x"
    assert found.refuse == "not mine"
    assert adapters.find_adapter(rows, "module", ours.example) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a\n", "no valid TOML"),
        ("a = 1\n", "no table"),
        ("[a]\n" + GOOD + "code = 'x'\n", "unknown fields ['code']"),
        ("[a]\n" + GOOD, "changes nothing"),
        ("[a]\n" + GOOD.replace('"why"', "1") + "feature = 'x'\n", "needs 'reason'"),
        ("[a]\n" + GOOD.replace("module", "keras") + "feature = 'x'\n", "library must be"),
        ("[a]\n" + GOOD + "layout = 'CHWN'\n", "layout must be one of"),
        ("[a]\n" + GOOD + "heads = 'fc'\n", "list of module names"),
        ("[a]\n" + GOOD + "prefix_tokens = -1\n", "prefix_tokens"),
        ("[a]\n" + GOOD.replace("module", "transformers") + "input = 'words'\n", "input must be patches"),
        ("[a]\n" + GOOD + "input = 'patches'\n", "transformers alone"),
        ("#" * 300_000, "larger than"),
    ],
)
def test_a_bad_file_is_named_with_its_fault(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(OptionError, match="bad") as caught:
        adapters.load_adapters(tmp_path)
    assert said in str(caught.value)


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no folder"):
        adapters.load_adapters(tmp_path / "nowhere")


class Net(nn.Module):
    """Two outputs of which only the first is the classifier; the second is added as an auxiliary."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc, self.aux = nn.Conv2d(3, 6, 3), nn.Linear(6, 4), nn.Linear(6, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pooled = self.conv(images).relu().mean((2, 3))
        return self.fc(pooled) + 0.1 * self.aux(pooled)


def test_fields_are_obeyed() -> None:
    known, base = (
        facts("module", "Net", 8, 4),
        {"name": "t:n", "library": "module", "match": "Net", "reason": "r", "example": "e"},
    )
    net = Net()
    assert [head.path for head in locate(net, known, ()).heads] == ["fc", "aux"]
    ignoring = Adapter(**base, ignore_heads=("aux",))  # type: ignore[arg-type]
    assert [head.path for head in locate(net, known, (ignoring,)).heads] == ["fc"]
    naming = Adapter(**base, heads=("aux",), feature="conv", layout="NHWC")  # type: ignore[arg-type]
    site = locate(net, known, (naming,))
    assert ([head.path for head in site.heads], site.layout, site.adapter) == (["aux"], "NHWC", "t:n")
    with pytest.raises(ModelError, match="does not run"):
        locate(net, known, (Adapter(**base, heads=("nothing",)),))  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="because I say so"):
        locate(net, known, (Adapter(**base, refuse="because I say so"),))  # type: ignore[arg-type]
