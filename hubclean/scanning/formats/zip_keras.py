"""Members of a zip that Keras reads: its config, and HDF5 files wherever they lie.

Source: keras/src/saving/saving_lib.py, ``_load_model_from_fileobj``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hubclean.scanning.formats.hdf5.findings import Judged, judge_hdf5
from hubclean.scanning.formats.tensorflow.keras_config import is_keras, keras_problems
from hubclean.scanning.formats.zip_directory import ZipMember
from hubclean.scanning.rules import Problem
from hubclean.scanning.sources import BytesSource, Source


@dataclass(frozen=True)
class _Part:
    """A member that is not packed, as a file of its own."""

    source: Source
    begin: int
    size: int

    def at(self, start: int, stop: int) -> bytes:
        return self.source.at(self.begin + start, self.begin + stop)


def judge_keras(
    source: Source, member: ZipMember, begin: int, kind: str, body: Callable[[ZipMember], bytes | None]
) -> Judged | None:
    """Judge a member whose bytes begin at ``begin``, by its ``kind``; ``None`` if it is nothing of Keras's.

    Args:
        body: gives the whole member; ``None`` if that cannot be had, which it notes itself.

    Raises:
        HubcleanError: nothing could be read.
    """
    name = member.name[:100]
    if kind in ("text", "json") and member.name.rpartition("/")[2] == "config.json":
        text = body(member)
        if text is None:
            return Judged([], [], "")
        if not is_keras(text):
            return None
        problems, why = keras_problems(text, member.header, name)
        return Judged(problems, [why] if why else [], "")
    if kind != "hdf5":
        return None
    if member.method == 0 and member.packed == member.size:
        found = judge_hdf5(_Part(source, begin, member.size), member.name)
    else:
        text = body(member)
        if text is None:
            return Judged([], [], "")
        found = judge_hdf5(BytesSource(text), member.name)
    placed = [
        Problem(row.rule, f"{name}: {row.what}", member.header, row.advice, row.severity) for row in found.problems
    ]
    return Judged(placed, [f"{name}: {why}" for why in found.unchecked], found.said)
