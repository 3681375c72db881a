"""Which folders are splits, which are classes, and which are neither, by their names and what lies in them.

Nothing is decided by the names of pictures: ``train_001.png`` in a flat folder is a picture like any other.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from hubclean.escaping import printable
from hubclean.nets.sources.split_words import spelled, split_folders, split_word

# Names that say where pictures lie and not what they show; a label of the model wins over them.
_CONTAINERS = frozenset(
    spelled(
        "images image imgs img pictures pics photos jpegimages jpegs jpg png data dataset raw files samples sample "
        "thumbnails thumbs examples example misc assets"
    )
)
_PLAIN_CONTAINERS = frozenset(spelled("images image imgs img pictures pics photos jpegimages data dataset"))
_NOT_PICTURES = frozenset(
    spelled(
        "masks mask annotations annotation segmentation segmentations seg labels label gt ground_truth groundtruth "
        "depth heatmaps bbox bboxes"
    )
)
_UNLABELLED = frozenset(spelled("unlabelled unlabeled unsup unsupervised no_label nolabel"))
OUTSIDE, BESIDE, UNLABELLED = "outside the class folders", "in folders that are no class", "without a label"
_DEEPEST_CLASS = 5


@dataclass
class SplitLayout:
    """Pictures of one split with the name of their class, ``None`` throughout where there are no classes."""

    name: str
    pictures: list[tuple[str, str | None]] = field(default_factory=list)
    left: Counter[str] = field(default_factory=Counter)
    notes: tuple[str, ...] = ()


def plain(name: str) -> str:
    """A name without case, underscores and hyphens."""
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def known_names(labels: Iterable[str]) -> frozenset[str]:
    """The model's labels and each of their synonyms, plainly written."""
    return frozenset(plain(part) for label in labels for part in (label, *label.split(",")))


def arrange(paths: Sequence[str], labels: Sequence[str] = ()) -> list[SplitLayout]:
    """The splits of a tree of pictures; one called ``all`` where the folders are none.

    Args:
        paths: of pictures only.
        labels: the model's, which settle whether a folder is a class.
    """
    known = known_names(labels)
    rows = [(path, path.split("/")) for path in paths]
    strays: Counter[str] = Counter()
    while True:
        tops = _tops(rows)
        splits = _splits_among(tops, known)
        if splits:
            made = _by_split(rows, splits, known)
            break
        if turned := _classes_above_splits(tops, known):
            made = [_classed(name, part, known) for name, part in turned.items()]
            strays[OUTSIDE] += len(tops.get("", ()))
            break
        inner = _container(rows, tops, known, strays)
        if inner is None:
            made = [_classed("all", rows, known)]
            break
        rows = inner
    for layout in made:
        layout.left.update(strays)
    return made


_Rows = list[tuple[str, list[str]]]


def _tops(rows: _Rows) -> dict[str, _Rows]:
    """Rows by their first folder, which is taken off; pictures in none are under ``""``."""
    found: dict[str, _Rows] = {}
    for path, parts in rows:
        key = parts[0] if len(parts) > 1 else ""
        found.setdefault(key, []).append((path, parts[1:] if key else parts))
    return found


def _nested(rows: _Rows) -> bool:
    """Whether most of the rows lie in a further folder that may be a class."""
    deep = [parts for _, parts in rows if len(parts) > 1]
    return 2 * len(deep) > len(rows) and any(not _generic(parts[0]) for parts in deep)


def _generic(name: str) -> bool:
    word = name.casefold().replace("-", "_").replace(" ", "_")
    return word in _CONTAINERS or word in _NOT_PICTURES or word in _UNLABELLED


def _splits_among(tops: dict[str, _Rows], known: frozenset[str]) -> set[str]:
    """The folders that are splits, or none of them: a class may be called ``test`` or ``train``."""
    folders = [name for name in tops if name]
    splits = split_folders(folders)
    if not splits or sum(len(tops[name]) for name in splits) < len(tops.get("", ())):
        return set()
    nested = {name for name in splits if _nested(tops[name])}
    others = [name for name in folders if name not in splits and not _generic(name)]
    if all(plain(name) in known for name in folders) and not nested:
        return set()
    if not others or nested:
        return splits
    if len({split_word(name) for name in splits}) > 1 and not any(plain(name) in known for name in folders):
        return splits  # train/ and test/ and something else, none of it a label
    return set()  # a flat folder beside others: a class that is called so


def _by_split(rows: _Rows, splits: set[str], known: frozenset[str]) -> list[SplitLayout]:
    tops = _tops(rows)
    made = [_classed(name, tops[name], known) for name in sorted(splits)]
    others = {name: part for name, part in tops.items() if name not in splits}
    if beside := sum(map(len, others.values())):
        shown = ", ".join(printable(name, 40) + "/" if name else "the folder itself" for name in sorted(others)[:5])
        for layout in made:
            layout.left[f"beside the splits, in {shown}"] += beside
    return made


def _classes_above_splits(tops: dict[str, _Rows], known: frozenset[str]) -> dict[str, _Rows]:
    """``cat/train/1.png``: rows by split, the class first; empty where the folders are otherwise."""
    folders = {name: part for name, part in tops.items() if name}
    below = [parts[0] if len(parts) > 1 else "" for part in folders.values() for _, parts in part]
    inner = set(below)
    splits = split_folders(inner)
    if len(folders) < 2 or not inner or inner - splits or any(plain(name) in known for name in inner):
        return {}
    turned: dict[str, _Rows] = {}
    for name, part in folders.items():
        for path, parts in part:
            turned.setdefault(parts[0], []).append((path, [name, *parts[1:]]))
    return dict(sorted(turned.items()))


def _container(rows: _Rows, tops: dict[str, _Rows], known: frozenset[str], strays: Counter[str]) -> _Rows | None:
    """The rows inside the one folder that merely holds everything; ``None`` where there is no such folder."""
    folders = {name: part for name, part in tops.items() if name and _name(name) not in _NOT_PICTURES}
    if len(folders) != 1 or plain(next(iter(folders))) in known:
        return None
    (inner,) = folders.values()
    rest = len(rows) - len(inner)
    if len(inner) <= rest or not any(len(parts) > 1 for _, parts in inner):
        return None
    strays[OUTSIDE] += len(tops.get("", ()))
    if beside := rest - len(tops.get("", ())):
        strays[BESIDE] += beside
    return inner


def _name(name: str) -> str:
    return name.casefold().replace("-", "_").replace(" ", "_")


def _classed(name: str, rows: _Rows, known: frozenset[str]) -> SplitLayout:
    """The classes of one split: of nested folders the level whose names the model knows, else the first."""
    layout = SplitLayout(name)
    rows = _without_masks(rows, known, layout)
    inner = _container(rows, _tops(rows), known, layout.left)
    while inner is not None:
        rows = _without_masks(inner, known, layout)
        inner = _container(rows, _tops(rows), known, layout.left)
    level = _level(rows, known)
    named = [(path, parts[level] if len(parts) > level + 1 else "") for path, parts in rows]
    counts = Counter(folder for _, folder in named)
    loose = counts.pop("", 0)
    matched = {folder for folder in counts if plain(folder) in known}
    strange = _strays(set(counts), matched, known)
    classes = counts.keys() - strange
    if len(classes) < 2 and not matched:  # one folder whose name the model does not know
        classes = set()
    if not classes or (loose > sum(counts[folder] for folder in classes) and not matched):
        layout.pictures = [(path, None) for path, _ in rows]
        return layout
    layout.pictures = [(path, folder) for path, folder in named if folder in classes]
    layout.left[OUTSIDE] += loose
    for folder in sorted(strange):
        why = UNLABELLED if _name(folder) in _UNLABELLED else BESIDE
        layout.left[why] += counts[folder]
    shown = ", ".join(printable(folder, 40) + "/" for folder in sorted(strange)[:5])
    layout.notes = (f"no class: {shown}",) if strange else ()
    return layout


def _strays(folders: set[str], matched: set[str], known: frozenset[str]) -> set[str]:
    """Folders beside classes that are none: only where all others are labels of the model. What might be a class
    under another name (``mask``, ``sample``) is one unless every label has its folder."""
    rest = folders - matched
    found = {folder for folder in rest if _name(folder) in _UNLABELLED}
    found |= {folder for folder in rest if _name(folder) in _PLAIN_CONTAINERS}
    found |= {folder for folder in split_folders(rest) if not _near(folder, known)}
    if {plain(folder) for folder in matched} >= known:
        found |= {folder for folder in rest if _generic(folder)}
    only_unlabelled = {folder for folder in found if _name(folder) in _UNLABELLED}
    return found if matched and rest == found else only_unlabelled


def _near(folder: str, known: frozenset[str]) -> bool:
    """Whether the model has such a label, or one that begins so: ``trains``."""
    return any(name.startswith(plain(folder)) for name in known)


def _without_masks(rows: _Rows, known: frozenset[str], layout: SplitLayout) -> _Rows:
    """Without folders of masks beside a folder of pictures."""
    tops = _tops(rows)
    masks = {name for name in tops if _name(name) in _NOT_PICTURES and plain(name) not in known}
    if not masks or not any(_name(name) in _CONTAINERS for name in tops):
        return rows
    layout.left["in folders of masks"] += sum(len(tops[name]) for name in masks)
    return [row for row in rows if row[1][0] not in masks]


def _level(rows: _Rows, known: frozenset[str]) -> int:
    """Which folder on the way to a picture is its class, counted from 0."""
    best, most = 0, 0
    for level in range(_DEEPEST_CLASS):
        fit = sum(len(parts) > level + 1 and plain(parts[level]) in known for _, parts in rows)
        if fit > most:
            best, most = level, fit
    return best
