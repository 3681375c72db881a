"""Classes go to labels by name, one by one; what does not match is refused, with what it may mean."""

from __future__ import annotations

import copy
import json
import re
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubclean.errors import LabelError, OptionError
from hubclean.nets.labels.map_files import label_map
from hubclean.nets.labels.matching import Labelling, labelling, match

DIGITS = tuple("0123456789")
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NAMELESS = tuple(f"LABEL_{k}" for k in range(11))
PETS = ("cat", "dog", "golden retriever")


def to_eleven(name: str) -> tuple[str, ...]:
    return tuple(name.format(k) for k in range(11))


def same(one: str, other: str) -> bool:
    """Whether two names are the same but for blanks and Unicode's forms, or hold the same number."""
    plain = [unicodedata.normalize("NFC", text).strip() for text in (one, other)]
    numbers = [re.sub(r"^(label|class)[ _-]?", "", text, flags=re.IGNORECASE) for text in plain]
    return plain[0] == plain[1] or int(numbers[0]) == int(numbers[1])


@pytest.mark.parametrize(
    ("classes", "labels", "how"),
    [
        (("dog", "cat", "golden retriever"), PETS, "name"),
        (("dog ", "\tcat"), PETS, "name"),  # blanks around
        (("cafe\u0301",), ("caf\xe9", "bar"), "name"),  # NFD and NFC
        (sorted(to_eleven("{}")), to_eleven("{}"), "name"),  # 10 sorts before 2 as text
        (sorted(to_eleven("{:05}")), to_eleven("{}"), "number"),
        (sorted(to_eleven("{}")), NAMELESS, "number"),
        (sorted(to_eleven("{:02}")), to_eleven("label {}"), "number"),  # timm without names, as hubclean calls them
        (sorted(to_eleven("label_{}")), NAMELESS, "number"),
        (("7", "3"), tuple(reversed(DIGITS)), "name"),  # numbers in another order
    ],
)
def test_the_very_name_or_number_is_matched_in_any_order(classes: Any, labels: Any, how: str) -> None:
    found = match(classes, labels).checked()
    assert found.how == how
    for name, place in found.pairs:
        assert place is not None
        assert same(name, labels[place])


@pytest.mark.parametrize(
    ("classes", "labels", "offered"),
    [
        (sorted(WORDS), DIGITS, {name: str(k) for k, name in enumerate(WORDS)}),  # the demo model of the issue
        (("cats", "Dogs"), PETS, {"cats": "cat", "Dogs": "dog"}),
        (("CAT", "golden_retriever"), PETS, {"CAT": "cat", "golden_retriever": "golden retriever"}),
        (("Golden-Retriever", "dog"), PETS, {"Golden-Retriever": "golden retriever"}),
        (("GoldenRetriever",), PETS, {"GoldenRetriever": "golden retriever"}),
        (("tench",), ("tench, Tinca tinca", "crane"), {"tench": "tench, Tinca tinca"}),
        (("puppies", "boxes"), ("puppy", "box"), {"puppies": "puppy", "boxes": "box"}),
        (("01_cat", "02.dog"), PETS, {"01_cat": "cat", "02.dog": "dog"}),
        (("digit 3",), DIGITS, {"digit 3": "3"}),
        (("crème brûlée",), ("creme brulee", "pie"), {"crème brûlée": "creme brulee"}),
        (("chat",), PETS, {}),
        (("a", "b", "c"), NAMELESS[:3], {}),
        (("train", "test"), ("benign", "malignant"), {}),  # the names of splits
        (("0", "1"), ("cat", "dog"), {}),
        (("cat", "unknown"), PETS, {}),
        (("Cat", "CAT"), ("cat", "dog"), {}),  # two that may mean one label
        (("cat",), ("Cat", "CAT"), {}),  # one that may mean two
        (("crane",), ("crane", "crane", "dog"), {}),
        (("1", "01"), ("0", "1"), {}),
        (("11",), to_eleven("{}"), {}),
    ],
)
def test_what_only_looks_alike_is_refused_and_offered(classes: Any, labels: Any, offered: dict[str, str]) -> None:
    with pytest.raises(LabelError) as refused:
        match(classes, labels).checked()
    assert json.loads(refused.value.label_map or "{}") == offered
    assert refused.value.label_map.isascii()
    assert "\n" not in str(refused.value)
    assert copy.copy(refused.value).label_map == refused.value.label_map
    if len(offered) == len(classes):  # saved as it stands, it is taken
        found = match(classes, labels, Labelling(None, label_map(offered))).checked()
        assert found.how == "map"
        assert {name: labels[place] for name, place in found.pairs if place is not None} == offered


def test_wordnet_ids_are_offered_and_tell_two_cranes_apart() -> None:
    from timm.data import ImageNetInfo

    known = ImageNetInfo("imagenet-1k")
    ids, names = known.label_names(), known.label_descriptions()
    with pytest.raises(LabelError) as refused:
        match(("n02012849", "n03126707_crane", "n01440764"), names).checked()
    assert json.loads(refused.value.label_map) == {
        "n02012849": 134,
        "n03126707_crane": 517,
        "n01440764": "tench, Tinca tinca",
    }
    with pytest.raises(LabelError) as other_way:
        match(("tench, Tinca tinca",), ids).checked()
    assert json.loads(other_way.value.label_map) == {"tench, Tinca tinca": "n01440764"}


def test_a_model_of_a_thousand_labels_without_names_is_taken_for_imagenets() -> None:
    with pytest.raises(LabelError, match="or --labels-by position if class k is output k") as refused:
        match(
            ["tench", "n02012849", "crane"] + ["x"] * 997, [f"label {k}" for k in range(1000)], None, {0, 1, 2}
        ).checked()
    assert json.loads(refused.value.label_map) == {"tench": "label 0", "n02012849": "label 134"}


@pytest.mark.parametrize(
    ("values", "labels", "by", "places"),
    [
        ((0, 1, 2), PETS, None, (0, 1, 2)),
        ((2, 0), PETS, None, (0, 2)),
        ((0, 3), PETS, None, None),
        ((0, 1), to_eleven("{}")[1:], None, (0, 1)),  # labels 1 to 10: no label is called 0
        ((1, 10), to_eleven("{}")[1:], None, (0, 9)),  # no label is in place 10
        ((1, 2), to_eleven("{}")[1:], None, None),  # both would fit
        ((1, 2), to_eleven("{}")[1:], "number", (0, 1)),
        ((1, 2), to_eleven("{}")[1:], "position", (1, 2)),
        ((1, 2), PETS, "name", (1, 2)),
    ],
)
def test_numbers_without_names_are_places_where_they_fit(values: Any, labels: Any, by: Any, places: Any) -> None:
    classes = [str(number) for number in range(max(values) + 1)]

    def found() -> tuple[int | None, ...]:
        return tuple(match(classes, labels, Labelling(by), values, numbers=True).checked().places.values())

    if places is None:
        with pytest.raises(LabelError):
            found()
    else:
        assert found() == places


@pytest.mark.parametrize(
    ("classes", "labels", "by", "places"),
    [
        (("a", "b", "c"), PETS, "position", (0, 1, 2)),
        (("a", "b"), PETS, "position", None),  # which label has no class is not known
        (("a", "b", "c", "d"), PETS, "position", None),
        (("0", "2"), PETS, "number", (0, 2)),
        (("0", "x"), PETS, "number", None),
        (("3",), PETS, "number", None),
        (("5", "1"), ("1", "3", "5"), "number", (2, 0)),
        (("00", "01"), ("0", "1"), "name", None),
        (("cat", "dog"), PETS, "name", (0, 1)),
    ],
)
def test_a_rule_of_the_users_is_kept_to(classes: Any, labels: Any, by: Any, places: Any) -> None:
    if places is None:
        with pytest.raises(LabelError):
            match(classes, labels, Labelling(by)).checked()
    else:
        found = match(classes, labels, Labelling(by)).checked()
        assert (found.how, tuple(found.places.values())) == (by, places)


def test_position_says_where_text_and_numbers_sort_differently() -> None:
    classes = sorted(to_eleven("class{}"))
    assert "10" in match(classes, to_eleven("x{}"), Labelling("position")).notes[0]
    assert not match(sorted(classes[:1]), ("x",), Labelling("position")).notes


def test_a_map_leaves_out_merges_and_counts_before_all_else() -> None:
    choice = labelling(None, {"tabby": "cat", "siamese": 0, "noise": None, "gone": "dog", "cat": "dog"})
    found = match(("cat", "noise", "siamese", "tabby", "golden retriever"), PETS, choice).checked()
    assert dict(found.pairs) == {"cat": 1, "noise": None, "siamese": 0, "tabby": 0, "golden retriever": 2}
    assert found.covered == 3
    assert found.notes == ("1 classes of the label map have no images, such as 'gone'",)
    with pytest.raises(LabelError, match="leaves out every class"):
        match(("noise",), PETS, choice).checked()


@pytest.mark.parametrize("target", ["catt", 3, -1, "3", "crane"])
def test_a_map_to_no_label_is_refused(target: Any) -> None:
    with pytest.raises(LabelError, match="the map says"):
        match(("a",), ("crane", "crane", "cat"), labelling(None, {"a": target})).checked()


def test_only_classes_that_have_images_count() -> None:
    assert match(("cat", "unused", "dog"), PETS, None, {0, 2}).checked().pairs == (("cat", 0), ("dog", 1))
    with pytest.raises(OptionError, match="labels go by name, number, position"):
        labelling("order", None)


@given(st.lists(st.text(max_size=8), max_size=12), st.lists(st.text(max_size=8), min_size=1, max_size=12))
def test_nothing_is_matched_but_the_very_same_name_or_number(classes: list[str], labels: list[str]) -> None:
    found = match(classes, labels)
    found_labels = [place for place in found.places.values() if place is not None]
    if not found.refused:
        assert len(set(found_labels)) == len(found_labels) == len(classes)
        for name, place in found.pairs:
            assert place is not None
            assert same(name, labels[place])
    json.loads(found.offered_map or "{}")
