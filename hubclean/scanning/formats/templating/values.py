"""What an expression of a template may give, as far as it matters for the names by which members are read.

A text of the conversation is not the author's; one that is written out is known; one that is put together at run time
is known by how it may begin. Source: ``jinja2/environment.py`` (``getitem`` falls back to an attribute of that name).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

MOST_WORDS = 64
LONGEST = 200
_DEEPEST = 4
# Attributes without an underscore in front by which frames, code and classes are reached: ``jinja2/sandbox.py``.
INTERNAL_TEXT = """
mro func_globals func_code func_closure func_defaults gi_frame gi_code gi_yieldfrom cr_frame cr_code cr_origin ag_frame
ag_code f_globals f_builtins f_locals f_back f_code tb_frame tb_next co_code co_consts im_class im_func im_self
"""
INTERNAL = frozenset(INTERNAL_TEXT.split())


@dataclass(frozen=True, slots=True)
class Value:
    """What may come out; every field is one more possibility.

    Args:
        data: something of the conversation. ``picked``: a part of it taken by number, perhaps one character.
        number: a number, a truth value.
        words: texts that are written out. ``starts``: how texts that are put together may begin; empty: anyhow.
        items: what is in a list, or the values of a dict, of the template's own. keys: the keys of such a dict.
        calls: functions; ``namespace()``, ``cycler()``, ``joiner()`` and ``loop`` are what those make.
        root: the name of a variable that no conversation has.
    """

    data: bool = False
    picked: bool = False
    number: bool = False
    words: frozenset[str] = frozenset()
    starts: frozenset[str] = frozenset()
    items: Value | None = None
    keys: frozenset[str] = frozenset()
    calls: frozenset[str] = frozenset()
    root: str = ""


NOTHING = Value()
NUMBER = Value(number=True)
ANY_TEXT = Value(starts=frozenset([""]))
DATA = Value(data=True)
PICKED = Value(data=True, picked=True)


def word(text: str) -> Value:
    return Value(words=frozenset([text])) if len(text) <= LONGEST else Value(starts=frozenset([text[:LONGEST]]))


def words(texts: frozenset[str]) -> Value:
    """Any of ``texts``; of too many only how they begin."""
    if len(texts) <= MOST_WORDS and all(len(text) <= LONGEST for text in texts):
        return Value(words=texts)
    return Value(starts=_starts(frozenset(text[:LONGEST] for text in texts)))


def _starts(texts: frozenset[str]) -> frozenset[str]:
    texts = texts if len(texts) <= MOST_WORDS else frozenset(text[:2] for text in texts)
    return texts if len(texts) <= MOST_WORDS and "" not in texts else frozenset([""])


def join(left: Value, right: Value, depth: int = 0) -> Value:
    """One or the other."""
    if left == right:
        return left
    either = words(left.words | right.words)
    starts = left.starts | right.starts | either.starts
    items = left.items or right.items
    if left.items and right.items:
        items = join(left.items, right.items, depth + 1)
    return Value(
        left.data or right.data,
        left.picked or right.picked,
        left.number or right.number,
        either.words,
        _starts(starts) if starts else starts,
        flat(items, _DEEPEST) if items and depth == 0 else items,
        _few(left.keys | right.keys),
        left.calls | right.calls,
        left.root or right.root,
    )


def _few(keys: frozenset[str]) -> frozenset[str]:
    """Keys of a dict; of too many, or of unknown ones, the empty text."""
    return keys if len(keys) <= MOST_WORDS else frozenset([""])


def flat(value: Value, levels: int) -> Value:
    """The same with lists in lists at most so deep: what lies deeper is moved up."""
    if value.items is None:
        return value
    if levels <= 0:
        inner = flat(value.items, 0)
        texts = inner.words | inner.starts | inner.keys
        moved = join(replace(value, items=None), replace(inner, picked=inner.data))
        return join(moved, ANY_TEXT) if any("_" in text or not text for text in texts) else moved
    return replace(value, items=flat(value.items, levels - 1))


def held(items: Value, keys: Value = NOTHING) -> Value:
    """A list of these; or a dict of these with such keys."""
    found = _few(keys.words | ({""} if keys.starts or keys.data else set()))
    return Value(items=flat(items, _DEEPEST), keys=found)


def keys_of(value: Value) -> Value:
    """The keys of a dict."""
    exact = words(value.keys - {""})
    return join(join(exact, ANY_TEXT) if "" in value.keys else exact, DATA if value.data else NOTHING)


def element(value: Value, keyed: bool = True) -> Value:
    """What a loop over it gives: of a dict its keys, which a place by number does not give (``keyed``)."""
    found = value.items or NOTHING
    if keyed and value.keys:
        found = join(found, keys_of(replace(value, data=False)))
    if value.data:
        found = join(found, replace(PICKED, root=""))
    if value.number:
        found = join(found, NUMBER)
    if value.words:
        found = join(found, words(frozenset(sign for text in value.words for sign in text)))
    return join(found, ANY_TEXT) if value.starts or value.calls - {"loop", "cycler()"} else found


def part(value: Value) -> Value:
    """A slice of it."""
    texts = ANY_TEXT if value.words or value.starts else NOTHING
    return join(Value(data=value.data, picked=value.data, items=value.items, keys=value.keys), texts)


def whole(value: Value) -> Value:
    """A member read by its name: what is in it is again whole."""
    return replace(join(value.items or NOTHING, Value(data=value.data, root=value.root)), picked=False)


def as_text(value: Value) -> Value:
    """As it is written: of numbers it is known that they begin with a digit or a sign."""
    starts = value.starts
    if value.number:
        starts |= {"0", "-", "T", "F"}
    if value.items or value.calls:
        starts |= {"[", "{", "(", "<"}
    return Value(data=value.data, picked=value.picked, words=value.words, starts=starts)


def put_together(left: Value, right: Value) -> Value:
    """One text behind the other."""
    left, right = as_text(left), as_text(right)
    if len(left.words) * len(right.words) > 8 * MOST_WORDS:
        right = Value(right.data, right.picked, starts=right.starts | _starts(right.words))
    found, starts = frozenset[str](), left.starts
    data, picked = False, False
    for text in left.words:
        found |= {text + other for other in right.words}
        if text:
            starts |= {text} if right.data or right.starts else set()
        else:
            starts |= right.starts
            data, picked = data or right.data, picked or right.picked
    if left.data:  # it may be empty, and then what follows is the beginning
        data = True
        picked = picked or left.picked or right.picked
        starts |= {text for text in right.words if text} | right.starts
        if (left.picked and (right.data or right.words - {""} or right.starts)) or right.picked:
            starts |= {""}
    both = words(found)
    starts |= both.starts
    return Value(data=data, picked=picked, words=both.words, starts=_starts(starts) if starts else starts)


def repeated(value: Value) -> Value:
    """A text several times, or not at all; a list likewise."""
    texts = _starts(value.words | value.starts | {""}) if value.words or value.starts else frozenset[str]()
    return Value(data=value.data, picked=value.data, number=True, starts=texts, items=value.items)


def secret(value: Value) -> str | None:
    """What is wrong with reading a member by this name; ``None`` if it can reach nothing but data."""
    for text in sorted(value.words):
        if found := secret_name(text):
            return found
    for start in sorted(value.starts):
        if start in ("", "_") or start.startswith("__") or any(name.startswith(start) for name in INTERNAL):
            return "reads a member by a name that is put together at run time"
    return None


_DUNDER = re.compile(
    "__(class|mro|bases?|subclasses|init|globals|builtins?|import|dict|getattr|getattribute|getitem|code|closure|func"
    "|self|module|loader|spec|reduce|reduce_ex|call|new|qualname|wrapped|defaults|kwdefaults|annotations|weakref|file"
    "|init_subclass|subclasshook|subclasscheck|instancecheck|format|enter|exit|setattr|delattr|dir|objclass|slots)__"
)


def secret_name(text: str) -> str | None:
    if text.startswith("_"):
        return f"reads the member {text[:60]!r}"
    return f"reads {text!r}, which reaches into Python itself" if text in INTERNAL else None


def is_dunder(text: str) -> bool:
    """Whether a text is nothing but a name by which Python's own parts are reached."""
    return len(text) < 64 and _DUNDER.fullmatch(text.strip()) is not None


def widened(value: Value) -> Value:
    """The same, its texts known by how they begin: what grows from walk to walk ends so."""
    starts = value.starts | {text[:2] for text in value.words}
    return replace(value, words=frozenset(), starts=_starts(starts) if starts else starts)
