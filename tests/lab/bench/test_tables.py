"""Tables of the bench: their figures and the words of strangers in them."""

from __future__ import annotations

import pytest

from hubclean.lab.bench import rows, tables
from hubclean.measurements import Rate


def test_auroc_is_the_share_of_ordered_pairs() -> None:
    assert tables.auroc([3, 4], [1, 2]) == 1.0
    assert tables.auroc([1, 2], [3, 4]) == 0.0
    assert tables.auroc([1, 3], [1, 2]) == pytest.approx((0.5 + 0 + 1 + 1) / 4)
    assert tables.auroc([], [1]) is None


def test_the_rating_counts_what_was_gained_and_lost() -> None:
    def figures(accuracy: int, asr: int) -> rows.Figures:
        return rows.Figures(Rate.of(accuracy, 100), Rate.of(asr, 100))

    assert rows.rating(figures(90, 100), figures(90, 0)) == 1.0
    assert rows.rating(figures(90, 100), figures(80, 100)) == pytest.approx(0.45)
    assert rows.rating(figures(90, 50), figures(95, 80)) == 0.5  # neither a gain in accuracy nor a worse ASR counts
    assert rows.rating(rows.Figures(Rate.of(90, 100)), figures(90, 0)) is None


def test_a_strangers_words_are_harmless_in_a_table() -> None:
    row = rows.FailureRow("1", "evil | [x](javascript:1)", "<script>", 0.0)
    text = tables.render_tables([row])
    assert "<script>" not in text
    assert "[x](" not in text
    assert text.count("|") == 9
