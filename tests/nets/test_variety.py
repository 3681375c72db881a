"""Odd shapes of real classifiers, on disk and whole: sizes, channels, dtypes, label counts, heads, return values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hubclean.errors import OptionError
from hubclean.hub.repos import LocalRepo
from hubclean.nets.loading import load_checkpoint, same_logits, wrap
from support.variety import (
    SMALL,
    Shape,
    arrays,
    cleaned,
    hf_repo,
    levit,
    names_of,
    of_hf,
    of_timm,
    pictures,
    regnet,
    resnet,
    shown,
    timm_repo,
    vit,
    whole_way,
    wrapper,
)

_MANY = 21_843  # labels of ImageNet-21k's full release


@dataclass(frozen=True)
class Case:
    """A repo, the data it is cleaned with, and what must be found: input size, way to the head, number of heads."""

    make: Callable[[Path], Path]
    size: Shape = (3, 32, 32)
    between: str = "pool"
    heads: int = 1
    data: str = "rgb"
    matched: str = "name"


_GREY = {"image_mean": [0.4], "image_std": [0.3]}
_SWIN = {"img_size": [32, 64], "window_size": 4, "embed_dim": 16, "depths": [1, 1], "num_heads": [1, 2]}
_LEVIT = {"img_size": 32, "embed_dim": [16, 24, 32], "num_heads": [2, 2, 2], "depth": [1, 1, 1], "key_dim": 8}
_MAXVIT = {"img_size": 64, "embed_dim": [32, 32], "depths": [1, 1], "head_hidden_size": 24, "stem_width": 8}
_CROP = {"image_processor_type": "CLIPImageProcessor", "do_center_crop": True, "crop_size": SMALL}

CASES = {
    "timm, grey": Case(of_timm("test_vit", {"in_chans": 1, "img_size": 32}), (1, 32, 32), "token", data="grey"),
    "timm, RGBA": Case(of_timm("test_resnet", {"in_chans": 4}), (4, 32, 32), data="rgba"),
    "timm, 6 channels": Case(of_timm("test_resnet", {"in_chans": 6}), (6, 32, 32), data="arrays"),
    "timm, fixed and not square": Case(
        of_timm("test_vit", {"img_size": [32, 48]}, shape=(3, 32, 48)), (3, 32, 48), "token"
    ),
    "timm, windows and not square": Case(
        of_timm("swin_tiny_patch4_window7_224", _SWIN, shape=(3, 32, 64)), (3, 32, 64)
    ),
    "timm, free and not square": Case(
        of_timm("test_convnext", shape=(3, 64, 32), crop_mode="squash"), (3, 64, 32), "norm"
    ),
    "timm, float16": Case(of_timm("test_resnet", dtype=torch.float16)),
    "timm, bfloat16": Case(of_timm("test_vit", {"img_size": 32}, dtype=torch.bfloat16), between="token"),
    "timm, no label names": Case(of_timm("test_resnet", names=False), matched="position"),
    "timm, hidden layer in a normed head": Case(of_timm("test_convnext", {"head_hidden_size": 24}), between="hidden"),
    "timm, hidden convolution after pooling": Case(of_timm("mobilenetv3_small_050"), between="hidden"),
    "timm, hidden layer in MaxViT": Case(
        of_timm("maxvit_tiny_rw_224", _MAXVIT, shape=(3, 64, 64)), (3, 64, 64), "hidden"
    ),
    "timm, distilled": Case(of_timm("levit_128s", _LEVIT), between="hidden", heads=2),
    "transformers, grey": Case(of_hf(vit, num_channels=1, **_GREY), (1, 32, 32), "token", data="grey"),
    "transformers, 6 channels": Case(
        of_hf(resnet, num_channels=6, image_mean=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6], image_std=[0.5] * 6),
        (6, 32, 32),
        data="arrays",
    ),
    "transformers, fixed and not square": Case(
        lambda folder: hf_repo(folder, lambda: vit(image_size=(32, 48)), {"height": 32, "width": 48}),
        (3, 32, 48),
        "token",
    ),
    "transformers, free and cropped": Case(of_hf(resnet, {"shortest_edge": 40}, **_CROP)),
    "transformers, float16": Case(of_hf(vit, dtype=torch.float16), between="token"),
    "transformers, bfloat16": Case(of_hf(resnet, dtype=torch.bfloat16)),
    "transformers, no label names": Case(of_hf(vit, num_labels=4), between="token", matched="position"),
    "transformers, normed and distilled": Case(of_hf(levit), between="hidden", heads=2),
    "transformers, flattened before the head": Case(of_hf(regnet)),
    "transformers, tuples": Case(of_hf(vit, return_dict=False), between="token"),
    "transformers, tuples with more": Case(of_hf(resnet, return_dict=False, output_hidden_states=True)),
    "transformers around timm, grey": Case(of_hf(wrapper, **_GREY), (1, 32, 32), data="grey", matched="position"),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("data")
    return {
        "rgb": pictures(root / "rgb", (3, 40, 52)),
        "grey": pictures(root / "grey", (1, 32, 32)),
        "rgba": pictures(root / "rgba", (4, 32, 32)),
        "arrays": arrays(root / "arrays.parquet", (6, 36, 40)),
    }


@pytest.mark.parametrize("name", CASES)
def test_the_whole_way(name: str, data: dict[str, Path], tmp_path: Path) -> None:
    case = CASES[name]
    folder = case.make(tmp_path / "repo")
    by = "position" if case.matched == "position" else None
    audit = whole_way(folder, data[case.data], tmp_path / "out", labels_by=by)
    assert audit.model.input_size == case.size
    assert (audit.site.between, len(audit.site.heads)) == (case.between, case.heads)
    assert audit.data.matched_by == case.matched
    assert len(audit.model.labels) == len(set(audit.model.labels)) == 4


def test_timm_says_nothing_on_the_console_about_a_grey_model(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = timm_repo(tmp_path / "repo", "test_resnet", {"in_chans": 1})  # its input_size still has three channels
    load_checkpoint(LocalRepo(folder))
    assert not [record for record in caplog.records if record.name.startswith("timm")]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_files_give_the_logits_of_float32_files(dtype: torch.dtype, tmp_path: Path) -> None:
    whole = load_checkpoint(LocalRepo(timm_repo(tmp_path / "whole", "test_resnet")))
    half = load_checkpoint(LocalRepo(timm_repo(tmp_path / "half", "test_resnet", dtype=dtype)))
    assert {value.dtype for value in half.model.parameters()} == {torch.float32}
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours, theirs = half.model(images), whole.model(images)
    assert 0 < float((ours - theirs).abs().max()) < 0.03 * float(theirs.abs().max())


def test_a_half_model_is_measured_as_it_is_written(data: dict[str, Path], tmp_path: Path) -> None:
    folder = timm_repo(tmp_path / "repo", "test_resnet", dtype=torch.bfloat16)
    out = tmp_path / "out"
    audit = cleaned(str(folder), data["rgb"], out)
    kept = next(stage for stage in audit.cleansing.stages if stage.name == audit.cleansing.kept)
    again = cleaned(str(out), data["rgb"], tmp_path / "again", defense="none", given=())
    assert again.cleansing.before[0].clean_accuracy == kept.metrics[0].clean_accuracy
    stored, fresh = (load_file(place / "model.safetensors") for place in (folder, out))
    moved = [name for name in stored if not torch.equal(stored[name], fresh[name])]
    assert "fc.weight" in moved
    assert {fresh[name].dtype for name in moved} == {torch.bfloat16}


@pytest.mark.parametrize("kind", ["timm", "transformers"])
def test_two_labels(kind: str, tmp_path: Path) -> None:
    make = of_timm("test_resnet", classes=2) if kind == "timm" else of_hf(resnet, **names_of(2))
    audit = whole_way(make(tmp_path / "repo"), pictures(tmp_path / "data", classes=2), tmp_path / "out")
    assert audit.model.labels == ("thing 0", "thing 1")


@pytest.mark.parametrize("kind", ["timm without names", "transformers"])
def test_as_many_labels_as_imagenet_21k(kind: str, data: dict[str, Path], tmp_path: Path) -> None:
    if kind == "transformers":
        folder, first = of_hf(resnet, **names_of(_MANY))(tmp_path / "repo"), "thing 0"
    else:
        folder, first = timm_repo(tmp_path / "repo", "test_resnet", classes=_MANY, names=False), "label 0"
    printed = shown(folder)
    assert f"{_MANY}: {first}" in printed
    assert len(printed) < 4000
    out = tmp_path / "out"
    mapped = None if kind == "transformers" else {f"thing {index}": index for index in range(4)}
    audit = cleaned(str(folder), data["rgb"], out, label_map=mapped)
    assert len(set(audit.model.labels)) == _MANY
    assert audit.data.matched_by == ("map" if mapped else "name")
    assert (out / "hubclean/audit.json").stat().st_size < 10**6
    assert (out / "README.md").stat().st_size < 20_000
    images = torch.rand(2, 3, 32, 32)
    assert same_logits(load_checkpoint(LocalRepo(out)), out, images) < 1e-5


def test_a_detector_asks_which_of_very_many_labels(data: dict[str, Path], tmp_path: Path) -> None:
    folder = timm_repo(tmp_path / "repo", "test_resnet", classes=_MANY)
    brief = ("steps=2", "batches=1", "neural-cleanse.batch_size=4", "seeds=1", "finetune=false", "step=0.5")
    with pytest.raises(OptionError, match=r"each of 21,843 labels .* name up to 2,000 of them \(labels=0,3,7\)"):
        cleaned(str(folder), data["rgb"], tmp_path / "out", detectors=("neural-cleanse",), given=brief)
    given = (*brief, "labels=0,1,2,3,5,8,21842")
    audit = cleaned(str(folder), data["rgb"], tmp_path / "out", detectors=("neural-cleanse",), given=given)
    (report,) = audit.detections
    assert [score.label for score in report.scores] == [0, 1, 2, 3, 5, 8, 21842]
    assert report.verdict == "undecided", "seven labels say nothing of the others"


class _Odd(nn.Module):
    """A user's own net, which returns its logits in ``shape``."""

    def __init__(self, shape: str, channels: int) -> None:
        super().__init__()
        self.shape = shape
        self.body = nn.Sequential(nn.Conv2d(channels, 12, 3, 2, 1), nn.ReLU(), nn.Conv2d(12, 16, 3, 2, 1), nn.ReLU())
        self.head = nn.Sequential(nn.Linear(16, 20), nn.ReLU(), nn.Linear(20, 4))

    def forward(self, images: Tensor) -> Any:
        found = self.body(images)
        logits = self.head(found.mean((2, 3)))
        shapes: dict[str, Any] = {
            "tuple": (logits, found),
            "list": [logits],
            "dict": {"features": found, "logits": logits},
            "dict of another name": {"features": found, "scores": logits},
        }
        return shapes[self.shape]


@pytest.mark.parametrize(
    ("shape", "size", "source"),
    [
        ("tuple", (3, 24, 40), "rgb"),
        ("list", (1, 32, 32), "grey"),
        ("dict", (6, 30, 30), "arrays"),
        ("dict of another name", (4, 32, 32), "rgba"),
    ],
)
def test_a_users_net_that_returns_more_than_logits(
    shape: str, size: Shape, source: str, data: dict[str, Path], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    net, folder = _Odd(shape, size[0]), tmp_path / "repo"
    folder.mkdir()
    save_file(net.state_dict(), folder / "model.safetensors")
    half, labels = (0.5,) * size[0], tuple(f"thing {index}" for index in range(4))
    wrapped = wrap(net, mean=half, std=half, input_size=size, labels=labels, name="odd", folder=folder)
    assert (wrapped.site.between, wrapped.site.channels) == ("hidden", 20)
    audit = cleaned(wrapped, data[source], tmp_path / "out")
    assert audit.model.input_size == size
    again = _Odd(shape, size[0])
    again.load_state_dict(load_file(tmp_path / "out/model.safetensors"))
    cut = (again.head[2].weight == 0).all(0)
    assert int(cut.sum()) == audit.cleansing.cut > 0
    assert not torch.equal(again.head[2].weight, net.head[2].weight)
