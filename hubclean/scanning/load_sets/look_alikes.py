"""Names that only look like those a loader opens: another case, spaces, invisible signs, letters of other scripts.

The letters are those of Unicode's confusables (UTS 39) that stand in no decomposition and look like a small Latin one.
"""

from __future__ import annotations

import functools
import unicodedata

from hubclean.scanning.load_sets.other_files import OTHER_NAMES
from hubclean.scanning.load_sets.transformers_files import TRANSFORMERS_NAMES

_INVISIBLE = frozenset("\u115f\u1160\u3164\uffa0\u034f\u17b4\u17b5") | {chr(code) for code in range(0xFE00, 0xFE10)}
# Each row: what it looks like, and the letters; small ones, since all are folded first.
_LETTERS = {
    "a": "\u0430\u03b1\u0251\u0561",
    "b": "\u0432\u044c\u03b2\u0184\u0185\u15af",
    "c": "\u0441\u03f2\u1d04\u2ca5\u217d\u0188",
    "d": "\u0501\u0257\u217e\u146f",
    "e": "\u0435\u0454\u03b5\u212e\u0117\u04bd",
    "f": "\u0192\u03dd\u0584",
    "g": "\u0261\u0433\u0581\u0260",
    "h": "\u04bb\u043d\u0570\u13c2",
    "i": "\u0456\u03b9\u0131\u0269\u026a\u04cf\u0457\u1d7c",
    "j": "\u0458\u03f3\u0575",
    "k": "\u043a\u03ba\u049b\u0199",
    "l": "\u2113\u019a\u0142\u05d5\u05df\u217c",
    "m": "\u043c\u03bc\u217f",
    "n": "\u043f\u03b7\u0578\u057c\u0438",
    "o": "\u043e\u03bf\u03c3\u0585\u1d0f\u0d20\u0ae6\u00f8\u0275",
    "p": "\u0440\u03c1\u01bf\u2ca3",
    "q": "\u051b\u0563\u0566",
    "r": "\u0491\u1d26\u2c85\uab47\uab48\u044f",
    "s": "\u0455\ua731\u01bd\uabaa",
    "t": "\u0442\u03c4\u1d1b",
    "u": "\u0446\u03c5\u057d\u1d1c\u028b",
    "v": "\u03bd\u0475\u1d20\u2174",
    "w": "\u051d\u0461\u03c9\u1d21\u0448",
    "x": "\u0445\u03c7\u2179\u00d7",
    "y": "\u0443\u03b3\u04af\u1eff\u0263",
    "z": "\u1d22\u0290",
    ".": "\u2024\u3002\uff61\u0701\u06d4\u00b7",
    "-": "\u2010\u2011\u2012\u2013\u2014\u2212\u02d7\u30fc",
    "/": "\u2044\u2215\u29f8\u2571",
    "_": "\u02cd\ufe4d\u203f\u203f",
}
# Signs that are told apart by nobody who reads a listing; folded for the names of loaders alone.
_ALIKE = str.maketrans({"1": "l", "i": "l", "|": "l", "!": "l", "0": "o"} | {"5": "s", " ": None})
_SHAPES = str.maketrans({sign: letter for letter, signs in _LETTERS.items() for sign in signs})


def folded(path: str) -> str:
    """What case-blind disks, Windows, which drops dots and spaces at the ends, and readers take for the same name."""
    seen = "".join(sign for sign in unicodedata.normalize("NFKC", path).casefold() if not _hidden(sign))
    return "/".join(part.strip(" ").rstrip(" .") for part in seen.split("/"))


def seen_as(path: str) -> str:
    """A path as a reader sees it: two folders that look the same are the same."""
    return folded(folded(path.casefold().translate(_SHAPES)))


def is_a_loaders(path: str) -> bool:
    """Whether loaders open files of that very name."""
    name = path.rsplit("/", 1)[-1]
    shape = _shape(name)
    return name in (_by_shape().get(shape), _shard(shape))


@functools.lru_cache(4096)
def name_of_a_loader(name: str) -> str:
    """The name that a loader opens and that the last part of a path only looks like; empty if it is it, or none."""
    looks = _shape(name.rsplit("/", 1)[-1])
    real = _by_shape().get(looks, "")
    if not real and (shard := _shard(looks)):
        real = shard
    return real if real and name.rsplit("/", 1)[-1] != real else ""


def _hidden(sign: str) -> bool:
    return sign in _INVISIBLE or unicodedata.category(sign) in ("Cf", "Cc")


def _shape(name: str) -> str:
    """How a name looks: without signs that are not seen, in letters that stand for all that look the same."""
    letters = unicodedata.normalize("NFKD", folded(name.casefold().translate(_SHAPES)))
    seen = "".join(sign for sign in letters if unicodedata.category(sign) not in ("Mn", "Me"))
    flat = "".join(" " if sign.isspace() else sign for sign in seen.translate(_SHAPES))
    return flat.translate(_ALIKE).rsplit("/", 1)[-1].replace("rn", "m").replace("vv", "w")


@functools.cache
def _by_shape() -> dict[str, str]:
    return {_shape(name): name for name in (*TRANSFORMERS_NAMES, *OTHER_NAMES)}


_STEMS = ("model", "pytorch_model", "diffusion_pytorch_model")


def _shard(looks: str) -> str:
    """The name of a shard by its shape; in a shape a zero is an ``o`` and a one an ``l``."""
    before, _, after = looks.partition("-")
    stem = next((stem for stem in _STEMS if _shape(stem) == before), "")
    number, _, rest = after.partition("-of-")
    total, _, ending = rest.partition(".")
    digits = str.maketrans("ols", "015")
    number, total = number.translate(digits), total.translate(digits)
    kind = next((kind for kind in ("safetensors", "bin") if _shape(kind) == ending), "")
    if not (stem and kind and len(number) == len(total) == 5 and number.isdecimal() and total.isdecimal()):
        return ""
    return f"{stem}-{number}-of-{total}.{kind}"
