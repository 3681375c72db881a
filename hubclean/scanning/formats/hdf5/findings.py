"""What is wrong with an HDF5 file: where it reaches, what it has a loader run."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass

from hubclean.scanning.formats.hdf5.messages import Attribute
from hubclean.scanning.formats.hdf5.walk import Hdf5File, read_hdf5
from hubclean.scanning.formats.pickle_sniff import is_pickle
from hubclean.scanning.formats.tensorflow.keras_config import is_keras, keras_problems
from hubclean.scanning.pickles.streams import read_pickles
from hubclean.scanning.rules import Problem
from hubclean.scanning.sources import BytesSource, Source

_CONFIGS = ("model_config", "training_config")
MOST_PICKLES = 2000  # attributes that PyTables would unpickle


@dataclass(frozen=True, slots=True)
class Judged:
    """Rules broken, what could not be followed, and what was looked at."""

    problems: list[Problem]
    unchecked: list[str]
    said: str


def judge_hdf5(source: Source, path: str, beside: frozenset[str] = frozenset(), allow: Iterable[str] = ()) -> Judged:
    """Judge an HDF5 file that lies at ``path`` among the files ``beside``; ``allow`` as ``read_pickles``.

    Raises:
        HubcleanError: nothing could be read.
    """
    file = read_hdf5(source)
    problems = [_reach(what, name, at, path, beside) for what, name, at in file.outside]
    unchecked, allowed, pickles = list(file.unchecked), frozenset(allow), 0
    for attribute, place in file.attributes:
        for text in attribute.texts:
            if _is_config(attribute, text):
                odd, why = keras_problems(text.rstrip(b"\0"), place, attribute.name[:60])
                problems += odd
                unchecked += [why] if why else []
            elif _unpickled(text):
                pickles += 1
                if pickles > MOST_PICKLES:
                    unchecked.append(f"more than {MOST_PICKLES:,} pickled attributes")
                    break
                walked = read_pickles(BytesSource(text), allowed)
                problems += [Problem(row.rule, f"{attribute.name[:60]}: {row.what}", place) for row in walked.problems]
                unchecked += [f"{attribute.name[:60]}: {walked.unchecked}"] if walked.unchecked else []
        problems += _objects(attribute, place)
    return Judged(problems, unchecked, _said(file))


def _reach(what: str, name: str, at: int, path: str, beside: frozenset[str]) -> Problem:
    """A file that is used too; one of the same repo is odd and no more."""
    near = posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
    inside = near in beside and not name.startswith("/") and ".." not in name.split("/") and "\\" not in name
    return Problem("HC-H5-001", f"{what} {name[:120]!r}", at, severity="medium" if inside else None)


def _is_config(attribute: Attribute, text: bytes) -> bool:
    return attribute.name in _CONFIGS or (text.lstrip()[:1] in (b"{", b"[") and is_keras(text))


def _unpickled(text: bytes) -> bool:
    """Whether PyTables would unpickle a text: it does so by the dot at the end."""
    text = text.rstrip(b"\0")
    return len(text) > 2 and text.endswith(b".") and is_pickle(text, len(text), named=True)


def _objects(attribute: Attribute, place: int) -> list[Problem]:
    kind = attribute.texts[0].rstrip(b"\0") if attribute.texts else b""
    if attribute.name == "PSEUDOATOM" and kind == b"object":
        return [Problem("HC-H5-002", "an array of objects, as PyTables pickles them", place)]
    if attribute.name in ("type", "base_type") and kind in (b"pickle", b"pickled"):
        return [Problem("HC-H5-002", "an object, as hickle pickles it", place)]
    return []


def _said(file: Hdf5File) -> str:
    config = (
        " a Keras config of Keras's own classes," if any(row.name in _CONFIGS for row, _ in file.attributes) else ""
    )
    groups = file.objects - file.datasets
    said = f"HDF5:{config} {groups} groups and {file.datasets} datasets, no link leaves the file"
    return f"{said}; the numbers were not read"
