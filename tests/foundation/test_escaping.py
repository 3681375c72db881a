from __future__ import annotations

import html
import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from hubclean.escaping import code, fenced, markdown, markup, printable

# Linkifying as GitHub does it and beyond (bare host names), tables, strikethrough, raw HTML.
RENDERER = MarkdownIt("gfm-like", {"html": True, "linkify": True})
MARKUP = "\\`*_{}[]()#+-.!|<>~$:@/&=^\"' \t\n\r1ax0"
STRINGS = st.one_of(
    st.text(max_size=60),
    st.text(alphabet=MARKUP, max_size=40),
    st.lists(
        st.sampled_from(
            ["www.evil.com", "https://evil.com/a", "evil.com", "me@evil.com", "@me", "#12", "[a](b)", "![a](b)", "[^1]",
             "<b>", "</td>", "<!--", "-->", "***", "---", "===", "1. ", "1) ", "- ", "+ ", "> ", "# ", "| a |", "```",
             "`", "\\", "$x$", ":x:", "&lt;", "&#42;", "~~", "    ", " ", "\u202e", "\u200b", "אב", "{{ 7*7 }}", "\n\n"]
        ),
        max_size=6,
    ).map("".join),
)  # fmt: skip
HOSTS = ["see www.evil.com now", "https://evil.com", "evil.com", "me@evil.com", "mailto:me@evil.com", "//evil.com/x"]


def _drawn(rendered: str) -> str:
    """What a reader sees: entities undone, without the joiners and isolates that draw nothing."""
    return re.sub("[\u2060\u2068\u2069]", "", html.unescape(rendered)).replace("\n", "")


@given(STRINGS)
@example("x" * 300)
def test_printable_is_one_bounded_line_of_visible_characters(text: str) -> None:
    shown = printable(text)
    hidden = [c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn")]
    assert not hidden
    assert len(shown) <= 10 * 200 + 1
    shown.encode("utf-8")


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=200))
def test_printable_leaves_plain_text_alone(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x9b31m", "\\x9b31m"),
        ("a\rb\nc\x08", "a\\rb\\nc\\x08"),
        ("\u202eevil\u2066", "\\u202eevil\\u2066"),
        ("a\u200bb\ufeff\u2060", "a\\u200bb\\ufeff\\u2060"),
        ("\U000e0041", "\\U000e0041"),
        ("\ud800", "\\ud800"),
        ("a\u2028b\x85", "a\\u2028b\\x85"),
        ("\u3164\u115f\u2800\ufe0f", "\\u3164\\u115f\\u2800\\ufe0f"),
        ("e\u0301\u0302 x" + "\u0303" * 3, "e\u0301\u0302 x\u0303\u0303\\u0303"),
        ("\u0301x", "\\u0301x"),
        ("größe 猫", "größe 猫"),
    ],
)
def test_printable_shows_the_invisible(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_printable_marks_the_cut() -> None:
    assert printable("x" * 201) == "x" * 200 + "…"


@given(STRINGS)
@example("1986. A great year")
@example("-")
@example("=")
@example("   - a")
@example("a\n===")
def test_markdown_in_a_paragraph_is_the_literal_text(text: str) -> None:
    escaped = markdown(text)
    rendered = RENDERER.render(f"{escaped}\n")
    if escaped:
        assert re.fullmatch(r"<p>[^<>]*</p>\n", rendered)
        assert _drawn(rendered[3:-5]) == printable(text)


@given(STRINGS)
def test_markdown_after_our_own_words_is_the_literal_text(text: str) -> None:
    rendered = RENDERER.render(f"name {markdown(text)} end\n")
    assert _drawn(rendered) == f"<p>name {printable(text)} end</p>"
    assert rendered.count("<") == 2


@given(STRINGS, st.sampled_from([markdown, code]))
def test_a_table_cell_is_not_left(text: str, escape: object) -> None:
    assert callable(escape)
    rendered = RENDERER.render(f"| a | b |\n|---|---|\n| {escape(text)} | end |\n\nnext\n")
    cells = re.findall(r"<td>(.*?)</td>", rendered)
    assert len(cells) == 2
    assert cells[1] == "end"
    inner = cells[0].removeprefix("<code>").removesuffix("</code>") if escape is code else cells[0]
    assert "<" not in inner
    assert _drawn(inner).strip() == printable(text).strip()
    assert rendered.endswith("</table>\n<p>next</p>\n")


@given(STRINGS)
def test_code_is_not_left(text: str) -> None:
    rendered = RENDERER.render(f"name {code(text)} end\n")
    found = re.fullmatch(r"<p>name <code>([^<>]*)</code> end</p>\n", rendered)
    assert found
    assert _drawn(found[1]) == printable(text)


@given(STRINGS)
def test_a_fence_is_not_left(text: str) -> None:
    rendered = RENDERER.render(f"{fenced(text, 'sh')}\n\nnext\n")
    found = re.fullmatch(r'<pre><code class="language-sh">([^<>]*)</code></pre>\n<p>next</p>\n', rendered)
    assert found
    assert html.unescape(found[1]) == printable(text, 2000) + "\n"


@pytest.mark.parametrize("text", HOSTS)
def test_hosts_and_addresses_do_not_become_links(text: str) -> None:
    assert "<a " in RENDERER.render(text), "the renderer would link it"
    assert "<a " not in RENDERER.render(markdown(text))
    assert "<a " not in RENDERER.render(code(text))


@pytest.mark.parametrize("pattern", [r"(?<!\w)@\w", r"#\d", r":\w+:", r"\$\w", r"https?://", r"www\.", r"\w@\w+\.\w"])
def test_what_renderers_look_for_after_decoding_is_split(pattern: str) -> None:
    """GitHub and remark search the decoded text for mentions, issues, emoji, math and addresses."""
    text = "@someone #12 :tada: $x$ https://a.bc http://d.ef www.evil.com a@b.cd"
    assert re.search(pattern, text)
    assert not re.search(pattern, html.unescape(markdown(text)))


def test_right_to_left_letters_are_isolated() -> None:
    assert html.unescape(markdown("אב 1")) == "\u2068אב 1\u2069"
    assert "\u2068אב\u2069" in html.unescape(code("אב"))


@given(STRINGS)
def test_markup_is_text_in_html(text: str) -> None:
    shown = markup(text)
    assert not set("<>\"'") & set(shown)
    assert html.unescape(shown) == printable(text)
