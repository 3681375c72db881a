"""From the pickled weights of a repo to safetensors files beside each other: which file, all shards, one report."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from hubclean.errors import FormatError, RefusedError
from hubclean.escaping import printable
from hubclean.hub.repos import sha256_of
from hubclean.records import Conversion, FileHash
from hubclean.scanning.formats import safetensors_writer
from hubclean.scanning.formats.names import SAFETENSORS_INDEX, is_pickled_weights, suffix
from hubclean.scanning.formats.safetensors_header import parse_index
from hubclean.scanning.formats.torch_checkpoint import PickledTensor, PickledWeights, open_pickled
from hubclean.scanning.pickles.state_dict import ANYTHING, Sought
from hubclean.wording import call

WHOLE, INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"


def main_pickle(names: Iterable[str]) -> str:
    """The checkpoint, or the index of its shards, that holds the weights of a repo without safetensors.

    Returns:
        Its name; empty where the repo has safetensors, or no such file.

    Raises:
        RefusedError: there are several, and none has the name that loaders take.
    """
    root = sorted(name for name in names if "/" not in name)
    if any(suffix(name) == ".safetensors" for name in root):
        return ""
    for name in (WHOLE, INDEX):
        if name in root:
            return name
    found = [name for name in root if is_pickled_weights(name)]
    if len(found) > 1:
        shown = ", ".join(printable(name, 60) for name in found[:5])
        raise RefusedError(f"the weights are {len(found)} pickles ({shown}): {call('convert', 'file')} takes one")
    return found[0] if found else ""


def unpacked(
    folder: Path, names: tuple[str, ...], carried: Iterable[str], sought: Sought = ANYTHING
) -> tuple[Path, Conversion]:
    """A temporary folder, removed when Python ends, with converted weights and copies of the files ``carried``.

    Args:
        sought: what is known of the weights, as for ``state_dict``.

    Raises:
        FormatError: as ``to_safetensors``.
    """
    place = Path(tempfile.mkdtemp(prefix="hubclean-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    for name in carried:
        shutil.copyfile(folder / name, place / name)
    return place, to_safetensors(folder, names, place, sought)


def parts(folder: Path, main: str) -> tuple[str, ...]:
    """The files that hold the weights: ``main`` itself, or the shards that it is the index of.

    Raises:
        FormatError: the index is damaged, or names files elsewhere or none that could be a checkpoint.
    """
    home, slash, name = main.rpartition("/")
    if name != INDEX:
        return (main,)
    shards = tuple(sorted(set(parse_index((folder / main).read_bytes()).values())))
    if odd := [name for name in shards if not is_pickled_weights(name) or "/" in name]:
        raise FormatError(f"{INDEX} names {printable(odd[0], 80)!r}, which is no checkpoint beside it")
    return tuple(home + slash + name for name in shards)


def to_safetensors(
    folder: Path,
    names: tuple[str, ...],
    into: Path,
    sought: Sought = ANYTHING,
    allow: Iterable[str] = (),
    unknown: bool = False,
) -> Conversion:
    """Write ``model.safetensors``, or shards and their index, with the tensors of the checkpoints ``names``.

    Nothing is unpickled; bytes are copied from where they lie. Tied tensors are written under each of their names.

    Args:
        folder, into: where the checkpoints are, and an existing folder for what is written.
        sought: what is known of the weights, as for ``state_dict``.
        allow, unknown: names besides the list that their pickles may hold, as for ``open_pickled``.

    Raises:
        FormatError: as ``open_pickled`` and ``safetensors_writer.write_safetensors``; or a tensor is in two shards.
    """
    with ExitStack() as stack:
        opened = [stack.enter_context(open_pickled(folder / name, sought, frozenset(allow), unknown)) for name in names]
        prefixes = {one.state.prefix for one in opened}
        rows = [_named(one, len(prefixes) == 1) for one in opened]
        weights: dict[str, str] = {}
        for number, row in enumerate(rows):
            name = _shard(number, len(rows))
            if twice := weights.keys() & row.keys():
                raise FormatError(f"the tensor {printable(min(twice), 80)!r} is in two shards")
            weights |= dict.fromkeys(row, name)
            safetensors_writer.write_safetensors(into / name, row, {"format": "pt"})
        if len(rows) > 1:
            size = sum(tensor.nbytes for row in rows for tensor in row.values())
            index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(weights.items()))}
            (into / SAFETENSORS_INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
        return Conversion(
            tuple(FileHash(name, (folder / name).stat().st_size, sha256_of(folder / name)) for name in names),
            opened[0].state.key,
            opened[0].state.prefix if len(prefixes) == 1 else "",
            len(weights),
            tuple(group for one, row in zip(opened, rows, strict=True) for group in _tied(one, row)),
            tuple(dict.fromkeys(row for one in opened for row in one.state.dropped)),
            tuple(dict.fromkeys(row for one in opened for row in one.state.notes)),
        )


def _named(one: PickledWeights, alike: bool) -> dict[str, PickledTensor]:
    """Names as written: a prefix stays where it is not that of all shards."""
    before = "" if alike else one.state.prefix
    return {before + name: tensor for name, tensor in one.tensors.items()}


def _shard(number: int, count: int) -> str:
    return f"model-{number + 1:05}-of-{count:05}.safetensors" if count > 1 else "model.safetensors"


def _tied(one: PickledWeights, row: dict[str, PickledTensor]) -> list[tuple[str, ...]]:
    groups: dict[tuple[object, ...], list[str]] = {}
    for name, tensor in row.items():
        if tensor.nbytes:
            groups.setdefault(tensor.same_as, []).append(printable(name, 200))
    return [tuple(names) for names in groups.values() if len(names) > 1]
