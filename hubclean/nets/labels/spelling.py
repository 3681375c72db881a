"""Which label a class name may mean: plurals, case, hyphens, numbers in words, WordNet ids. Offered, never taken."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache

_ONES = "zero,one,two,three,four,five,six,seven,eight,nine,ten,eleven,twelve"
_WORDS = f"{_ONES},thirteen,fourteen,fifteen,sixteen,seventeen,eighteen,nineteen,twenty".split(",")
_NUMBER = re.compile(r"[0-9]{1,9}")
# What libraries call a label that nobody named.
PLACEHOLDER = re.compile(r"(?:label|class)[ _-]?([0-9]{1,6})", re.IGNORECASE)
_WORDNET = re.compile(r"n[0-9]{8}")
# ``001.Black_footed_Albatross``, ``n01440764_tench``, ``3-cat``: folders are often numbered.
_PREFIX = re.compile(r"(?:n[0-9]{8}|[0-9]{1,5})[\s._-]+(?=\S)")
_IMAGENET = 1000
_LONGEST = 200  # characters of a name that are looked at


def number_of(name: str) -> int | None:
    """The number that a name is: ASCII digits alone, zeros in front or not."""
    return int(name) if _NUMBER.fullmatch(name) else None


def plain(name: str) -> str:
    """What two spellings of the very same name have in common: Unicode NFC, no blanks around it."""
    return unicodedata.normalize("NFC", name).strip()


def nameless(labels: Sequence[str]) -> bool:
    """Whether a model has no label names: all are ``LABEL_3``, ``label 3`` or ``class 3``."""
    return all(PLACEHOLDER.fullmatch(plain(label)) for label in labels)


def folded(name: str) -> str:
    """Without case, accents and the marks between words."""
    text = unicodedata.normalize("NFKD", name[:_LONGEST])
    bare = "".join(letter for letter in text if not unicodedata.combining(letter))
    return " ".join(re.split(r"[\W_]+", _humps(bare).casefold())).strip()


def _humps(name: str) -> str:
    """``GoldenRetriever`` as two words; ``MNIST`` stays one."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)


# Plural endings, what the singular has in their place, and how long the word must be.
_PLURALS = (("ies", "y", 5), ("oes", "o", 5), ("ches", "ch", 6), ("shes", "sh", 6), ("sses", "ss", 6), ("xes", "x", 4))


def _singular(name: str) -> str:
    """The last word without its plural ending, roughly: it only has to treat both sides alike."""
    for end, other, least in _PLURALS:
        if name.endswith(end) and len(name) >= least:
            return name.removesuffix(end) + other
    return name.removesuffix("s") if len(name) > 3 and not name.endswith(("ss", "us", "is")) else name


def _joined(name: str) -> str:
    return folded(name).replace(" ", "")


def _synonyms(name: str) -> Iterator[str]:
    """``tench, Tinca tinca`` is either."""
    yield from name[:_LONGEST].split(",")[:8]


def _unnumbered(name: str) -> str:
    return _PREFIX.sub("", name, count=1)


def _word_number(name: str) -> str:
    """``seven`` and ``digit 7`` as ``7``; anything else as it is."""
    text = folded(name)
    last = text.split(" ")[-1] if re.fullmatch(r"(?:digit|number|class|label|no) \w+", text) else text
    if last in _WORDS:
        return str(_WORDS.index(last))
    return str(int(last)) if _NUMBER.fullmatch(last) else text


@cache
def _wordnet() -> dict[str, str]:
    """Id to names of ImageNet's classes as timm lists them; empty without timm."""
    try:
        from timm.data import ImageNetInfo
    except ImportError:
        return {}
    known = ImageNetInfo("imagenet-1k")
    ids, names = known.label_names(), known.label_descriptions()
    return dict(zip(ids, names, strict=True))


def _of_wordnet(name: str) -> Iterator[str]:
    """The names of a WordNet id at the beginning."""
    found = _WORDNET.match(name)
    if found and (names := _wordnet().get(found[0])):
        yield from _synonyms(names)


def _keys(name: str) -> Iterator[set[str]]:
    """What a name is compared by, the strictest first: each level holds all spellings of that level."""
    yield {folded(name)}
    yield {_joined(name)}
    yield {_word_number(name)}
    parts = {*_synonyms(name), _unnumbered(name)}
    yield {folded(part) for part in parts} - {""}
    yield {_singular(folded(part)) for part in parts} - {""}
    yield {folded(part) for part in (*_of_wordnet(name), *parts)} - {""}


def offers(names: Sequence[str], labels: Sequence[str]) -> dict[str, int]:
    """The label that each of ``names`` may mean, where one and only one comes into question, and for one name alone.

    A model of 1,000 labels without names is taken to be for ImageNet. Cost: linear in both; WordNet's names are read
    only where a name or a label starts with an id.
    """
    if len(labels) == _IMAGENET and nameless(labels):  # most of timm's models are for ImageNet and name no label
        labels = list(_wordnet().values()) or labels
    by_id = any(_WORDNET.match(name) for name in (*names, *labels))
    levels = 6 if by_id else 5
    tables: list[dict[str, set[int]]] = [{} for _ in range(levels)]
    for index, label in enumerate(labels):
        for table, keys in zip(tables, _keys(label), strict=False):
            for key in keys:
                table.setdefault(key, set()).add(index)
    found = {name: place for name in names if (place := _only(tables, name)) is not None}
    if by_id:
        found |= _by_order(names, labels)
    taken = Counter(found.values())
    return {name: place for name, place in found.items() if taken[place] == 1}


def _only(tables: list[dict[str, set[int]]], name: str) -> int | None:
    for table, keys in zip(tables, _keys(name), strict=False):
        places = set().union(*(table.get(key, set()) for key in keys))
        if places:
            return next(iter(places)) if len(places) == 1 else None
    return None


def _by_order(names: Sequence[str], labels: Sequence[str]) -> dict[str, int]:
    """WordNet ids by their place among ImageNet's 1,000, where the model's label there has one of the id's names.

    It tells ``crane`` the bird from ``crane`` the machine.
    """
    ids = list(_wordnet())
    if len(labels) != len(ids):
        return {}
    places = {one: index for index, one in enumerate(ids)}
    found = {}
    for name in names:
        match = _WORDNET.match(name)
        place = places.get(match[0]) if match else None
        if place is not None and {folded(n) for n in _synonyms(labels[place])} & {folded(n) for n in _of_wordnet(name)}:
            found[name] = place
    return found
