"""Images from every kind of place, matched with labels, split, and refused in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets as hf
import pytest
import torch
from PIL import Image

from hubclean.errors import DataError, LabelError
from hubclean.nets.datasets import Sizes, load_images, read_all, read_matched
from hubclean.nets.labels.matching import labelling
from hubclean.nets.session import open_session
from support.image_sets import image_set

SESSION = open_session("cpu", seed=2)
NAMES = ("cat", "dog", "golden retriever", "tiger cat")
SMALL = Sizes(4, 4, 8)


def prepare(image: Image.Image) -> torch.Tensor:
    pixels = torch.tensor(list(image.convert("RGB").resize((8, 8)).tobytes()), dtype=torch.uint8)
    return pixels.view(8, 8, 3).permute(2, 0, 1)


def pictures(count: int = 24, classes: int = 4) -> list[tuple[Image.Image, int]]:
    images = image_set(count, classes, (3, 16, 16))
    return [
        (Image.fromarray(p.permute(1, 2, 0).numpy()), int(n)) for p, n in zip(images.pixels, images.labels, strict=True)
    ]


def class_folders(place: Path, names: tuple[str, ...]) -> Path:
    for index, (image, label) in enumerate(pictures(classes=len(names))):
        (place / names[label]).mkdir(parents=True, exist_ok=True)
        image.save(place / names[label] / f"{index}.png")
    return place


def table(names: list[str] | None, column: str = "label") -> hf.Dataset:
    rows = pictures()
    label: Any = hf.ClassLabel(names=names) if names else hf.Value("int64")
    return hf.Dataset.from_dict(
        {"image": [image for image, _ in rows], column: [number for _, number in rows]},
        features=hf.Features({"image": hf.Image(), column: label}),
    )


def test_class_folders_are_matched_by_name_in_any_order(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "pets", ("dog", "golden retriever", "tiger cat", "cat"))
    splits = load_images(str(folder), NAMES, prepare, SESSION, sizes=Sizes(4, 4, 16))
    assert splits.report.matched_by == "name"
    assert splits.warnings == ()
    assert splits.report.source == "pets"
    everything = torch.cat([splits.defense.fit.labels, splits.defense.val.labels, splits.test.labels])
    assert sorted(everything.tolist()) == sorted([0, 1, 2, 3] * 6)
    images, classes = read_all(str(folder), "train", prepare)
    for pixels, label in zip(splits.test.pixels, splits.test.labels, strict=True):
        row = int((images.pixels.flatten(1).int() - pixels.flatten().int()).abs().sum(1).argmin())
        assert {"cat": 0, "dog": 1, "golden retriever": 2, "tiger cat": 3}[classes[int(images.labels[row])]] == int(
            label
        )


def test_parquet_folder_single_file_and_saved_set_read_alike(tmp_path: Path) -> None:
    rows = table(list(NAMES))
    (tmp_path / "a" / "data").mkdir(parents=True)
    rows.to_parquet(tmp_path / "a" / "data" / "test-00000-of-00001.parquet")
    rows.select(range(4)).to_parquet(tmp_path / "a" / "data" / "train-00000-of-00001.parquet")
    rows.save_to_disk(tmp_path / "b")
    sources = [tmp_path / "a", tmp_path / "a" / "data" / "test-00000-of-00001.parquet", tmp_path / "b"]
    reports = [load_images(str(source), NAMES, prepare, SESSION, sizes=SMALL).report for source in sources]
    assert {report.fingerprint for report in reports} == {reports[0].fingerprint}
    assert reports[0].split == "test", "the held-out split is taken"
    with pytest.raises(DataError, match="has no split 'dev'; it has: "):
        load_images(str(sources[0]), NAMES, prepare, SESSION, split="dev")
    with pytest.raises(DataError, match="do not fit 4 images"):
        load_images(str(sources[0]), NAMES, prepare, SESSION, split="train", sizes=SMALL)


def test_the_sets_are_disjoint_and_drawn_by_the_seed(tmp_path: Path) -> None:
    table(list(NAMES)).to_parquet(tmp_path / "x.parquet")
    source = str(tmp_path / "x.parquet")
    splits = load_images(source, NAMES, prepare, SESSION, sizes=Sizes(8, 8, 8))
    seen = [
        tuple(p.flatten().tolist())
        for part in (splits.defense.fit, splits.defense.val, splits.test)
        for p in part.pixels
    ]
    assert len(set(seen)) == 24
    again = load_images(source, NAMES, prepare, SESSION, sizes=Sizes(8, 8, 8))
    assert again.report.fingerprint == splits.report.fingerprint
    other = load_images(source, NAMES, prepare, open_session("cpu", seed=3), sizes=Sizes(8, 8, 8))
    assert other.report.fingerprint != splits.report.fingerprint


def test_unknown_names_are_refused_unless_the_user_says_what_they_are(tmp_path: Path) -> None:
    table(["a", "b\x1b[31m", "c", "d"]).to_parquet(tmp_path / "x.parquet")
    source = str(tmp_path / "x.parquet")
    with pytest.raises(LabelError, match="4 classes of the images go to no label of the model: 'a'") as refused:
        load_images(source, NAMES, prepare, SESSION, sizes=SMALL)
    assert "\x1b" not in str(refused.value)
    by_position = load_images(source, NAMES, prepare, SESSION, sizes=SMALL, labelling=labelling("position", None))
    assert by_position.report.matched_by == "position"
    mapped = labelling(None, {"a": "dog", "b\x1b[31m": 0, "c": None, "d": "tiger cat"})
    splits = load_images(source, NAMES, prepare, SESSION, sizes=Sizes(6, 6, 6), labelling=mapped)
    assert (splits.report.matched_by, splits.report.covered) == ("map", 3)
    parts = (splits.defense.fit, splits.defense.val, splits.test)
    assert sorted(torch.cat([part.labels for part in parts]).tolist()) == [0] * 6 + [1] * 6 + [3] * 6
    assert [(row.name, row.label) for row in splits.report.matches][2:] == [("c", None), ("d", 3)]
    assert splits.report.warnings == ("6 images of 1 class are left out, as the label map says",)


def test_numbers_without_names_work_and_too_many_classes_do_not(tmp_path: Path) -> None:
    table(None, "fine_label").to_parquet(tmp_path / "x.parquet")
    report = load_images(str(tmp_path / "x.parquet"), NAMES, prepare, SESSION, sizes=SMALL).report
    assert (report.classes, report.matched_by, report.covered) == (4, "index", 4)
    whole = read_matched(str(tmp_path / "x.parquet"), "train", NAMES, prepare)
    assert sorted(set(whole.labels.tolist())) == [0, 1, 2, 3]
    with pytest.raises(LabelError, match="the model has 3 labels, numbered from 0"):
        load_images(str(tmp_path / "x.parquet"), NAMES[:3], prepare, SESSION, sizes=SMALL)


def test_a_damaged_image_is_left_out_and_many_refuse_the_set(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "pets", NAMES)
    victims = sorted(folder.rglob("*.png"))
    victims[0].write_bytes(b"not an image")
    splits = load_images(str(folder), NAMES, prepare, SESSION, sizes=Sizes(4, 4, 16))
    assert splits.report.test == 15
    assert "1 image could not be read" in splits.warnings[-1]
    assert (splits.report.left, splits.report.taken.count("left: 1 unreadable")) == ({"unreadable": 1}, 1)
    for victim in victims[:13]:
        victim.write_bytes(b"not an image")
    with pytest.raises(DataError, match="too many images cannot be read"):
        load_images(str(folder), NAMES, prepare, SESSION, sizes=Sizes(4, 4, 16))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p / "missing", "neither a folder here nor a Hub dataset id"),
        (lambda p: (p / "empty").mkdir() or p / "empty", "is empty"),
        (lambda p: (p / "x.csv").write_text("a,b") and p / "x.csv", "no column of 'x.csv' names pictures"),
        (lambda p: (p / "x.mat").write_text("a,b") and p / "x.mat", "not .parquet, .arrow, .csv"),
        (lambda p: (p / "x.parquet").write_bytes(b"PAR1junk") and p / "x.parquet", "cannot be read"),
    ],
)
def test_what_is_no_data_set_is_refused_in_one_sentence(make: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load_images(str(make(tmp_path)), NAMES, prepare, SESSION)
    assert "\n" not in str(caught.value)


def test_a_table_without_labels_says_what_it_has(tmp_path: Path) -> None:
    hf.Dataset.from_dict({"text": ["a"] * 30}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(DataError, match="no image column among text"):
        load_images(str(tmp_path / "x.parquet"), NAMES, prepare, SESSION)


@pytest.mark.parametrize("labels", [[2**40, 1], [0.5, 1.0]])
def test_labels_that_are_none_are_one_sentence(labels: list[Any], tmp_path: Path) -> None:
    hf.Dataset.from_dict({"image": [image for image, _ in pictures(2)], "label": labels}).to_parquet(
        tmp_path / "x.parquet"
    )
    with pytest.raises(DataError, match="neither class names nor numbers"):
        load_images(str(tmp_path / "x.parquet"), NAMES, prepare, SESSION)


@pytest.mark.parametrize("error", [Image.DecompressionBombError("too big"), AttributeError("None"), EOFError()])
def test_whatever_a_damaged_image_raises_it_is_left_out(error: Exception, tmp_path: Path) -> None:
    calls = []

    def breaks(image: Image.Image) -> torch.Tensor:
        calls.append(image)
        if len(calls) == 20:
            raise error
        return prepare(image)

    splits = load_images(str(class_folders(tmp_path, NAMES)), NAMES, breaks, SESSION, sizes=Sizes(4, 4, 16))
    assert splits.report.test == 15


def test_a_folder_given_by_a_dot_has_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(class_folders(tmp_path / "pets", NAMES))
    assert load_images(".", NAMES, prepare, SESSION, sizes=SMALL).report.source == "pets"


def test_a_folder_without_class_folders_has_images_only(tmp_path: Path) -> None:
    for index, (image, _) in enumerate(pictures()):
        image.save(tmp_path / f"{index}.png")
    with pytest.raises(DataError, match="have no labels: they lie in no class folders"):
        load_images(str(tmp_path), NAMES, prepare, SESSION)
    splits = load_images(str(tmp_path), NAMES, prepare, SESSION, sizes=Sizes(10, 8, 3), labelled=False)
    assert [len(part) for part in (splits.defense.fit, splits.defense.val, splits.test)] == [10, 8, 0]
    assert set(splits.defense.fit.labels.tolist()) == {-1}
    assert not splits.labelled
    again = load_images(str(tmp_path), NAMES, prepare, SESSION, labelled=False)
    assert (again.report.fit, again.report.val) == (12, 12)


def test_labels_that_are_there_are_used_also_where_none_are_needed(tmp_path: Path) -> None:
    splits = load_images(str(class_folders(tmp_path, NAMES)), NAMES, prepare, SESSION, sizes=SMALL, labelled=False)
    assert splits.labelled
    assert (splits.report.matched_by, splits.report.test) == ("name", 8)
