"""Which files ``clean`` writes at all: no second copy of the weights may lie beside those that it cleansed.

A copy that another library loads, or a variant, would still hold the original's weights, and be equal to them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from hubclean.cleansing.verifying.report import Place
from hubclean.errors import FormatError
from hubclean.hub.repos import Repo, RepoEntry
from hubclean.records import FileHash
from hubclean.scanning.formats.names import SAFETENSORS_INDEX, is_carried
from hubclean.scanning.formats.safetensors_header import parse_index

OURS = "hubclean/"  # the folder of audit, triggers, pictures, other stages
_STAGE = re.compile(r"(hubclean/stages/[^/]+/)(.+)", re.DOTALL)
_MAIN, _ENDING = "model.safetensors", ".safetensors"
_LARGEST_INDEX = 8 << 20
_PLAIN = re.compile(r"hubclean/[\w.-]+\.(?:png|safetensors)", re.ASCII)


def in_stage(path: str) -> tuple[str, str]:
    """The folder of a stage, empty for the checkpoint itself, and the path in it."""
    found = _STAGE.fullmatch(path)
    return (found[1], found[2]) if found else ("", path)


def foreign(repo: Repo, files: dict[str, RepoEntry], outputs: tuple[FileHash, ...]) -> Iterator[Place]:
    """The outputs that ``clean`` would not have written.

    Raises:
        IntegrityError, TransportError: an index could not be read.
    """
    stages: dict[str, list[str]] = {}
    for row in outputs:
        folder, name = in_stage(row.path)
        if folder or not row.path.startswith(OURS):
            stages.setdefault(folder, []).append(name)
        elif not _PLAIN.fullmatch(row.path):
            yield Place(row.path, "is no trigger, filter or picture of hubclean's")
    for folder, names in stages.items():
        loaded = _loaded(repo, files, folder, names)
        for name in names:
            if name in loaded or is_carried(name):
                continue
            what = "are weights beside those that are loaded" if name.endswith(_ENDING) else "is no config or licence"
            yield Place(folder + name, f"{what}: clean writes none")


def _loaded(repo: Repo, files: dict[str, RepoEntry], folder: str, names: list[str]) -> set[str]:
    """The weight files that libraries load: one, or the index and its shards."""
    if _MAIN in names:
        return {_MAIN}
    if SAFETENSORS_INDEX in names and (entry := files.get(folder + SAFETENSORS_INDEX)):
        try:
            return {SAFETENSORS_INDEX, *parse_index(repo.read(entry.path, _LARGEST_INDEX)).values()}
        except FormatError:
            return set()
    found = [name for name in names if name.endswith(_ENDING) and "/" not in name]
    return set(found) if len(found) == 1 else set()
