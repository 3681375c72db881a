"""Images in memory: what is taken, what is refused, and that no library of pictures is needed for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn
from torch.utils.data import Dataset, TensorDataset

import hubclean
from hubclean.errors import DataError, ModelError, OptionError
from hubclean.nets import own_images
from hubclean.nets.datasets import Sizes, load_images
from hubclean.nets.images import ImageSet
from hubclean.nets.labels.matching import labelling
from hubclean.nets.session import open_session

SHAPE = (3, 8, 8)
PIXELS = torch.randint(0, 256, (40, *SHAPE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(40) % 4
SESSION = open_session("cpu", seed=3)


def never(image: Any) -> torch.Tensor:
    raise AssertionError("a tensor is not prepared")


class Pictures(Dataset[Any]):
    """Pictures of another size than the model's, as torchvision's datasets give them."""

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.new("RGB", (20, 10), (index, 0, 0)), index % 4


def splits(source: Any, prepare: Any = never, **options: Any) -> Any:
    return load_images(source, tuple("abcd"), prepare, SESSION, shape=SHAPE, **options)


@pytest.mark.parametrize(
    "source",
    [
        ImageSet(PIXELS, LABELS),
        (PIXELS, LABELS),
        (PIXELS.float() / 255, LABELS),
        TensorDataset(PIXELS, LABELS),
        [(image, label) for image, label in zip(PIXELS, LABELS.tolist(), strict=True)],
        (PIXELS.numpy(), LABELS.numpy()),
        [{"image": image, "label": label} for image, label in zip(PIXELS, LABELS, strict=True)],
        [(image.numpy() / np.float32(255), label) for image, label in zip(PIXELS, LABELS.numpy(), strict=True)],
    ],
    ids=["set", "uint8", "float", "dataset", "list", "numpy", "mappings", "float arrays"],
)
def test_every_form_gives_the_same_three_sets(source: Any) -> None:
    found = splits(source, sizes=Sizes(10, 10, 20))
    whole = torch.cat([part.pixels for part in (found.defense.fit, found.defense.val, found.test)])
    labels = torch.cat([part.labels for part in (found.defense.fit, found.defense.val, found.test)])
    places = [int((image == PIXELS).flatten(1).all(1).nonzero()[0]) for image in whole]
    assert sorted(places) == list(range(40)), "every image once"
    assert torch.equal(labels, LABELS[places])
    assert found.report.source == "memory"
    assert found.report.fingerprint == splits((PIXELS, LABELS), sizes=Sizes(10, 10, 20)).report.fingerprint
    assert (found.report.fit, found.report.val, found.report.test, found.report.classes) == (10, 10, 20, 4)


def test_pictures_are_prepared_by_the_model_and_only_those_that_are_drawn() -> None:
    asked: list[int] = []

    def prepare(image: Image.Image) -> torch.Tensor:
        red = np.asarray(image)[0, 0, 0]
        asked.append(int(red))
        return torch.full(SHAPE, int(red), dtype=torch.uint8)

    found = splits(Pictures(), prepare, sizes=Sizes(2, 2, 3))
    assert len(asked) == len(set(asked)) == 7
    assert [int(image[0, 0, 0]) % 4 for image in found.test.pixels] == found.test.labels.tolist()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ((PIXELS, LABELS[:3]), r"are not \(n, c, h, w\) and \(n,\)"),
        ((PIXELS,), "a pair of tensors"),
        (42, "not int"),
        ((PIXELS[:, :1], LABELS), r"shape \(1, 8, 8\), the model takes \(3, 8, 8\)"),
        ((PIXELS.float(), LABELS), r"float in \[0, 1\]"),
        ((PIXELS.float() / 255 - 0.5, LABELS), "tell hubclean.wrap the mean and std"),
        ((torch.full((40, *SHAPE), float("nan")), LABELS), r"float in \[0, 1\]"),
        ((PIXELS, LABELS + 1), "the label 4 is none of the model's"),
        ((PIXELS, LABELS - 1), "the label -1 is none of the model's"),
        ([PIXELS[0]] * 40, "not a pair"),
        ([(PIXELS[0], "cat")] * 40, "a whole number, not 'cat'"),
        ((PIXELS, LABELS + 0.7), "a whole number, not tensor"),
        ([{"picture": PIXELS[0], "label": 1}] * 40, "no image and label"),
    ],
)
def test_what_is_refused(source: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        splits(source)


def test_a_split_means_nothing_in_memory() -> None:
    with pytest.raises(DataError, match="no splits"):
        splits((PIXELS, LABELS), split="test")


@given(st.floats(0, 1, width=32))
def test_float_pixels_are_the_nearest_of_256(value: float) -> None:
    image = torch.full((1, *SHAPE), value)
    (found, _) = own_images.row((image, torch.zeros(1)), 0, SHAPE, 1, never)
    assert abs(int(found[0, 0, 0]) / 255 - value) <= 0.5 / 255 + 1e-6


class Tied(nn.Module):
    """Two heads in one: the classifier's weight is tied to a second name; bfloat16 on disk."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3)
        self.head = nn.Linear(6, 4)
        self.same = self.head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.head(self.stem(x).relu().mean((2, 3)))
        return found


def test_a_net_in_memory_is_cleansed_with_images_in_memory(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Tied()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    checkpoint = hubclean.wrap(net, torch.zeros(1, *SHAPE), labels=list("abcd"), mean=(0.5,) * 3, std=(0.25,) * 3)
    sizes = hubclean.Sizes(10, 10, 20)
    result = hubclean.clean(
        checkpoint,
        (PIXELS, LABELS),
        tmp_path / "out",
        detectors=["mm-bd"],
        defense="ft",
        sizes=sizes,
        retune=False,
        accept_accuracy=True,
    )
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items()), "the net is its owner's"
    audit = result.audit
    assert (audit.data.source, audit.data.test, audit.model.library) == ("memory", 20, "module")
    assert audit.command.startswith("# in Python: hubclean.clean(NET, IMAGES, 'OUT'")
    assert [row.path for row in audit.inputs] == ["model.safetensors"]
    assert result.checkpoint.folder == tmp_path / "out"
    again = Tied()
    from safetensors.torch import load_file

    again.load_state_dict(load_file(tmp_path / "out" / "model.safetensors"))
    images = torch.rand(5, *SHAPE)
    with torch.no_grad():
        assert torch.allclose(again((images - 0.5) / 0.25), result.checkpoint.model(images), atol=1e-5)
    assert {"head.weight", "same.weight"} <= set(audit.cleansing.changed)


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"labels": ["a"]}, ModelError, "1 labels for a net with 4 outputs"),
        ({"labels": ["a", "b", "a", "c"]}, ModelError, "'a' is there twice"),
        ({"labels": [0, 1, 2, 3]}, ModelError, "a sequence of names"),
        ({"labels": "abcd"}, ModelError, "a sequence of names"),
        ({"labels": {1: "a", 2: "b", 3: "c", 4: "d"}}, ModelError, "keys must be 0 to 3"),
        ({"labels": 4}, ModelError, "a sequence of names"),
        ({"mean": (0.5,), "std": (0.5,)}, ModelError, "3 values"),
        ({"mean": 0.5, "std": 0.5}, ModelError, "3 values"),
        ({"mean": (0.5,) * 3}, ModelError, "go together"),
        ({"mean": (0.5,) * 3, "std": (0.5, 0.5, 0.0)}, ModelError, "std above 0"),
        ({"mean": (123.7, 116.3, 103.5), "std": (58.4, 57.1, 57.4)}, ModelError, "divide mean and std by 255"),
        ({"folder": "nowhere"}, ModelError, "no folder 'nowhere'"),
        ({"example": torch.zeros(3, 8, 8)}, ModelError, "a batch of images"),
    ],
)
def test_wrap_says_what_does_not_fit(options: dict[str, Any], kind: type[Exception], said: str) -> None:
    example = options.pop("example", torch.zeros(1, *SHAPE))
    with pytest.raises(kind, match=said):
        hubclean.wrap(Tied(), example, **options)


def test_labels_and_normalisation_have_plain_defaults() -> None:
    net = Tied()
    checkpoint = hubclean.wrap(net, torch.zeros(1, *SHAPE))
    assert checkpoint.labels == ("label 0", "label 1", "label 2", "label 3")
    images = torch.rand(2, *SHAPE)
    assert torch.allclose(checkpoint.model(images), net(images))


def test_labels_as_transformers_keeps_them_and_tensors_of_mean_and_std() -> None:
    names = {3: "d", 0: "a", 1: "b", 2: "c"}
    half = torch.full((3,), 0.5)
    checkpoint = hubclean.wrap(Tied(), torch.zeros(1, *SHAPE), labels=names, mean=half, std=half.numpy())
    assert checkpoint.labels == tuple("abcd")
    assert checkpoint.facts.mean == checkpoint.facts.std == (0.5,) * 3


def test_a_net_that_ends_in_a_softmax_or_has_one_output_is_refused() -> None:
    with pytest.raises(ModelError, match="no softmax"):
        hubclean.wrap(nn.Sequential(Tied(), nn.Softmax(1)), torch.zeros(1, *SHAPE))
    one = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.ReLU(), nn.Linear(8, 1))
    with pytest.raises(ModelError, match="a single output"):
        hubclean.wrap(one, torch.zeros(1, *SHAPE))


def test_images_are_asked_for_before_a_net_is_copied(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="needs labelled images"):
        hubclean.clean(hubclean.wrap(Tied(), torch.zeros(1, *SHAPE)), None, tmp_path / "out", defense="fst")
    assert not (tmp_path / "out").exists()


class Folder(Dataset[Any]):
    """Like ``torchvision.datasets.ImageFolder``: classes in alphabetical order, whatever the model's is."""

    def __init__(self, classes: list[str]) -> None:
        self.classes = classes

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.full(SHAPE, index, dtype=torch.uint8), index % 4


@pytest.mark.parametrize(("names", "numbers"), [(["a", "b", "c", "d"], [3, 0, 2, 1]), (["w", "x", "y", "z"], range(4))])
def test_classes_of_a_data_set_are_matched_by_name(names: list[str], numbers: Any) -> None:
    made = load_images(Folder(names), ("b", "d", "c", "a"), never, SESSION, sizes=Sizes(4, 4, 4), shape=SHAPE)
    for part in (made.defense.fit, made.defense.val, made.test):
        for pixels, label in zip(part.pixels, part.labels, strict=True):
            assert int(label) == numbers[int(pixels.flatten()[0]) % 4]
    assert made.report.taken == f"12 of 12 images in memory, labels by {made.report.matched_by}"


def test_what_the_user_says_of_a_data_sets_classes_counts() -> None:
    """Also where none of them is a label, so that their numbers would be taken for the labels'."""
    labels, rows = ("b", "d", "c", "a"), Sizes(3, 3, 3)
    said = labelling(None, {"w": "a", "x": "b", "y": "c", "z": None})
    made = load_images(Folder(["w", "x", "y", "z"]), labels, never, SESSION, sizes=rows, shape=SHAPE, labelling=said)
    for part in (made.defense.fit, made.defense.val, made.test):
        for pixels, label in zip(part.pixels, part.labels, strict=True):
            assert int(label) == [3, 0, 2][int(pixels.flatten()[0]) % 4]
    few = labelling(None, {"w": "a", "x": None, "y": None, "z": None})
    with pytest.raises(DataError, match="too few for fit, val and test"):
        load_images(Folder(["w", "x", "y", "z"]), labels, never, SESSION, sizes=rows, shape=SHAPE, labelling=few)


def test_splits_in_memory() -> None:
    import datasets as hf

    rows = {"image": [b"x"] * 4, "label": [0, 1, 2, 3]}
    parts = hf.DatasetDict({"train": hf.Dataset.from_dict(rows), "test": hf.Dataset.from_dict(rows)})
    with pytest.raises(DataError, match="has no split 'dev'; it has: train, test"):
        load_images(parts, ("a", "b", "c", "d"), never, SESSION, split="dev", shape=SHAPE)
    streamed = parts["train"].to_iterable_dataset()
    with pytest.raises(DataError, match="streamed has no length"):
        load_images(streamed, ("a", "b", "c", "d"), never, SESSION, shape=SHAPE)
