"""Words for splits in the names of folders and files, as Hugging Face ``datasets`` knows them, in any case.

Only whole words count: ``train_images`` and ``seg_test`` are splits, ``bullet train`` and ``contest`` are none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable


def spelled(text: str) -> tuple[str, ...]:
    """The names in a text, parted by spaces: how long lists of them are written here."""
    return tuple(text.split())


_WORDS = {
    **dict.fromkeys(("test", "testing", "tests", "eval", "evaluation", "holdout", "heldout"), "test"),
    **dict.fromkeys(("validation", "valid", "val", "validate", "dev", "development"), "validation"),
    **dict.fromkeys(("train", "training", "trn"), "train"),
}
_ORDER = ("test", "validation", "train")
# What may stand beside the word in the name of a folder that is a split all the same.
_FILLERS = frozenset(
    spelled(
        "set sets split splits data dataset img imgs image images pic pics picture pictures photo photos folder files "
        "the my new full small large labeled labelled jpg png jpeg"
    )
)
_SHARD = re.compile(r"(.+?)[-_.]?\d+[-_]of[-_]\d+(?:-[0-9a-f]{8,})?")


#: Every word for a split.
SPLITS = frozenset(_WORDS)


def words(name: str) -> list[str]:
    """The words of a name in lower case; digits and punctuation part them, and capitals within a word."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return [word for word in re.split(r"[\W\d_]+", parted.casefold()) if word]


def split_word(name: str) -> str | None:
    """``train``, ``validation`` or ``test`` if a word of ``name`` says so, else ``None``."""
    return next((_WORDS[word] for word in words(name) if word in _WORDS), None)


def canonical(name: str) -> str:
    """One name for all spellings of a split: ``Val`` and ``valid`` are ``validation``."""
    return _WORDS.get(name.casefold(), name.casefold())


def rank(name: str) -> tuple[int, str]:
    """How held out a split is: test, validation, others, train."""
    word = split_word(name)
    place = {"test": 0, "validation": 1, "train": 3}.get(word or "", 2)
    return place, "" if name.casefold() in _ORDER else name


def split_folders(names: Iterable[str]) -> set[str]:
    """Which of the folders side by side are splits: those called so, and those that differ from another by the word
    alone (``seg_train``, ``seg_test``)."""
    rests: dict[tuple[str, ...], set[str]] = {}
    found, open_names = set(), []
    for name in names:
        word = split_word(name)
        if word is None:
            continue
        rest = tuple(part for part in words(name) if part not in _WORDS)
        if all(part in _FILLERS for part in rest):
            found.add(name)
        rests.setdefault(rest, set()).add(word)
        open_names.append((name, rest))
    return found | {name for name, rest in open_names if len(rests[rest]) > 1}


def file_split(path: str) -> str:
    """The split that a file of a table or an archive belongs to by its path, ``""`` where nothing says so.

    ``data/train-00000-of-00002.parquet``, ``test/0000.parquet``, ``imagenet1k-validation-07.tar``; of shards also any
    name: ``extra-00000-of-00001.parquet``.
    """
    *folders, file = path.split("/")
    stem = file.split(".")[0]
    shard = _SHARD.fullmatch(stem)
    if shard:
        return split_word(shard[1]) or shard[1]
    for part in (stem, *reversed(folders)):
        if word := split_word(part):
            return word
    return ""
