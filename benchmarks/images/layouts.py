"""Layouts of pictures as people have them. Every maker writes into an empty folder and returns what is given as
``--data``; the pictures are 8 x 8, each of another colour, so that a run takes seconds."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets as hf
import pandas as pd
from PIL import Image

FIXTURES = Path(__file__).parent / "fixtures"
LABELS = ("cat", "dog", "ship")


@dataclass(frozen=True)
class Layout:
    """One layout: how it is written, the model's labels, and the options that are given."""

    name: str
    make: Callable[[Path], str]
    labels: tuple[str, ...] = LABELS
    options: tuple[tuple[str, Any], ...] = ()


def png(number: int, kind: str = "PNG", mode: str = "RGB") -> bytes:
    body = io.BytesIO()
    colour = (number * 37 % 256, number * 91 % 256, number * 151 % 256)
    Image.new("RGB", (8, 8), colour).convert(mode).save(body, kind)
    return body.getvalue()


def write(place: Path, paths: Iterable[str], texts: dict[str, str] | None = None) -> str:
    """Pictures at these paths, and files of text."""
    for number, path in enumerate(paths):
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_bytes(png(number, "JPEG" if path.casefold().endswith(("jpg", "jpeg")) else "PNG"))
    for path, text in (texts or {}).items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(text)
    return str(place)


def each(pattern: str, names: Iterable[str] = LABELS, count: int = 4) -> list[str]:
    """``count`` paths for each name."""
    return [pattern.format(name=name, number=number) for name in names for number in range(count)]


def _tree(*patterns: str, texts: dict[str, str] | None = None, names: Iterable[str] = LABELS) -> Callable[[Path], str]:
    return lambda place: write(place, [path for pattern in patterns for path in each(pattern, names)], texts)


def _rows(count: int = 12, kind: str = "PNG") -> list[bytes]:
    return [png(number, kind) for number in range(count)]


def _links(place: Path) -> str:
    write(place / "real", each("{name}/{number}.png"))
    (place / "data").mkdir()
    for name in LABELS:
        (place / "data" / name).symlink_to(place / "real" / name)
    (place / "data" / "cat" / "again").symlink_to(place / "data")
    (place / "data" / "dog" / "gone.png").symlink_to(place / "nowhere.png")
    return str(place / "data")


def _damaged(place: Path) -> str:
    write(place, each("{name}/{number}.png", count=8))
    (place / "cat" / "0.png").write_bytes(png(0)[:40])
    (place / "dog" / "1.png").write_bytes(b"<html>404</html>")
    (place / "ship" / "2.png").write_bytes(b"")
    (place / "cat" / "3.png").write_bytes(
        png(3).replace(b"\0\0\0\x08\0\0\0\x08", b"\0\x01\0\0\0\x01\0\0", 1)
    )  # 65536 wide
    return str(place)


def _zip(place: Path, name: str, paths: Iterable[str], extra: dict[str, bytes] | None = None) -> str:
    place.mkdir(exist_ok=True)
    with zipfile.ZipFile(place / name, "w", zipfile.ZIP_DEFLATED) as packed:
        for number, path in enumerate(paths):
            packed.writestr(path, png(number))
        for path, body in (extra or {}).items():
            packed.writestr(path, body)
    return str(place / name)


def _zips(place: Path, names: Iterable[str], pattern: str) -> str:
    for name in names:
        _zip(place, f"{name}.zip", each(pattern.replace("{zip}", name)))
    return str(place)


def _tar(place: Path, name: str) -> str:
    with tarfile.open(place / name, "w:gz" if name.endswith("gz") else "w") as packed:
        for number, path in enumerate(each("pets/{name}/{number}.png")):
            info = tarfile.TarInfo(path)
            info.size = len(png(number))
            packed.addfile(info, io.BytesIO(png(number)))
    return str(place / name)


def _fixture(*names: str, give: str = "") -> Callable[[Path], str]:
    def make(place: Path) -> str:
        for name in names:
            shutil.copy(FIXTURES / name, place / name)
        return str(place / give) if give else str(place)

    return make


def _frame(place: Path, columns: dict[str, Any], name: str = "data.parquet") -> str:
    pd.DataFrame(columns).to_parquet(place / name)
    return str(place / name)


def _hf(place: Path, columns: dict[str, Any], features: dict[str, Any], give: str = "x.parquet") -> str:
    table = hf.Dataset.from_dict(columns, features=hf.Features(features))
    if give.endswith(".parquet"):
        (place / give).parent.mkdir(parents=True, exist_ok=True)
        table.to_parquet(place / give)
        return str(place / give)
    hf.DatasetDict({"train": table, "test": table.select(range(6))}).save_to_disk(place / give)
    return str(place / give)


def _pictures() -> list[dict[str, Any]]:
    return [{"bytes": one, "path": None} for one in _rows()]


def _named(numbers: Iterable[int | None], names: tuple[str, ...] = ("ship", "cat", "dog")) -> Callable[[Path], str]:
    rows = {"image": _pictures(), "label": list(numbers)}
    return lambda place: _hf(place, rows, {"image": hf.Image(), "label": hf.ClassLabel(names=list(names))})


def _two_labels(place: Path) -> str:
    kinds = {
        "fine_label": hf.ClassLabel(names=["cat", "dog", "ship"]),
        "coarse_label": hf.ClassLabel(names=["pet", "thing"]),
    }
    rows = {"img": _pictures(), "coarse_label": [0, 0, 1] * 4, "fine_label": [0, 1, 2] * 4}
    return _hf(place, rows, {"img": hf.Image(), **kinds})


def _undecided(place: Path) -> str:
    return _frame(place, {"image": _rows(), "label": [0, 1, 2] * 4, "target": [2, 2, 1, 0] * 3})


def _masks(place: Path) -> str:
    rows = {"mask": _pictures(), "image": _pictures(), "label": [0, 1, 2] * 4}
    return _hf(place, rows, {"mask": hf.Image(), "image": hf.Image(), "label": hf.Value("int64")})


def _test_unlabelled(place: Path) -> str:
    rows = {"image": _pictures(), "label": [0, 1, 2] * 4}
    kinds = {"image": hf.Image(), "label": hf.ClassLabel(names=list(LABELS))}
    _hf(place, rows, kinds, "data/train-00000-of-00001.parquet")
    _hf(place, rows | {"label": [-1] * 12}, kinds, "data/test-00000-of-00001.parquet")
    return str(place)


def _paths_in_parquet(place: Path) -> str:
    write(place, [f"pics/{number}.png" for number in range(12)])
    return _frame(place, {"path": [f"pics/{n}.png" for n in range(12)], "label": list(LABELS) * 4}, "index.parquet")


def _csv(rows: Iterable[str], head: str = "path,label") -> str:
    return "\n".join((head, *rows)) + "\n"


_FLAT = [f"train/{number}.png" for number in range(12)]
_ISIC = [f"{n},{int(n % 3 == 0)}.0,{int(n % 3 == 1)}.0,{int(n % 3 == 2)}.0" for n in range(12)]


def _table(name: str, text: str, pictures: Iterable[str] = _FLAT, give: bool = True) -> Callable[[Path], str]:
    def make(place: Path) -> str:
        write(place, pictures, {name: text})
        return str(place / name) if give else str(place)

    return make


def _by_metadata(place: Path) -> str:
    lines = [json.dumps({"file_name": f"{n}.png", "label": LABELS[n % 3]}) for n in range(6)]
    pictures = [f"{split}/{n}.png" for split in ("train", "test") for n in range(6)]
    return write(place, pictures, {f"{split}/metadata.jsonl": "\n".join(lines) for split in ("train", "test")})


_WNIDS = ("n01443537", "n01629819", "n01641577")
FOLDERS = [
    Layout("a folder for each class", _tree("{name}/{number}.png")),
    Layout(
        "train/, val/, test/ of class folders",
        _tree("train/{name}/{number}.png", "val/{name}/{number}.png", "test/{name}/{number}.png"),
    ),
    Layout("Train/, Valid/, no test", _tree("Train/{name}/{number}.JPG", "Valid/{name}/{number}.Jpeg")),
    Layout(
        "training_set/training_set/, test_set/test_set/",
        _tree("training_set/training_set/{name}/{number}.png", "test_set/test_set/{name}/{number}.png"),
    ),
    Layout(
        "seg_train/seg_train/, seg_test/seg_test/, seg_pred/ flat",
        lambda p: write(
            p,
            [
                *each("seg_train/seg_train/{name}/{number}.png"),
                *each("seg_test/seg_test/{name}/{number}.png"),
                *each("seg_pred/seg_pred/{number}.png", [""]),
            ],
        ),
    ),
    Layout(
        "classes called test and training",
        _tree("{name}/train_{number}.png", names=("test", "training", "rest")),
        ("test", "training", "rest"),
    ),
    Layout(
        "a class called train beside others",
        _tree("{name}/{number}.png", names=("bus", "car", "train")),
        ("bus", "car", "train"),
    ),
    Layout(
        "train/ and test/ of pictures without labels",
        _tree("train/{name}{number}.png", "test/{name}{number}.png"),
        ("benign", "malignant"),
    ),
    Layout(
        "the same, labels not needed",
        _tree("train/{name}{number}.png", "test/{name}{number}.png"),
        ("benign", "malignant"),
        (("labelled", False),),
    ),
    Layout(
        "flat, train_001.png and test_001.png, labels not needed",
        lambda p: write(p, [*each("train_{number}.png", [""]), *each("test_{number}.png", [""])]),
        LABELS,
        (("labelled", False),),
    ),
    Layout(
        "class folders, a stray images/ and loose pictures",
        lambda p: write(p, [*each("{name}/{number}.png"), "images/a.png", "logo.png"]),
    ),
    Layout(
        "class folders and a flat test/", lambda p: write(p, [*each("{name}/{number}.png"), "test/a.png", "test/b.png"])
    ),
    Layout(
        "tiny-imagenet: train/WNID/images/, val/images/, test/images/",
        lambda p: write(
            p,
            [
                *each("train/{name}/images/{name}_{number}.JPEG", _WNIDS),
                *each("val/images/val_{number}.JPEG", [""]),
                *each("test/images/test_{number}.JPEG", [""]),
            ],
        ),
        _WNIDS,
    ),
    Layout(
        "subclasses are the labels: pet/cat/1.png",
        lambda p: write(
            p, [*each("pet/{name}/{number}.png", ("cat", "dog")), *each("thing/{name}/{number}.png", ("ship",))]
        ),
    ),
    Layout("classes are the labels: cat/persian/1.png", _tree("{name}/a/{number}.png", "{name}/b/{number}.png")),
    Layout("splits inside classes: cat/train/1.png", _tree("{name}/train/{number}.png", "{name}/test/{number}.png")),
    Layout("everything in one folder more", _tree("dataset/images/{name}/{number}.png")),
    Layout(
        "images/train/, images/test/ of class folders",
        _tree("images/train/{name}/{number}.png", "images/test/{name}/{number}.png"),
    ),
    Layout("train/ of class folders and masks/", _tree("train/{name}/{number}.png", "masks/{name}/{number}.png")),
    Layout("images/ and masks/ of class folders", _tree("images/{name}/{number}.png", "masks/{name}/{number}.png")),
    Layout(
        "left by file managers: __MACOSX, .DS_Store, Thumbs.db",
        lambda p: write(
            p,
            [*each("{name}/{number}.png"), "__MACOSX/cat/._0.png", "cat/._0.png", ".trash/x/1.png"],
            {".DS_Store": "x", "cat/Thumbs.db": "x"},
        ),
    ),
    Layout("links to folders elsewhere, one into itself, one to nothing", _links),
    Layout("four of 24 damaged: cut off, a web page, empty, 65536 x 65536", _damaged),
    Layout(
        "only .heic and .dcm",
        lambda p: write(p, [], {f"cat/{n}.{kind}": "x" for n in range(4) for kind in ("heic", "dcm")}),
    ),
]
TABLES = [
    Layout("metadata.jsonl in train/ and test/", _by_metadata),
    Layout(
        "metadata.csv",
        _table(
            "metadata.csv", _csv([f"train/{n}.png,{LABELS[n % 3]}" for n in range(12)], "file_name,label"), give=False
        ),
    ),
    Layout("CSV: path,label", _table("labels.csv", _csv([f"train/{n}.png,{LABELS[n % 3]}" for n in range(12)]))),
    Layout(
        "CSV: two pictures are not there",
        _table("labels.csv", _csv([f"train/{n}.png,{LABELS[n % 3]}" for n in range(14)])),
    ),
    Layout(
        "Kaggle: train.csv of ids, train/, sample_submission.csv",
        lambda p: write(
            p,
            [*_FLAT, *each("test/t{number}.png", [""])],
            {
                "train.csv": _csv([f"{n},{LABELS[n % 3]}" for n in range(12)], "image_id,breed"),
                "sample_submission.csv": _csv([f"t{n},cat" for n in range(4)], "image_id,breed"),
            },
        ),
    ),
    Layout(
        "TSV, semicolons in names",
        _table(
            "list.tsv",
            "name\tclass\n" + "".join(f"{n}.png\t{n % 3}\n" for n in range(12)),
            [f"{n}.png" for n in range(12)],
        ),
    ),
    Layout(
        "a list without a head: path label", _table("train.txt", "".join(f"train/{n}.png {n % 3}\n" for n in range(12)))
    ),
    Layout(
        "absolute paths of another machine",
        _table("labels.csv", _csv([f"/home/ann/train/{n}.png,cat" for n in range(12)])),
    ),
    Layout("web addresses", _table("labels.csv", _csv([f"https://example.org/{n}.png,cat" for n in range(12)]))),
    Layout("ISIC: a column of 0 and 1 for each class", _table("labels.csv", _csv(_ISIC, "image,MEL,NV,BCC"))),
    Layout(
        "pixels as columns",
        _table(
            "digits.csv",
            _csv([",".join(map(str, range(65)))] * 12, ",".join(["label", *[f"pixel{n}" for n in range(64)]])),
        ),
    ),
    Layout("two label columns, neither fits alone", _undecided),
    Layout("the same with --label-column target", _undecided, LABELS, (("label_column", "target"),)),
    Layout("parquet of datasets, class names in another order", _named([0, 1, 2] * 4)),
    Layout("four labels are -1 or missing", _named([0, 1, 2, -1, 0, 1, 2, None, 0, -1, 1, None])),
    Layout("test split of -1 only", _test_unlabelled),
    Layout("fine_label and coarse_label", _two_labels),
    Layout("mask before image", _masks),
    Layout(
        "save_to_disk with two splits",
        lambda p: _hf(
            p,
            {"image": _pictures(), "label": [0, 1, 2] * 4},
            {"image": hf.Image(), "label": hf.ClassLabel(names=list(LABELS))},
            "saved",
        ),
    ),
    Layout(
        "pandas: bytes and texts",
        lambda p: _frame(p, {"img_bytes": _rows(), "category": pd.Categorical(list(LABELS) * 4)}),
    ),
    Layout(
        "pandas: dictionaries of bytes, floats with NaN",
        lambda p: _frame(p, {"image": _pictures(), "label": [0.0, 1.0, 2.0, float("nan")] * 3}),
    ),
    Layout("polars: bytes and an enum", _fixture("polars_bytes.parquet", give="polars_bytes.parquet")),
    Layout("polars: structs", _fixture("polars_structs.parquet", give="polars_structs.parquet")),
    Layout("polars: arrow", _fixture("polars.arrow", give="polars.arrow")),
    Layout("parquet of paths", _paths_in_parquet),
]
ARCHIVES = [
    Layout(
        "zip of class folders, with __MACOSX",
        lambda p: _zip(p, "pets.zip", [*each("pets/{name}/{number}.png"), "__MACOSX/pets/cat/._0.png"]),
    ),
    Layout(
        "train.zip and test.zip",
        lambda p: _zips(p, ("train", "test"), "{zip}/{{name}}/{{number}}.png".replace("{{", "{").replace("}}", "}")),
    ),
    Layout(
        "zip with a CSV",
        lambda p: _zip(
            p, "x.zip", _FLAT, {"labels.csv": _csv([f"train/{n}.png,{LABELS[n % 3]}" for n in range(12)]).encode()}
        ),
    ),
    Layout("tar of class folders", lambda p: _tar(p, "pets.tar")),
    Layout("tar.gz", lambda p: _tar(p, "pets.tar.gz")),
    Layout("WebDataset: shards of .png and .cls, by split", _fixture("pets-train-000000.tar", "pets-val-000000.tar")),
    Layout(
        "WebDataset: a pattern of shards",
        _fixture("pets-train-000000.tar", give="pets-{train,val}-{000000..000000}.tar"),
    ),
    Layout("WebDataset: .json", _fixture("json.tar", give="json.tar")),
]
LAYOUTS = [*FOLDERS, *TABLES, *ARCHIVES]
assert len({one.name for one in LAYOUTS}) == len(LAYOUTS)
assert os.sep == "/", "links and paths are those of POSIX"
