from __future__ import annotations

from typing import Any

import pytest
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st

from hubclean.cleansing.front_matter import dump_front_matter, read_front_matter
from support.work import processor_seconds

SCALARS = st.one_of(st.text(), st.sampled_from(["---", "\n---\n", "a\r\n---\r\nb", "\u2028---", "{{x}}", "&a *a"]),
                    st.integers(), st.floats(allow_nan=False), st.booleans(), st.none())  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


KEYS = st.from_regex(r"[a-z_]{1,8}", fullmatch=True).filter(lambda key: key not in ("self", "eval_results"))


@settings(max_examples=60)
@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=4))
def test_what_is_dumped_is_read_back_by_us_and_by_the_hub_client(data: dict[str, Any]) -> None:
    text = dump_front_matter(data) + "# body\n---\nnot: metadata\n"
    assert read_front_matter(text) == (data, ())
    text.encode("utf-8")
    card = ModelCard(dump_front_matter({"title": data}) + "# body\n", ignore_metadata_errors=False)
    assert card.data.get("title") == data
    assert card.text == "# body\n"


def _laughs() -> str:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    return "\n".join(["license: mit", *rows])


@pytest.mark.parametrize(
    ("block", "why"),
    [
        (_laughs(), "more than 20000 values"),
        ("license: mit\na: &a [*a]", "more than 20000 values"),
        ("license: mit\na: " + "[" * 5000 + "]" * 5000, "nested deeper"),
        ("license: mit\na: " + "x" * 70_000, "larger than 64 KiB"),
        ("license: mit\na: [", "not valid YAML"),
        ("license: mit\na: !!python/object/apply:os.system [id]", "not valid YAML"),
        ("license: mit\na: 2024-99-99", "not valid YAML"),
        ("license: mit\na: " + "9" * 5000, "not valid YAML"),
        ("license: mit\n? [a, b]\n: c\n\tx", "not valid YAML"),
    ],
)
def test_what_is_beyond_the_bounds_is_left_out_but_for_the_licence(block: str, why: str) -> None:
    with processor_seconds(5):
        data, notes = read_front_matter(f"---\n{block}\n---\n")
    assert data == {"license": "mit"}
    assert len(notes) == 1
    assert why in notes[0]


def test_a_few_aliases_are_written_out() -> None:
    data, notes = read_front_matter("---\na: &x [1, 2]\nb: *x\nc: {<<: {k: v}}\n---\n")
    assert (data, notes) == ({"a": [1, 2], "b": [1, 2], "c": {"k": "v"}}, ())
    assert "*" not in dump_front_matter(data)
    assert "&" not in dump_front_matter(data)


def test_keys_that_would_break_the_hub_client_are_left_out() -> None:
    data, notes = read_front_matter('---\nself: 1\nignore_metadata_errors: 1\n7: x\n"a\\nb": c\nlanguage: en\n---\n')
    assert data == {"language": "en"}
    assert "4 keys" in notes[0]
    ModelCard(dump_front_matter(data), ignore_metadata_errors=False)


@pytest.mark.parametrize("card", [None, "", "# only text", "text\n---\na: b\n---\n", "---\nnever closed: x\n"])
def test_a_card_without_a_block_has_no_metadata(card: str | None) -> None:
    assert read_front_matter(card) == ({}, ())


@pytest.mark.parametrize(
    "card", ["---\n" + "\n" * 300_000, "\n" * 300_000, "---\n" + ("\n---" + " " * 50 + "x") * 5000]
)
def test_a_card_of_line_ends_is_read_in_linear_time(card: str) -> None:
    with processor_seconds(2):
        assert read_front_matter(card)[0] == {}


def test_windows_lines_and_a_mark_at_the_start() -> None:
    assert read_front_matter("\ufeff---\r\nlicense: mit\r\n---\r\n# x")[0] == {"license": "mit"}


@given(st.text())
def test_reading_never_raises(text: str) -> None:
    data, _ = read_front_matter(f"---\n{text}\n---\n")
    dump_front_matter(data)
