from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from hubclean.cleansing.pictures import curve_picture, norms_picture, threshold_norms, trigger_picture
from hubclean.records import CurvePoint, DetectionReport, LabelScore, Rate
from support.sample_audits import CIFAR

EVIL = "$\\frac{1}{0$ \u202e\x1b[31m \ud800 猫 _{x} ^^"
CURVE = tuple(CurvePoint(cut, 0.95 - cut / 1000, 0.99 - cut / 100) for cut in range(0, 90, 5))


def report(labels: int, targets: tuple[int, ...] = (), norm: float = 5.0) -> DetectionReport:
    spread = np.random.default_rng(labels)
    norms = np.exp(spread.normal(4, 0.3, labels))
    norms[list(targets)] = norm
    seeds = tuple(tuple(float(x) for x in norms * np.exp(spread.normal(0, 0.1, labels))) for _ in range(3))
    scores = tuple(LabelScore(k, EVIL, float(norms[k]), 0.1, 1.0, 1.0, Rate.of(9, 10), 0, True) for k in range(labels))
    return DetectionReport(
        "neural-cleanse", "paper", {}, "index", 2.0, scores, seeds, targets,
        "backdoored" if targets else "not found", "reason", (0, 1, 2), 1, 1.0,
    )  # fmt: skip


def draw(figure: Callable[..., None], path: Path, *given: Any) -> tuple[Image.Image, list[str]]:
    """The picture, and every text in it."""
    texts: list[str] = []
    save = Figure.savefig

    def listen(self: Figure, *args: Any, **named: Any) -> None:
        from matplotlib.text import Text

        save(self, *args, **named)
        texts.extend(text.get_text() for text in self.findobj(Text) if text.get_visible())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", listen)
        figure(path, *given)
    return Image.open(io.BytesIO(path.read_bytes())), texts


@pytest.mark.parametrize("example", [None, np.full((3, 32, 32), 0.5)])
def test_a_trigger_is_shown_with_its_norm(tmp_path: Path, example: Any) -> None:
    mask = np.zeros((32, 32))
    mask[28:31, 28:31] = 1
    pattern = np.zeros((3, 32, 32))
    pattern[0] = 1
    image, texts = draw(trigger_picture, tmp_path / "t.png", mask, pattern, example, "Trigger to label 3")
    assert "Trigger to label 3\nL1 norm 9.0 px, 0.88 % of 32×32" in texts
    assert ("clean image x" in texts) == (example is not None)
    red = (np.asarray(image.convert("RGB")) == (255, 0, 0)).all(-1)
    assert red.sum() > 100, "the red patch is drawn"
    assert image.width < 1600


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_any_number_of_channels_is_drawn(tmp_path: Path, channels: int) -> None:
    shape = (channels, 8, 6)
    draw(trigger_picture, tmp_path / "t.png", np.ones((8, 6)), np.ones(shape), np.zeros(shape), "t")
    assert (tmp_path / "t.png").stat().st_size > 1000


@pytest.mark.parametrize("labels", [1, 2, 10, 43, 1000])
def test_norms_stay_readable_for_any_number_of_labels(tmp_path: Path, labels: int) -> None:
    target = labels - 1
    names = tuple(CIFAR[k % 10] for k in range(labels))
    image, texts = draw(norms_picture, tmp_path / "n.png", report(labels, (target,)), names)
    assert f"{target}: {names[target]}" in texts, "the flagged label is named"
    assert 700 < image.width < 1700
    assert ("1000 labels, sorted by norm" in texts) == (labels == 1000)
    if labels >= 10:
        assert {"linear anomaly index = 2", "log anomaly index = 2", "median of the labels"} <= set(texts)


def test_an_unsuspicious_model_has_no_flagged_label(tmp_path: Path) -> None:
    _, flagged = draw(norms_picture, tmp_path / "n.png", report(10, (3,)), CIFAR)
    _, clean = draw(norms_picture, tmp_path / "n.png", report(10), CIFAR)
    assert "flagged label" in flagged
    assert "flagged label" not in clean


def test_a_norm_of_zero_is_drawn(tmp_path: Path) -> None:
    _, texts = draw(norms_picture, tmp_path / "n.png", report(10, (3,), norm=0.0), CIFAR)
    assert "3: cat" in texts


@pytest.mark.parametrize("norms", [[34.0, 31, 29, 5, 36, 40, 33, 38, 45, 30], [10.0, 11, 12, 13]])
def test_the_thresholds_are_where_the_index_is_two(norms: list[float]) -> None:
    lines = threshold_norms(norms, 2.0)
    for name, scale in (("linear", float), ("log", math.log)):
        values = [scale(norm) for norm in norms]
        middle = median(values)
        index = (middle - scale(lines[name])) / (1.4826 * median(abs(value - middle) for value in values))
        assert index == pytest.approx(2.0)


def test_no_threshold_without_spread() -> None:
    assert threshold_norms([5.0, 5.0, 5.0], 2.0) == {}


def test_the_curve_names_what_was_kept(tmp_path: Path) -> None:
    _, texts = draw(curve_picture, tmp_path / "c.png", CURVE, 40, 0.04)
    assert {"kept: 40 units cut", "accuracy floor (4 points below)", "clean accuracy (val)"} <= set(texts)
    assert "attack success, recovered trigger (val)" in texts
    without = tuple(CurvePoint(point.cut, point.clean_accuracy, None) for point in CURVE)
    _, texts = draw(curve_picture, tmp_path / "c.png", without, 40, None)
    assert "attack success, recovered trigger (val)" not in texts


def test_hostile_names_are_drawn_as_text(tmp_path: Path) -> None:
    names = (EVIL, *CIFAR[1:])
    _, texts = draw(norms_picture, tmp_path / "n.png", report(10, (0,)), names)
    assert any("$\\frac{1}{0$ \\u202e\\x1b" in text for text in texts)
    _, texts = draw(trigger_picture, tmp_path / "t.png", np.ones((4, 4)), np.ones((3, 4, 4)), None, EVIL)
    assert any("\\u732b" in text for text in texts)


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        norms_picture(tmp_path / f"n{name}.png", report(10, (3,)), CIFAR)
        curve_picture(tmp_path / f"c{name}.png", CURVE, 40, 0.04)
        trigger_picture(tmp_path / f"t{name}.png", np.ones((4, 4)), np.ones((3, 4, 4)), None, "t")
    for kind in "nct":
        assert (tmp_path / f"{kind}a.png").read_bytes() == (tmp_path / f"{kind}b.png").read_bytes()
        assert set(Image.open(io.BytesIO((tmp_path / f"{kind}a.png").read_bytes())).info) <= {"dpi"}


def test_pyplot_is_never_loaded(tmp_path: Path) -> None:
    import subprocess
    import sys

    program = (
        "import sys; from pathlib import Path; from hubclean.cleansing.pictures import curve_picture as c;"
        "from hubclean.records import CurvePoint as P; assert 'matplotlib' not in sys.modules;"
        f"c(Path({str(tmp_path / 'c.png')!r}), (P(0, 1., None), P(1, 1., None)), 1);"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
