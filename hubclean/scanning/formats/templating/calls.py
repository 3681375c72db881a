"""What filters, methods and functions of jinja2 and Python give for what they are given.

Source: ``jinja2/filters.py``, ``jinja2/defaults.py``; transformers' ``chat_template_utils.py`` for ``raise_exception``,
``strftime_now`` and ``tojson``.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from hubclean.scanning.formats.templating.values import (
    ANY_TEXT,
    NOTHING,
    NUMBER,
    PICKED,
    Value,
    element,
    held,
    join,
    keys_of,
    part,
    whole,
    word,
    words,
)

FUNCTIONS = frozenset(
    ["raise_exception", "strftime_now", "range", "namespace", "dict", "joiner", "cycler", "caller", "lipsum"]
)
REFUSED = frozenset(["lipsum"])  # by its globals most templates that escape begin
_TEXT_METHODS = """
strip lstrip rstrip split rsplit splitlines startswith endswith replace lower upper title capitalize join index count
find rfind rindex isdigit isspace isalpha isalnum isupper islower isdecimal isnumeric istitle isidentifier isprintable
isascii swapcase casefold center ljust rjust removeprefix removesuffix partition rpartition zfill expandtabs
"""
_LIST_METHODS = "append extend insert index count reverse sort pop remove clear copy"
_DICT_METHODS = "items keys values get update pop setdefault copy"
TEXT_METHODS = frozenset(_TEXT_METHODS.split())
LIST_METHODS = frozenset(_LIST_METHODS.split())
DICT_METHODS = frozenset(_DICT_METHODS.split())
LOOP_METHODS = frozenset(["cycle", "changed", "next", "reset"])
METHODS = TEXT_METHODS | LIST_METHODS | DICT_METHODS | LOOP_METHODS
ADDS = ("append", "extend", "insert", "update", "setdefault")
_SAME: dict[str, Callable[[str], str]] = {
    "lower": str.lower, "upper": str.upper, "title": str.title, "capitalize": str.capitalize, "strip": str.strip,
    "trim": str.strip, "lstrip": str.lstrip, "rstrip": str.rstrip, "string": str, "safe": str, "swapcase": str.swapcase,
    "casefold": str.casefold,
}  # fmt: skip
_ESCAPES = ("escape", "e", "forceescape", "indent", "striptags", "truncate", "wordwrap", "center")
_LISTS = ("list", "sort", "unique", "select", "reject", "selectattr", "rejectattr", "reverse")
_ONE = ("first", "last", "random", "min", "max")
_NUMBERS = ("length", "count", "int", "float", "abs", "round", "wordcount")
_BY_NAME = {"selectattr": 0, "rejectattr": 0, "groupby": 0, "sort": -1, "sum": 0, "min": -1, "max": -1, "unique": -1,
            "join": 1, "map": -1}  # fmt: skip
_COUNTED = ("index", "count", "find", "rfind", "rindex", "startswith", "endswith")
_KNOWN_TEXT = """
message|msg|tool|function|doc|conversation|history|context|kwarg|param|content|system|user|schema|example|image|video
|audio|arg|chat|prompt|option|setting|metadata|response|dialog|turn|item|json|data|template|role|developer|skill|memory
|citation|control|think|reason|entity|entities|query|answer|instruction|feature|capabilit|format|properties|spec|persona|character|profile
|info|extra|label|lang|date|task|meta
"""
_KNOWN = tuple(_KNOWN_TEXT.replace("\n", "").split("|"))


@dataclass(frozen=True, slots=True)
class Given:
    """The arguments of a call: by place, by name, and what stars unpack."""

    places: tuple[Value, ...] = ()
    names: dict[str, Value] = field(default_factory=dict)
    rest: Value = NOTHING

    def at(self, place: int, name: str = "") -> Value | None:
        """An argument by its place or its name; ``None`` if it is not there."""
        if 0 <= place < len(self.places):
            return self.places[place]
        found = self.names.get(name)
        return self.rest if found is None and self.rest != NOTHING else found

    def all(self) -> Value:
        """Any of them."""
        found = self.rest
        for value in (*self.places, *self.names.values()):
            found = join(found, value)
        return found


def is_of_conversation(root: str) -> bool:
    """Whether a variable is by its name one that templates are given: other objects have methods of their own."""
    lowered = root.lower()
    return any(part in lowered for part in _KNOWN)


def names_read(name: str, given: Given) -> Iterator[Value]:
    """The names by which a filter reads members."""
    if name in _BY_NAME:
        for value in (given.at(_BY_NAME[name], "attribute"), given.names.get("attribute")):
            if value is not None:
                yield _dotted(value)


def _dotted(value: Value) -> Value:
    parts = frozenset(part for text in value.words for part in text.split("."))
    return join(replace(value, words=frozenset()), words(parts))


def filtered(name: str, value: Value, given: Given) -> Value:
    """What a filter gives."""
    if name in _SAME:
        return _same(name, value)
    if name in _ESCAPES:
        return join(Value(data=value.data, picked=value.picked), ANY_TEXT if value.words or value.starts else NOTHING)
    if name in _NUMBERS:
        return NUMBER
    if name in _ONE:
        return element(value)
    if name in _LISTS:
        kept = Value(data=value.data, items=value.items, starts=value.starts)
        inside = replace(value, data=False, items=None)
        kept = join(kept, held(element(inside)) if inside != NOTHING else NOTHING)
        return join(kept, ANY_TEXT) if name == "reverse" and (value.words or value.starts) else kept
    if name in ("batch", "slice"):
        return held(held(element(value)))
    if name in ("items", "dictsort"):
        return held(held(_inside(value)))
    if name == "map":
        return _mapped(value, given)
    if name in ("default", "d"):
        return join(value, given.at(0, "default_value") or NOTHING)
    if name == "groupby":
        return held(join(PICKED, held(element(value))))
    if name == "sum":
        return join(join(NUMBER, element(value)), given.at(1, "start") or NOTHING)
    return replaced(value, given) if name == "replace" else ANY_TEXT


def _same(name: str, value: Value) -> Value:
    """Texts that are changed letter by letter, or lose blanks at their ends."""
    change = _SAME[name]
    starts = frozenset(change(text) for text in value.starts)
    if name == "string" and (value.number or value.items or value.calls):
        starts |= {"0", "-", "["}
    return join(Value(data=value.data, picked=value.picked, starts=starts), words(frozenset(map(change, value.words))))


def _mapped(value: Value, given: Given) -> Value:
    if "attribute" in given.names:
        default = given.names.get("default", NOTHING)
        return held(join(whole(element(value)), default))
    found = NOTHING
    rest = Given(given.places[1:], given.names, given.rest)
    for name in sorted(given.places[0].words) if given.places else []:
        found = join(found, filtered(name, element(value), rest))
    return held(found)


def replaced(value: Value, given: Given) -> Value:
    """``replace`` of a text: known words stay known; in what is not known the new part may stand at the beginning."""
    old, new = given.at(0, "s"), given.at(1, "new")
    if old is None or new is None or old.data or new.data or old.starts or new.starts or old.number or new.number:
        return ANY_TEXT
    if len(value.words) * len(old.words) * len(new.words) > 512 or given.at(2) is not None:
        return ANY_TEXT
    exact = {text.replace(a, b) for text in value.words for a in old.words for b in new.words}
    starts = frozenset(new.words - {""}) if value.data else frozenset[str]()
    if value.starts:
        starts |= {""}
    return join(Value(data=value.data, picked=value.picked, starts=starts), words(frozenset(exact)))


def _inside(value: Value) -> Value:
    return join(keys_of(value), replace(whole(value), root=""))


def method(name: str, value: Value, given: Given) -> Value:
    """What a method of a text, list or dict gives."""
    if name in _SAME and not given.places:
        return _same(name, value)
    if name in ("strip", "lstrip", "rstrip", "removeprefix", "removesuffix"):
        return _cut(name, value, given)
    if name in ("split", "rsplit", "splitlines", "partition", "rpartition"):
        return _split(name, value, given)
    if name in ("items", "keys", "values"):
        inside = keys_of(value) if name == "keys" else whole(value) if name == "values" else _inside(value)
        return held(held(inside) if name == "items" else inside)
    if name in ("get", "pop", "setdefault"):
        return join(whole(value), given.at(1, "default") or NOTHING)
    if name == "replace":
        return replaced(value, given)
    if name == "copy":
        return value
    if name in ("next", "cycle"):
        return join(value.items or NOTHING, given.all())
    return NUMBER if name in _COUNTED or name.startswith("is") or name in LIST_METHODS else ANY_TEXT


def _cut(name: str, value: Value, given: Given) -> Value:
    signs = given.at(0)
    if signs is None or signs.data or signs.starts or len(signs.words) * len(value.words) > 512:
        return join(Value(data=value.data, picked=value.picked), ANY_TEXT if value.words or value.starts else NOTHING)
    exact = frozenset(str(getattr(text, name)(other)) for text in value.words for other in signs.words)
    rest = Value(data=value.data, picked=value.picked, starts=frozenset([""]) if value.starts else frozenset())
    return join(rest, words(exact))


def _split(name: str, value: Value, given: Given) -> Value:
    signs = given.at(0, "sep")
    pieces = NOTHING
    if name in ("split", "rsplit") and len(given.places) == 1 and signs and len(signs.words) == 1 and value.words:
        (sign,) = signs.words
        exact = signs == word(sign) and bool(sign)
        found = frozenset(piece for text in value.words for piece in text.split(sign)) if exact else frozenset({""})
        pieces = words(found) if exact else ANY_TEXT
    elif value.words:
        pieces = ANY_TEXT
    if value.starts:
        pieces = ANY_TEXT
    return held(join(pieces, PICKED if value.data else NOTHING))


def made(name: str, given: Given) -> Value:
    """What a function gives."""
    if name == "range":
        return held(NUMBER)
    if name == "dict":
        return held(given.all(), words(frozenset(given.names)))
    if name in ("cycler", "joiner", "namespace"):
        return Value(calls=frozenset([f"{name}()"]), items=given.all())
    return NOTHING if name == "raise_exception" else ANY_TEXT


def is_plain_format(value: Value) -> bool:
    """Whether ``format`` of these texts reads no member of what it is given."""
    if value.data or value.starts or not value.words:
        return False
    try:
        fields = [row[1:3] for text in value.words for row in string.Formatter().parse(text)]
    except ValueError:
        return True  # it ends in an error
    return all((name is None or name == "" or name.isalnum()) and "{" not in (spec or "") for name, spec in fields)


def percent(left: Value, right: Value) -> Value:
    """``left % right``: a number, or a text that begins as ``left`` does."""
    starts = frozenset(text.partition("%")[0] for text in left.words | left.starts)
    found = Value(starts=starts | ({""} if "" in starts else frozenset()))
    if left.data and not right.number:
        found = join(found, ANY_TEXT)
    return join(found, NUMBER)


def sliced(value: Value, bounds: tuple[int | None, int | None, int | None] | None) -> Value:
    """``value[a:b:c]``; ``bounds`` if they are written out."""
    if bounds is None or bounds[2] == 0:
        return part(value)
    cut = slice(*bounds)
    return join(part(replace(value, words=frozenset())), words(frozenset(text[cut] for text in value.words)))


def placed(value: Value, place: int | None) -> Value:
    """``value[place]``; ``None`` if the place is not written out."""
    if place is None or not value.words:
        return element(value, keyed=False)
    signs = frozenset(text[place : place + 1 or None] for text in value.words)
    return join(element(replace(value, words=frozenset()), keyed=False), words(signs))
