"""What is taken of the layouts that people have, and what is left: every layout of the benchmark, written for real."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.images.layouts import LAYOUTS, Layout
from benchmarks.images.run import outcome
from hubclean.errors import DataError
from hubclean.nets.sources.opening import open_pictures
from hubclean.nets.sources.pictures import Request

EACH = {"cat": 4, "dog": 4, "ship": 4}
NUMBERS = {"0": 4, "1": 4, "2": 4}
# Pictures by class, then the split and what the line says besides; or what a refusal says.
EXPECTED: dict[str, tuple[dict[str, int], str, str] | str] = {
    "a folder for each class": (EACH, "all", "all 12 pictures of 'data' (3 classes: cat, dog, ship)"),
    "train/, val/, test/ of class folders": (EACH, "test", "splits not used: train, val"),
    "Train/, Valid/, no test": (EACH, "Valid", "splits not used: Train"),
    "training_set/training_set/, test_set/test_set/": (EACH, "test_set", "splits not used: training_set"),
    "seg_train/seg_train/, seg_test/seg_test/, seg_pred/ flat": (EACH, "seg_test", "4 beside the splits, in seg_p"),
    "classes called test and training": ({"test": 4, "training": 4, "rest": 4}, "all", ""),
    "a class called train beside others": ({"bus": 4, "car": 4, "train": 4}, "all", ""),
    "train/ and test/ of pictures without labels": "have no labels: they lie in no class folders (test/, train/ are sp",
    "the same, labels not needed": ({"": 12}, "test", "(without labels)"),
    "flat, train_001.png and test_001.png, labels not needed": ({"": 8}, "all", "all 8 pictures"),
    "class folders, a stray images/ and loose pictures": (
        EACH,
        "all",
        "left: 1 outside the class folders, 1 in folders",
    ),
    "class folders and a flat test/": (EACH, "all", "no class: test/"),
    "tiny-imagenet: train/WNID/images/, val/images/, test/images/": (
        {"n01443537": 4, "n01629819": 4, "n01641577": 4},
        "train",
        "without labels: test, val",
    ),
    "subclasses are the labels: pet/cat/1.png": (EACH, "all", ""),
    "classes are the labels: cat/persian/1.png": ({"cat": 8, "dog": 8, "ship": 8}, "all", ""),
    "splits inside classes: cat/train/1.png": (EACH, "test", "splits not used: train"),
    "everything in one folder more": (EACH, "all", ""),
    "images/train/, images/test/ of class folders": (EACH, "test", ""),
    "train/ of class folders and masks/": (EACH, "train", "12 beside the splits, in masks/"),
    "images/ and masks/ of class folders": (EACH, "all", "12 in folders of masks"),
    "left by file managers: __MACOSX, .DS_Store, Thumbs.db": (EACH, "all", "all 12 pictures"),
    "links to folders elsewhere, one into itself, one to nothing": (
        EACH,
        "all",
        "1 unreadable; of files outside the folder, behind l",
    ),
    "four of 24 damaged: cut off, a web page, empty, 65536 x 65536": (
        {"cat": 6, "dog": 7, "ship": 7},
        "all",
        "20 of 24 pictures of 'data' (3 classes: cat, dog, ship); left: 4 unreadable",
    ),
    "only .heic and .dcm": "4 .dcm, 4 .heic; convert them",
    "metadata.jsonl in train/ and test/": ({"cat": 2, "dog": 2, "ship": 2}, "test", ""),
    "metadata.csv": (EACH, "all", ""),
    "CSV: path,label": (EACH, "all", "all 12 pictures of 'labels.csv'"),
    "CSV: two pictures are not there": (EACH, "all", "12 of 14 pictures of 'labels.csv' (3 classes: cat, dog, ship)"),
    "Kaggle: train.csv of ids, train/, sample_submission.csv": (EACH, "train", "without labels: test"),
    "TSV, semicolons in names": (NUMBERS, "all", "3 classes by number"),
    "a list without a head: path label": (NUMBERS, "all", ""),
    "absolute paths of another machine": "such as '/home/ann/train/0.png': these are absolute paths of files that are",
    "web addresses": "web addresses; download the pictures",
    "ISIC: a column of 0 and 1 for each class": "one 1 a row (MEL, NV, BCC): make one column of class names",
    "pixels as columns": "pixels as columns of numbers",
    "two label columns, neither fits alone": "several columns may hold the labels: label, target; name one with --lab",
    "the same with --label-column target": ({"0": 3, "1": 3, "2": 6}, "all", ""),
    "parquet of datasets, class names in another order": (EACH, "all", "(3 classes: ship, cat, dog)"),
    "four labels are -1 or missing": ({"ship": 3, "cat": 3, "dog": 2}, "all", "left: 4 without a label"),
    "test split of -1 only": (EACH, "train", "without labels: test"),
    "fine_label and coarse_label": (EACH, "all", "labels from the column 'fine_label', not coarse_label"),
    "mask before image": (NUMBERS, "all", "pictures from the column 'image', not mask"),
    "save_to_disk with two splits": ({"cat": 2, "dog": 2, "ship": 2}, "test", "splits not used: train"),
    "pandas: bytes and texts": (EACH, "all", ""),
    "pandas: dictionaries of bytes, floats with NaN": ({"0": 3, "1": 3, "2": 3}, "all", "left: 3 without a label"),
    "polars: bytes and an enum": (EACH, "all", ""),
    "polars: structs": (NUMBERS, "all", ""),
    "polars: arrow": (EACH, "all", ""),
    "parquet of paths": (EACH, "all", ""),
    "zip of class folders, with __MACOSX": (EACH, "all", "all 12 pictures of 'pets.zip'"),
    "train.zip and test.zip": (EACH, "test", "splits not used: train"),
    "zip with a CSV": (EACH, "all", ""),
    "tar of class folders": (EACH, "all", ""),
    "tar.gz": "unpack it, or make it a zip",
    "WebDataset: shards of .png and .cls, by split": ({"1": 1, "2": 1}, "validation", "splits not used: train"),
    "WebDataset: a pattern of shards": ({"0": 2, "1": 1, "2": 1}, "train", ""),
    "WebDataset: .json": ({"cat": 1, "dog": 1}, "all", ""),
}


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_what_is_taken_and_left(layout: Layout, tmp_path: Path) -> None:
    (place := tmp_path / "data").mkdir()
    found = outcome(layout, place)
    expected = EXPECTED[layout.name]
    if isinstance(expected, str):
        assert expected in found.get("refused", found)
        return
    classes, split, said = expected
    assert (found.get("classes"), found.get("split")) == (classes, split), found
    assert said in found["taken"]
    assert str(tmp_path) not in found["taken"]
    taken = sum(found["classes"].values())
    assert found["taken"].startswith((f"all {taken} ", f"{taken} of {taken + sum(found['left'].values())} "))


def test_a_column_of_a_folder_without_tables_is_refused(tmp_path: Path) -> None:
    source = LAYOUTS[0].make(tmp_path)
    with pytest.raises(DataError, match="holds no table, so it has no column 'kind'"):
        open_pictures(source, Request(label_column="kind"))
