"""Which folders are splits and which are classes, by unit cases and by rules that hold for any names."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hubclean.nets.sources.folder_layout import arrange
from hubclean.nets.sources.split_words import file_split, split_folders


@pytest.mark.parametrize(
    ("paths", "labels", "expected"),
    [
        (["test/1.png", "training/2.png"], "test training", {"all": {"test", "training"}}),
        (["test/1.png", "training/2.png"], "a b", {"test": {None}, "training": {None}}),
        (["train/1.png"], "bus train", {"all": {"train"}}),
        (["bus/1.png", "trains/2.png", "train/3.png"], "bus trains", {"all": {"bus", "trains", "train"}}),
        (["a/1.png", "b/2.png", "test/3.png"], "", {"all": {"a", "b", "test"}}),
        (["train/1.png", "test/2.png", "extra/3.png"], "benign malignant", {"train": {None}, "test": {None}}),
        (["mask/1.png", "no_mask/2.png", "wrong/3.png"], "mask_on no_mask", {"all": {"mask", "no_mask", "wrong"}}),
        (["sample/1.png", "control/2.png"], "LABEL_0 LABEL_1", {"all": {"sample", "control"}}),
        (["a/1.png", "b/2.png", "gt/3.png"], "a b", {"all": {"a", "b"}}),
        (["eval/a/1.png", "eval/b/1.png", "dev/a/1.png"], "", {"eval": {"a", "b"}, "dev": {None}}),
        (["TEST/a/1.png", "TEST/b/1.png", "Training/a/1.png"], "", {"TEST": {"a", "b"}, "Training": {None}}),
        (["bullet train/1.png", "test tube/1.png"], "", {"all": {"bullet train", "test tube"}}),
        (["train2017/a/1.png", "train2017/b/1.png", "val2017/1.png"], "", {"train2017": {"a", "b"}, "val2017": {None}}),
        (["a/1.png"], "", {"all": {None}}),
        (["a/1.png"], "a b", {"all": {"a"}}),
        (["images/a/1.png", "images/b/1.png", "labels/a/1.png"], "", {"all": {"a", "b"}}),
        (["images/1.png", "labels/1.png"], "images labels", {"all": {"images", "labels"}}),
        (["a/1.png", "b/2.png", "unlabeled/3.png"], "a b", {"all": {"a", "b"}}),
        (["1.png", "2.png", "3.png", "a/4.png", "b/5.png"], "", {"all": {None}}),
        (["1.png", "2.png", "3.png", "a/4.png", "b/5.png"], "a b", {"all": {"a", "b"}}),
    ],
)  # fmt: skip
def test_splits_and_classes(paths: list[str], labels: str, expected: dict[str, set[str | None]]) -> None:
    made = arrange(paths, labels.split())
    assert {one.name: {name for _, name in one.pictures} for one in made} == expected


NAMES = st.sampled_from(
    ["train", "Test", "val", "cat", "dog", "images", "masks", "seg_train", "seg_test", "a b", "unlabeled", "1"]
)
PATHS = st.lists(
    st.builds(lambda folders, n: "/".join([*folders, f"{n}.png"]), st.lists(NAMES, max_size=4), st.integers(0, 9)),
    min_size=1,
    max_size=25,
    unique=True,
)


@example(["0.png", "1.png", "train/train/0.png", "cat/train/0.png"], set())
@given(PATHS, st.sets(st.sampled_from(["cat", "dog", "train", "images", "1"])))
def test_no_picture_is_dropped_without_a_word(paths: list[str], labels: set[str]) -> None:
    """Taken in some split or counted as left in every one; never twice in one; labelled all or none."""
    made = arrange(sorted(paths), sorted(labels))
    taken = sum(len(one.pictures) for one in made)
    for one in made:
        counts = Counter(path for path, _ in one.pictures)
        assert set(counts.values()) <= {1}
        assert counts.keys() <= set(paths)
        assert len({name is None for _, name in one.pictures}) <= 1
        others = sum(len(other.pictures) + sum(other.left.values()) for other in made if other is not one)
        assert len(one.pictures) + sum(one.left.values()) + others >= len(paths)
    assert taken <= len(paths)
    if len(made) == 1:
        assert taken + sum(made[0].left.values()) == len(paths)


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("data/train-00000-of-00002.parquet", "train"),
        ("data/train-00000-of-00002-0a1b2c3d4e5f.parquet", "train"),
        ("test/0000.parquet", "test"),
        ("default/validation/0000.parquet", "validation"),
        ("imagenet1k-validation-07.tar", "validation"),
        ("extra-00000-of-00001.parquet", "extra"),
        ("contest.parquet", ""),
        ("trainer.parquet", ""),
        ("pets_Test.parquet", "test"),
        ("train1.parquet", "train"),
    ],
)
def test_the_split_that_a_file_belongs_to(path: str, split: str) -> None:
    assert file_split(path) == split


def test_folders_that_differ_by_the_word_alone() -> None:
    assert split_folders(["asl_train", "asl_test", "other"]) == {"asl_train", "asl_test"}
    assert split_folders(["asl_train", "bullet train", "test tube"]) == set()
