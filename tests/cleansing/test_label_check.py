"""Before anything is tuned: are these images and labels the model's own? And what is known of the loss afterwards."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import hubclean
from hubclean.cleansing.fidelity import fidelity, tolerance_of
from hubclean.cleansing.label_check import Answers, judged
from hubclean.errors import LabelError
from hubclean.label_records import Fidelity, LabelCheck, lost
from hubclean.methods.defenses.fine_pruning import FinePruning
from hubclean.methods.defenses.fst import FST
from hubclean.methods.defenses.nc_filter import NeuralCleanseFilter
from hubclean.nets.datasets import Sizes
from hubclean.nets.session import open_session
from hubclean.records import Rate
from support.image_sets import answered_folders
from support.sample_audits import unsuspicious
from support.tiny_models import edit, make_repo


def drawn(count: int, classes: int, accuracy: float, moved: dict[int, int] | None = None, seed: int = 0) -> Answers:
    """Labels and answers of a model that is right in ``accuracy`` of them, and answers ``moved`` for a label."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (count,), generator=generator)
    right = torch.tensor([(moved or {}).get(label, label) for label in labels.tolist()])
    other = torch.randint(0, classes, (count,), generator=generator)
    return Answers(labels, torch.where(torch.rand(count, generator=generator) < accuracy, right, other))


def both(count: int, classes: int, accuracy: float, moved: dict[int, int] | None = None) -> Any:
    return judged(drawn(count, classes, accuracy, moved), drawn(count, classes, accuracy, moved, seed=1))


SWAPPED = {3: 5, 5: 3}
SHIFTED = {k: (k + 1) % 10 for k in range(10)}
# What sorting the words for digits by the alphabet does.
BY_ALPHABET = {0: 8, 1: 5, 2: 4, 3: 9, 4: 1, 5: 7, 6: 6, 7: 3, 8: 2, 9: 0}


@pytest.mark.parametrize(
    ("classes", "moved", "accuracy", "found"),
    [
        (10, BY_ALPHABET, 0.96, {a: b for a, b in BY_ALPHABET.items() if a != b}),
        (10, SHIFTED, 0.8, SHIFTED),
        (10, SHIFTED, 0.45, SHIFTED),
        (10, SWAPPED, 0.9, SWAPPED),
        (10, {1: 2, 2: 3, 3: 1}, 0.7, {1: 2, 2: 3, 3: 1}),
        (3, {0: 1, 1: 2, 2: 9}, 0.9, {0: 1, 1: 2, 2: 9}),  # three classes of ten labels
        (2, {0: 1, 1: 0}, 0.85, {0: 1, 1: 0}),
        (100, {7: 70, 70: 7, 8: 80, 80: 8}, 0.9, {7: 70, 70: 7, 8: 80, 80: 8}),
    ],
)
def test_a_permutation_is_named(classes: int, moved: dict[int, int], accuracy: float, found: dict[int, int]) -> None:
    assert both(60 * classes, classes, accuracy, moved)[2] == found


@pytest.mark.parametrize(
    ("count", "classes", "accuracy"), [(400, 10, 0.95), (400, 10, 0.5), (60, 2, 0.8), (1000, 500, 0.7), (12, 6, 1.0)]
)
def test_an_ordinary_model_is_not_doubted(count: int, classes: int, accuracy: float) -> None:
    _, at_chance, moved = both(count, classes, accuracy)
    assert not at_chance
    assert moved == {}


@pytest.mark.parametrize("seed", range(8))
def test_confusions_of_a_model_with_many_classes_and_few_images_are_no_permutation(seed: int) -> None:
    halves = [drawn(700, 400, 0.6, seed=2 * seed + part) for part in range(2)]
    assert judged(*halves)[1:] == (False, {})
    near = {k: k ^ 1 for k in range(0, 400, 2)}  # one of each pair of lookalikes is taken for the other
    halves = [drawn(700, 400, 0.9, near, seed=2 * seed + part) for part in range(2)]
    assert judged(*halves)[2] == {}, "the other one of each pair is answered right"


@pytest.mark.parametrize(("count", "classes"), [(30, 10), (400, 10), (2000, 2), (1000, 1000)])
def test_answers_that_know_nothing_are_at_chance(count: int, classes: int) -> None:
    assert both(count, classes, 0.0)[1]


def test_hardly_above_chance_is_chance_and_a_common_class_hides_nothing() -> None:
    assert both(1000, 10, 0.05)[1], "beyond luck, but no model of these images"
    labels = torch.tensor([0] * 95 + [1] * 5)
    always = Answers(labels, torch.zeros(100, dtype=torch.int64))
    check, at_chance, _ = judged(always, always)
    assert (check.accuracy.value, check.majority, check.balanced, at_chance) == (0.95, 0.95, 0.5, True)
    alone = Answers(torch.zeros(50, dtype=torch.int64), torch.zeros(50, dtype=torch.int64))
    assert judged(alone, alone)[1], "one class tells nothing"
    useful = Answers(labels, torch.tensor([0] * 93 + [1] * 2 + [1] * 4 + [0]))
    assert not judged(useful, useful)[1]


def rate(share: float, n: int = 700) -> Rate:
    return Rate.of(round(share * n), n)


def kept(agreement: float, n: int = 700, labels: int = 10, covered: int = 10, **more: Any) -> Fidelity:
    return Fidelity(rate(agreement, n), 0.04, labels, covered, **more)


DOUBTED = LabelCheck(rate(0.111), 0.11, 0.1, 0.12, "it is a permutation")


@pytest.mark.parametrize(
    ("before", "after", "fidelity", "check", "why"),
    [
        (0.966, 0.95, kept(0.97), None, ""),
        (0.966, 0.92, kept(0.94), None, "fell from 96.6% to"),
        (0.111, 0.054, kept(0.6), DOUBTED, "fell"),
        (0.111, 0.929, kept(0.09), DOUBTED, "the labels are in doubt"),  # fst on wrong labels
        (0.111, 0.111, kept(0.99), DOUBTED, ""),  # in doubt, but it answers as before
        (0.6, 0.95, kept(0.6), None, "rose from 60.0% to 95.0%"),
        (0.6, 0.7, kept(0.8), None, ""),
        (0.97, 0.97, kept(0.97, balanced_loss=0.45, error=0.02), None, "mean accuracy of a class"),
        (0.97, 0.97, kept(0.97, balanced_loss=0.17, error=0.12), None, ""),  # one image of a rare class
        (0.99, 0.99, kept(0.99, covered=3), None, "7 of 10 labels have no image"),
        (0.99, 0.99, kept(0.99, labels=1000, covered=980), None, ""),
        (0.99, 0.96, kept(0.96, labels=1000, covered=980), None, "20 of 1000 labels"),
        (1.0, 1.0, kept(1.0, n=10), None, "10 images to measure it on are too few"),
    ],
)
def test_why_a_loss_is_not_known(before: float, after: float, fidelity: Fidelity, check: Any, why: str) -> None:
    n = fidelity.agreement.n
    found = lost(rate(before, n), rate(after, n), fidelity, check)
    assert (why in found) if why else not found


@pytest.mark.parametrize(
    ("agreement", "n", "why"), [(0.98, 100, ""), (0.9, 100, "10.0% of the images"), (0, 0, "not measured")]
)
def test_without_labels_the_originals_answers_count(agreement: float, n: int, why: str) -> None:
    found = lost(Rate.of(0, 0), Rate.of(0, 0), kept(agreement, n), None)
    assert (why in found) if why else not found


def test_a_loss_takes_exit_code_0_away_and_is_said_first() -> None:
    from hubclean.cleansing.card import render_card
    from hubclean.cli.text.clean import render_clean

    audit = replace(unsuspicious(), judgement=None, rechecks=unsuspicious().detections)
    cleansing = replace(audit.cleansing, changed=("fc.weight",))
    audit = replace(audit, cleansing=cleansing, data=replace(audit.data, warnings=("something of the images",)))
    assert audit.exit_code == 0
    worse = replace(audit, fidelity=kept(0.99, covered=2))
    assert worse.exit_code == 2
    assert "8 of 10 labels have no image" in render_clean(worse, Path("out")).splitlines()[-1]
    assert replace(worse, cleansing=replace(cleansing, changed=())).exit_code == 0, "nothing was changed"
    doubted = replace(worse, data=replace(worse.data, check=DOUBTED))
    text = render_card(doubted, None, (), "0" * 64).split("\n---\n", 1)[1]
    top = text.split("- **Found:**")[0]
    assert "labels of the images are in doubt" in top
    assert "It is not known that this copy answers as well" in top
    assert "something of the images" in text


def test_what_a_class_lost_is_weighed_with_how_many_images_say_so() -> None:
    labels = torch.tensor([0] * 97 + [1] * 3)
    before, after = labels.clone(), torch.zeros(100, dtype=torch.int64)
    data = replace(unsuspicious().data, covered=2)
    found = fidelity(before, after, labels, 0.04, 2, data)
    assert found.agreement.value == 0.97
    assert found.balanced_loss == pytest.approx(0.5)
    assert found.error < 0.2
    assert fidelity(before, after, None, 0.04, 2, data).covered == 2, "by the original's answers"
    assert tolerance_of(FinePruning()) == FinePruning().max_drop
    assert tolerance_of(FST(max_drop=0.2)) == 0.2
    assert tolerance_of(NeuralCleanseFilter(false_alarms=0.1)) == pytest.approx(0.14)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with the digits for labels, which is right on every picture of ``pictures``."""
    root = tmp_path_factory.mktemp("digits")
    make_repo(root / "model", "timm-efficientnet")
    edit(root / "model", label_names=[str(k) for k in range(10)])
    answered_folders(root / "pictures", root / "model", 160)
    return root


SESSION = open_session("cpu", seed=3, batch_size=64)
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
QUICK: dict[str, Any] = {"detectors": ("mm-bd",), "given": ("mm-bd.steps=1", "u=3"), "defense": "clp", "retune": False}
QUICK |= {"sizes": Sizes(40, 40, 70), "session": SESSION}


def renamed(place: Path, out: Path, names: dict[str, str]) -> Path:
    """The pictures with their class folders called otherwise."""
    out.mkdir()
    for folder in (place / "pictures").iterdir():
        shutil.copytree(folder, out / names.get(folder.name, folder.name))
    return out


def test_the_demo_models_pictures_in_folders_named_by_words(place: Path, tmp_path: Path) -> None:
    words = renamed(place, tmp_path / "words", dict(zip("0123456789", WORDS, strict=True)))
    with pytest.raises(LabelError, match="go to no label of the model: ") as refused:
        hubclean.clean(place / "model", words, tmp_path / "out", **QUICK)
    (tmp_path / "labels.json").write_text(refused.value.label_map)
    result = hubclean.clean(place / "model", words, tmp_path / "out", label_map=tmp_path / "labels.json", **QUICK)
    audit = result.audit
    assert audit.data.matched_by == "map"
    assert {row.name: row.label for row in audit.data.matches}["two"] == 2
    assert audit.cleansing.before[0].clean_accuracy.value == 1.0
    assert "--label-map labels.json" in audit.command
    card = (tmp_path / "out" / "README.md").read_text()
    assert "`two` is `2` (`2`)" in card
    assert audit.data.check is not None
    assert audit.data.check.accuracy.value == 1.0


def test_a_permutation_of_the_labels_stops_before_anything_is_done(place: Path, tmp_path: Path) -> None:
    names = sorted(folder.name for folder in (place / "pictures").iterdir())
    shifted = dict(zip(names, names[1:] + names[:1], strict=True))
    wrong = renamed(place, tmp_path / "wrong", shifted)
    with pytest.raises(LabelError, match="permutation of the labels") as refused:
        hubclean.clean(place / "model", wrong, tmp_path / "out", **QUICK)
    assert not (tmp_path / "out").exists()
    offered = json.loads(refused.value.label_map)
    assert offered == {new: old for old, new in shifted.items()}
    audit = hubclean.clean(place / "model", wrong, tmp_path / "out", label_map=offered, **QUICK).audit
    assert audit.cleansing.before[0].clean_accuracy.value == 1.0
    accepted = hubclean.clean(place / "model", wrong, tmp_path / "told", accept_accuracy=True, **QUICK).audit
    assert accepted.data.check is not None
    assert "permutation" in accepted.data.check.doubt
    assert "--accept-accuracy" in accepted.command
    assert "labels of the images are in doubt" in (tmp_path / "told" / "README.md").read_text()


def test_a_deep_scan_measures_first_too(place: Path, tmp_path: Path) -> None:
    wrong = renamed(place, tmp_path / "wrong", {"7": "8", "8": "7"})
    brief = ("neural-cleanse.steps=1", "batches=1", "batch_size=2", "seeds=1")
    options: dict[str, Any] = {"detectors": ("neural-cleanse",), "given": brief, "session": SESSION, "deep": True}
    report = hubclean.scan(place / "model", data=wrong, **options)
    assert report.exit_code == 2
    assert "permutation" in report.skipped[0].reason
    assert report.detections == ()
