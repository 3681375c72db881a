"""Tables: every row keeps its label in whatever order it is read, and what is no table is one sentence."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import datasets as hf
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubclean.errors import DataError
from hubclean.nets.sources.opening import open_dataset, open_pictures
from hubclean.nets.sources.pictures import Request, Unreadable
from hubclean.nets.sources.tables.text_tables import read_rows

NUMBERS = [0, 1, -1, 2, 1, None, 0, 2, 2, 1, -1, 0]
BODIES = [f"picture {row}".encode() for row in range(12)]


def kept(pictures: Any, rows: list[int]) -> dict[bytes, str]:
    """Bodies with the class that their rows have."""
    return {body: pictures.classes.names[pictures.classes.numbers[row]] for row, body in pictures.read(rows)}


def test_rows_of_many_row_groups_and_files_keep_their_labels(tmp_path: Path) -> None:
    whole = pa.table({"image": pa.array(BODIES), "label": pa.array(NUMBERS, pa.int64())})
    pq.write_table(whole.slice(0, 7), tmp_path / "train-0.parquet", row_group_size=2)
    pq.write_table(whole.slice(7), tmp_path / "train-1.parquet", row_group_size=3)
    pictures = open_pictures(str(tmp_path), Request())
    assert (len(pictures), pictures.left, pictures.split) == (9, {"without a label": 3}, "train")
    labelled = {BODIES[row]: str(number) for row, number in enumerate(NUMBERS) if number not in (-1, None)}
    assert kept(pictures, [8, 0, 3, 1, 2, 7, 6, 5, 4]) == labelled
    assert kept(pictures, [5, 2]).items() < labelled.items()


def test_a_table_in_memory_that_was_shuffled_and_picked_from(tmp_path: Path) -> None:
    table = hf.Dataset.from_dict({"image": BODIES, "label": list("abc") * 4})
    picked = table.shuffle(seed=3).select([7, 1, 4, 9])
    pictures = open_dataset(picked, Request())
    assert kept(pictures, [3, 0, 1, 2]) == {row["image"]: row["label"] for row in picked}


def test_pictures_by_path_in_memory_are_the_users_own(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"own")
    place = [{"bytes": None, "path": str(tmp_path / "a.png")}, {"bytes": None, "path": str(tmp_path / "b.png")}]
    features = hf.Features({"image": hf.Image(), "label": hf.Value("int64")})
    pictures = open_dataset(hf.Dataset.from_dict({"image": place, "label": [1, 0]}, features=features), Request())
    found = dict(pictures.read([0, 1]))
    assert found[0] == b"own"
    assert isinstance(found[1], Unreadable), "one that is missing is one left out"


@pytest.mark.parametrize(
    ("columns", "labels", "chosen"),
    [
        ({"label": [0, 1] * 6, "label_name": ["dog", "cat"] * 6}, ("cat", "dog"), ["cat", "dog"]),
        ({"category": [3, 1, 7, 2] * 3, "class": list("abcd") * 3}, tuple("abcd"), list("abcd")),
        ({"superclass": ["x"] * 12, "kind": list("abc") * 4}, tuple("abc"), list("abc")),
        ({"label": ["1", "0"] * 6, "target": ["n", "y"] * 6}, ("Y", "N"), ["n", "y"]),
        ({"label": [[1], [0]] * 6}, ("a", "b"), ["0", "1"]),
        ({"label": [True, False] * 6}, ("a", "b"), ["0", "1"]),
    ],
)
def test_of_several_label_columns_the_one_that_fits(columns: Any, labels: Any, chosen: Any, tmp_path: Path) -> None:
    pd.DataFrame({"image": BODIES, **columns}).to_parquet(tmp_path / "x.parquet")
    assert list(open_pictures(str(tmp_path / "x.parquet"), Request(labels=labels)).classes.names) == chosen


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"image": BODIES, "label": [0] * 12}, {"image_column": "x"}, "no column 'x' .--image-column.; there are: im"),
        ({"image": BODIES, "label": [0] * 12}, {"label_column": "x"}, "no column 'x' .--label-column.; there are: im"),
        ({"a": BODIES, "b": BODIES, "label": [0] * 12}, {}, "several columns hold pictures: a, b; name one with --im"),
        ({"image": BODIES, "what": [0] * 12}, {}, "no label column among image, what; name one with --label-column"),
        ({"image": [0.5] * 12, "label": [0] * 12}, {}, "no image column among image, label"),
        ({"image": BODIES, "label": [-1] * 12}, {}, "the column 'label' has a label for none"),
    ],
)
def test_what_nothing_decides_names_the_option(columns: Any, options: Any, message: str, tmp_path: Path) -> None:
    pd.DataFrame(columns).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(DataError, match=message):
        open_pictures(str(tmp_path / "x.parquet"), Request(**options))


def test_names_behind_numbers_that_do_not_reach_are_refused(tmp_path: Path) -> None:
    body = pa.table({"image": pa.array(BODIES), "label": pa.array([5] * 12)})
    features = b'{"info": {"features": {"label": {"_type": "ClassLabel", "names": ["a", "b"]}}}}'
    pq.write_table(body.replace_schema_metadata({b"huggingface": features}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match="holds 5, but there are 2 class names"):
        open_pictures(str(tmp_path / "x.parquet"), Request())


@given(st.binary(max_size=300), st.sampled_from(["x.csv", "x.tsv", "x.jsonl", "x.json", "labels.txt"]))
def test_whatever_is_in_a_text_table_it_is_rows_or_one_sentence(body: bytes, name: str) -> None:
    try:
        names, columns = read_rows(body, name)
    except DataError:
        return
    assert set(names) == set(columns)
    assert len({len(values) for values in columns.values()}) == 1


def test_a_csv_outside_its_folder_and_a_pipe(tmp_path: Path) -> None:
    """Paths of the user's own lead anywhere, which is said; what is no plain file is never opened."""
    import os

    (tmp_path / "lists").mkdir()
    (tmp_path / "pics").mkdir()
    for row in range(3):
        (tmp_path / "pics" / f"{row}.png").write_bytes(BODIES[row])
    os.mkfifo(tmp_path / "pics" / "3.png")
    rows = [f"../pics/{row}.png,{row % 2}" for row in range(4)] + [f"{tmp_path}/pics/0.png,1"]
    (tmp_path / "lists" / "x.csv").write_text("path,label\n" + "\n".join(rows) + "\n")
    pictures = open_pictures(str(tmp_path / "lists" / "x.csv"), Request())
    assert pictures.left == {"missing": 1}
    assert [body for _, body in pictures.read([0, 3])] == [BODIES[0], BODIES[0]]
    assert "of pictures outside the folder of the table: 4" in pictures.notes


@pytest.mark.parametrize(
    ("column", "values", "split", "rows", "others"),
    [
        ("split", ["train", "Val", "test"], "test", [2, 5, 8, 11], "Val, train"),
        ("is_valid", [True, False, False], "validation", [0, 3, 6, 9], "train"),
        ("set", ["a", "b", "train"], "all", list(range(12)), ""),
    ],
)
def test_a_column_that_names_splits(
    column: str, values: list[Any], split: str, rows: list[int], others: str, tmp_path: Path
) -> None:
    frame = pd.DataFrame({"image": BODIES, column: values * 4, "label": list("abcd") * 3})
    frame.to_parquet(tmp_path / "x.parquet")
    pictures = open_pictures(str(tmp_path / "x.parquet"), Request())
    assert pictures.split == split
    assert [body for _, body in pictures.read(range(len(pictures)))] == [BODIES[row] for row in rows]
    assert [pictures.classes.names[n] for n in pictures.classes.numbers] == ["abcd"[row % 4] for row in rows]
    assert all(name in "".join(pictures.notes) for name in others.split(", "))


JPEG = b"\xff\xd8\xff" + b"x" * 20


@pytest.mark.parametrize(
    "values",
    [
        [base64.b64encode(JPEG).decode()] * 4,
        ["data:image/jpeg;base64," + base64.b64encode(JPEG).decode()] * 4,
        pa.array([list(JPEG)] * 4, pa.list_(pa.uint8())),
        pa.array([{"bytes": JPEG}] * 4),
        pa.array([JPEG] * 4, pa.binary_view()),
        pa.array([JPEG] * 4).dictionary_encode().cast(pa.large_binary()),
    ],
    ids=["base64", "data url", "octets", "struct", "view", "large"],
)
def test_bytes_in_every_dress(values: Any, tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": values, "label": [0, 1, 0, 1]}), tmp_path / "x.parquet")
    pictures = open_pictures(str(tmp_path / "x.parquet"), Request())
    assert [body for _, body in pictures.read([0, 3])] == [JPEG, JPEG]


def test_whole_numbers_in_nested_lists_are_pixels(tmp_path: Path) -> None:
    for name, top in (("good", 255), ("bad", 256)):
        frame = pd.DataFrame({"image": [[[0, 1], [2, top]]] * 2, "label": [0, 1]})
        frame.to_parquet(tmp_path / f"{name}.parquet")
    ((_, found),) = open_pictures(str(tmp_path / "good.parquet"), Request()).read([1])
    assert (found.dtype, found.tolist()) == ("uint8", [[0, 1], [2, 255]])
    with pytest.raises(DataError, match="values 0 to 255, not 0 to 256"):
        list(open_pictures(str(tmp_path / "bad.parquet"), Request()).read([1]))


def test_names_that_two_splits_have_are_those_of_the_tables_split(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        for row in range(4):
            (tmp_path / split / f"{row}.jpg").write_bytes(split.encode())
        (tmp_path / f"{split}.csv").write_text("file,label\n" + "".join(f"{row}.jpg,{row % 2}\n" for row in range(4)))
    assert {body for _, body in open_pictures(str(tmp_path), Request()).read(range(4))} == {b"test"}
    assert {body for _, body in open_pictures(str(tmp_path), Request("train")).read(range(4))} == {b"train"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,tags\n0.jpg,a b\n1.jpg,a b\n", "'l.csv': no label column among file, tags; name one with --label-col"),
        ("file,a,b\n0.jpg,1,0\n1.jpg,0,1\n", "'l.csv': 2 columns hold 0 and 1, one 1 a row .a, b.: make one column"),
    ],
)
def test_why_a_table_beside_pictures_does_not_label_them(text: str, message: str, tmp_path: Path) -> None:
    for row in range(2):
        (tmp_path / f"{row}.jpg").write_bytes(b"x")
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        open_pictures(str(tmp_path), Request())
    found = open_pictures(str(tmp_path), Request(labelled=False))
    assert (len(found), found.classes.kind) == (2, "none")
    assert "not read: l.csv" in found.notes


def test_a_picture_that_several_rows_name_is_taken_once_or_not_at_all(tmp_path: Path) -> None:
    """A table of boxes: the same picture in two of the three sets would make the test worthless."""
    for name in "abc":
        (tmp_path / f"{name}.png").write_bytes(name.encode())
    rows = ["a.png,cat", "a.png,dog", "b.png,dog", "./b.png,dog", "b.png,dog", "c.png,cat"]
    (tmp_path / "l.csv").write_text("file,label\n" + "\n".join(rows) + "\n")
    pictures = open_pictures(str(tmp_path / "l.csv"), Request())
    assert kept(pictures, [0, 1]) == {b"b": "dog", b"c": "cat"}
    assert pictures.left == {"with several labels for one picture": 2, "that name a picture again": 2}


def test_the_picture_that_is_not_there_is_the_one_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"a")
    (tmp_path / "l.csv").write_text("file,label\na.png,cat\nb.png,dog\nc.png,dog\n")
    with pytest.raises(DataError, match=r"such as 'b.png': no such files"):
        open_pictures(str(tmp_path / "l.csv"), Request())
