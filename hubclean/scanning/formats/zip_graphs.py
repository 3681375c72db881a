"""Members of a zip that name what to build: Keras's config and HDF5 files, programs of ``torch.export``, and pickles in
base64 in JSON, as stable-baselines3 writes them.

Source: keras/src/saving/saving_lib.py, ``_load_model_from_fileobj``.
"""

from __future__ import annotations

from collections.abc import Callable

from hubclean.scanning.formats.graphs.export_archive import GRAPH, TENSOR, graph_problems
from hubclean.scanning.formats.hdf5.findings import Judged, judge_hdf5
from hubclean.scanning.formats.tensorflow.keras_config import is_keras, keras_problems
from hubclean.scanning.formats.zip_directory import ZipMember
from hubclean.scanning.pickles.inside import encoded_pickles
from hubclean.scanning.rules import Problem
from hubclean.scanning.sources import BytesSource, Part, Source

_LONGEST_JSON = 8 << 20


def judge_graphs(
    source: Source, member: ZipMember, begin: int, kind: str, body: Callable[[ZipMember], bytes | None]
) -> Judged | None:
    """Judge a member whose bytes begin at ``begin``, by its ``kind``; ``None`` if it is of neither library.

    Args:
        body: gives the whole member; ``None`` if that cannot be had, which it notes itself.

    Raises:
        HubcleanError: nothing could be read.
    """
    name = member.name[:100]
    if kind in ("text", "json") and GRAPH.search(member.name):
        text = body(member)
        problems, why = graph_problems(text) if text is not None else ([], "")
        placed = [Problem(row.rule, f"{name}: {row.what}", member.header) for row in problems]
        return Judged(placed, [f"{name}: {why}"] if why else [], "")
    if kind == "unknown" and TENSOR.search(member.name):
        return Judged([], [], "")  # raw numbers, which nothing else reads
    if kind in ("text", "json") and member.name.rpartition("/")[2] == "config.json":
        text = body(member)
        if text is None:
            return Judged([], [], "")
        if not is_keras(text):
            return _encoded(member, text)
        problems, why = keras_problems(text, member.header, name)
        return Judged(problems, [why] if why else [], "")
    if kind == "json":
        text = body(member) if member.size <= _LONGEST_JSON else b""
        return _encoded(member, text or b"")
    if kind != "hdf5":
        return None
    if member.method == 0 and member.packed == member.size:
        found = judge_hdf5(Part(source, begin, begin + member.size), member.name)
    else:
        text = body(member)
        if text is None:
            return Judged([], [], "")
        found = judge_hdf5(BytesSource(text), member.name)
    placed = [
        Problem(row.rule, f"{name}: {row.what}", member.header, row.advice, row.severity) for row in found.problems
    ]
    return Judged(placed, [f"{name}: {why}" for why in found.unchecked], found.said)


def _encoded(member: ZipMember, text: bytes) -> Judged:
    """A JSON member by the pickles that it holds as texts."""
    rows, why = encoded_pickles(text)
    placed = [Problem(row.rule, f"{member.name[:100]}: {row.what}", member.header) for row in rows]
    return Judged(placed, [f"{member.name[:100]}: {why}"] if why else [], "")
