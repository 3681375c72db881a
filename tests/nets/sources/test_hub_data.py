"""Data sets on a Hub: config, split and revision by name, and nothing fetched that is not used."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hubclean.errors import DataError, HubcleanError
from hubclean.nets.datasets import Sizes, load_images
from hubclean.nets.session import open_session
from hubclean.nets.sources.data_cards import matching, read_card
from hubclean.nets.sources.opening import open_pictures
from hubclean.nets.sources.pictures import Request
from support.hub_server import HubServer

LABELS = ("cat", "dog", "ship")
CARD = """---
configs:
- config_name: big
  data_files:
  - split: train
    path: big/train-*
  - split: test
    path: big/test-*.parquet
- config_name: small
  default: true
  data_files: {train: "small/train/*", val: small/dev.parquet}
dataset_info:
- config_name: small
  features:
  - name: label
    dtype: {class_label: {names: {'0': ship, '1': cat, '2': dog}}}
---
# A set
"""


def parquet(labels: Any) -> bytes:
    body = io.BytesIO()
    pd.DataFrame({"image": [png(row) for row in range(len(labels))], "label": labels}).to_parquet(body)
    return body.getvalue()


def png(number: int) -> bytes:
    body = io.BytesIO()
    Image.new("RGB", (4, 4), (number * 9 % 256, number * 5 % 256, 7)).save(body, "PNG")
    return body.getvalue()


@pytest.fixture
def data(hub: HubServer) -> HubServer:
    files = {
        "README.md": CARD.encode(),
        **{f"big/train-0000{n}-of-00004.parquet": parquet([0, 1, 2] * 5) for n in range(4)},
        "big/test-00000-of-00001.parquet": parquet(["cat", "dog", "ship"]),
        **{f"small/train/{n}.parquet": parquet([n % 3] * 4) for n in range(6)},
        "small/dev.parquet": parquet([2, 0, 1]),
        "big/unread.bin": b"x" * 50,
    }
    hub.create("org/pets", files, repo_type="dataset")
    return hub


@pytest.mark.parametrize(
    ("source", "split", "names", "taken"),
    [
        ("org/pets", None, ("ship", "cat", "dog"), {"small/dev.parquet"}),
        ("org/pets:big", None, ("cat", "dog", "ship"), {"big/test-00000-of-00001.parquet"}),
        ("hf://datasets/org/pets:big/test@main", None, ("cat", "dog", "ship"), {"big/test-00000-of-00001.parquet"}),
        ("org/pets@main:big", "test", ("cat", "dog", "ship"), {"big/test-00000-of-00001.parquet"}),
        ("org/pets:small", "validation", ("ship", "cat", "dog"), {"small/dev.parquet"}),
    ],
)
def test_only_what_is_asked_for_is_fetched(
    source: str, split: str | None, names: Any, taken: set[str], data: HubServer, fresh_cache: Path
) -> None:
    pictures = open_pictures(source, Request(split, labels=LABELS))
    assert (pictures.classes.names, len(pictures)) == (names, 3)
    assert dict(pictures.read([1]))[1] == png(1)
    assert {f"{place.parent.name}/{place.name}" for place in fresh_cache.rglob("*.parquet")} == taken


def test_of_many_shards_only_as_many_as_are_drawn(data: HubServer, fresh_cache: Path) -> None:
    pictures = open_pictures("org/pets:big", Request("train", labels=LABELS, most=12))
    assert len(pictures) == 15
    assert len(list(fresh_cache.rglob("*.parquet"))) == 1
    assert "1 of 4 files fetched, 3 classes in them" in pictures.notes


def test_shards_sorted_by_class_are_fetched_until_every_class_is_there(data: HubServer, fresh_cache: Path) -> None:
    pictures = open_pictures("org/pets:small", Request("train", labels=LABELS, most=4))
    assert set(pictures.classes.used) == set(LABELS) or len(pictures) >= 16


def test_pictures_as_files_are_fetched_one_by_one(hub: HubServer, fresh_cache: Path) -> None:
    files = {f"{split}/{name}/{n}.png": png(n) for split in ("train", "test") for name in LABELS for n in range(8)}
    hub.create("org/files", files, repo_type="dataset")
    prepare = lambda image: torch.zeros(3, 4, 4, dtype=torch.uint8)  # noqa: E731
    splits = load_images("org/files", LABELS, prepare, open_session("cpu"), sizes=Sizes(2, 2, 2))
    assert len(list(fresh_cache.rglob("*.png"))) == 6
    assert splits.report.taken == (
        "6 of 24 pictures of 'org/files', split test (3 classes: cat, dog, ship); left: 18 not drawn; "
        "splits not used: train"
    )
    assert (splits.report.left, splits.report.source) == ({"not drawn": 18}, "org/files")


@pytest.mark.parametrize(
    ("source", "split", "message"),
    [
        ("org/pets:huge", None, "no config 'huge'; there are: big, small"),
        ("org/pets", "test", "no split 'test'; it has: train, val"),
        ("org/pets:big/train", "test", "two splits"),
        ("org/none", None, "no data set org/none"),
        ("org/pets@gone", None, "no branch, tag or commit 'gone'"),
        ("org/../pets", None, "neither a folder here nor a Hub dataset id"),
        ("org/script", None, "is made by a program of its own .script.py., which is not run"),
        ("org/converted", None, "has 2 configs: first, second; name one: org/converted:first"),
    ],
)
def test_what_is_not_there_is_one_sentence(source: str, split: str | None, message: str, data: HubServer) -> None:
    data.create("org/script", {"script.py": b"raise SystemExit", "data/x.bin": b"1"}, repo_type="dataset")
    parts = {f"{one}/train/0000.parquet": parquet([0, 1]) for one in ("first", "second")}
    data.create("org/converted", parts, repo_type="dataset")
    with pytest.raises(HubcleanError, match=message) as caught:
        open_pictures(source, Request(split, labels=LABELS))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("data/train-*", "data/train-00000-of-00001.parquet", True),
        ("data/train-*", "data/x/train-0.parquet", False),
        ("**/*.parquet", "x.parquet", True),
        ("**/train.csv", "a/b/train.csv", True),
        ("**/train.csv", "a/mytrain.csv", False),
        ("data/**", "data/a/b.png", True),
        ("data", "data/a/b.png", True),
        ("data", "database/a.png", False),
        ("*.{jpg,png}", "a.png", True),
        ("s-{008..011}.tar", "s-010.tar", True),
        ("s-{008..011}.tar", "s-012.tar", False),
        ("[!a]?.png", "bc.png", True),
        ("[a-c]?.png", "d1.png", False),
    ],
)
def test_patterns(pattern: str, path: str, fits: bool) -> None:
    assert matching(pattern, [path]) == ([path] if fits else [])


def test_a_pattern_of_stars_takes_no_longer_than_its_length() -> None:
    assert matching("*a" * 400, ["a" * 999 + "b"]) == []


@given(
    st.text(max_size=200)
    | st.builds(lambda text: f"---\n{text}\n---\n", st.text("- :{}[]&*!\nabconfigs'", max_size=80))
)
def test_whatever_a_card_says_it_is_read_or_passed_over(text: str) -> None:
    assert read_card(text.encode("utf-8", "surrogatepass")) is not None


def test_a_pattern_that_stands_for_too_many_files_is_refused() -> None:
    with pytest.raises(DataError, match="too many files"):
        matching("{0..9}{0..9}{0..9}{0..9}{0..9}", ["x"])


def test_a_set_cloned_to_a_folder_is_read_as_its_card_says(tmp_path: Path) -> None:
    for path in ("big/train-0.parquet", "big/test-0.parquet", "small/train/0.parquet", "small/dev.parquet"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(parquet([2, 0, 1]))
    (tmp_path / "README.md").write_text(CARD)
    pictures = open_pictures(str(tmp_path), Request(labels=LABELS))
    assert (pictures.split, pictures.classes.names) == ("val", ("ship", "cat", "dog"))
    assert open_pictures(f"{tmp_path}:big", Request(labels=LABELS)).split == "test"
    with pytest.raises(DataError, match="no config 'huge'; there are: big, small"):
        open_pictures(f"{tmp_path}:huge", Request(labels=LABELS))
