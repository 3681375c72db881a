"""The pages under docs/results hold what the committed results say."""

from __future__ import annotations

import pytest

from benchmarks import budget_tables, pages, tables


def test_the_front_page_answers_by_the_committed_results() -> None:
    text = (pages.DOCS / "index.md").read_text(encoding="utf-8")
    assert "\n".join(pages.answers()) in text, "run `python -m benchmarks.tables`"
    assert budget_tables.advice(tables.bench_files()) in text
    assert budget_tables.measured(tables.bench_files()[0]) in text


def test_every_section_has_one_page_and_none_is_lost() -> None:
    text = "## The bench\n\nhow\n\n### Models\n\na\n\n### Detection\n\nb\n\n## Locating\n\nc\n"
    assert pages.cut(text) == {
        "bench.md": "## The bench\n\nhow\n\n### Models\n\na",
        "detection.md": "### Detection\n\nb",
        "locating.md": "## Locating\n\nc",
    }
    with pytest.raises(ValueError, match="no page of docs/results takes the section 'Weather'"):
        pages.cut("## Weather\n\nfine\n")


def test_only_what_stands_between_the_marks_is_replaced() -> None:
    begin, end = pages.TABLES
    assert pages.between(f"# a\n{begin}old\n{end}\nb", "new", begin, end) == f"# a\n{begin}\nnew\n\n{end}\nb"
    with pytest.raises(ValueError, match="marks"):
        pages.between("# a", "new", begin, end)
