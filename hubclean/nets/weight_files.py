"""Weights on disk: which files hold them, where in them a value in memory came from, and patching it there."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from hubclean.errors import FormatError, ModelError, OutputError, RefusedError
from hubclean.escaping import printable
from hubclean.hub.repos import PICKLE_ENDINGS
from hubclean.nets.construction import configs
from hubclean.nets.construction.classifier import read_weights, timm_net
from hubclean.scanning.formats.names import SAFETENSORS_INDEX
from hubclean.scanning.formats.names import is_carried as is_carried
from hubclean.scanning.formats.safetensors_header import parse_index, read_header_file

INDEX = SAFETENSORS_INDEX
# Weights of a whole model, under the names that transformers looks for.
WHOLE = frozenset(["model.safetensors", INDEX, "pytorch_model.bin", "pytorch_model.bin.index.json"])
_PICKLES = (*PICKLE_ENDINGS, ".tar", ".h5", ".msgpack")
_BASE = 2**20  # tags below it are exact in float32


def main_file(names: Iterable[str]) -> str:
    """The safetensors file, or the index of its shards, that the libraries would load of a repo with files ``names``.

    Raises:
        RefusedError: the weights are there only as a pickle or another format.
        ModelError: there are no weights, or several files and none is ``model.safetensors``.
    """
    root = {name for name in names if "/" not in name}
    found = sorted(name for name in root if name.endswith(".safetensors"))
    for name in ("model.safetensors", INDEX):
        if name in root:
            return name
    if len(found) == 1:
        return found[0]
    if found:
        raise ModelError(f"the repo has {len(found)} safetensors files and none is model.safetensors")
    if pickles := sorted(name for name in root if name.lower().endswith(_PICKLES)):
        raise RefusedError(f"the weights are only in {printable(pickles[0])!r}, a format that is not read")
    raise ModelError("the repo has no weights in safetensors")


def with_shards(folder: Path, main: str) -> tuple[str, ...]:
    """``main`` itself, or the index and its shards, by name inside ``folder``.

    Raises:
        ModelError: the index is damaged or names files outside its folder.
    """
    if main != INDEX:
        return (main,)
    try:
        return (INDEX, *sorted(set(parse_index((folder / INDEX).read_bytes()).values())))
    except FormatError as error:
        raise ModelError(f"{INDEX}: {printable(str(error))}") from error


def may_lack(name: str) -> bool:
    """Whether torch loads a file without this tensor: BatchNorm's count of batches, which older files do not have."""
    return name.rpartition(".")[2] == "num_batches_tracked"


def changed_tensors(
    library: str, folder: Path, files: tuple[str, ...], before: nn.Module, after: nn.Module
) -> dict[str, Tensor]:
    """The tensors on disk that differ between two nets, by name on disk, in the dtype on disk.

    ``before`` holds the values that the files hold. Elements that did not change keep their bits.

    Raises:
        ModelError: a value that changed has no place in the files, or does not fit its dtype there.
    """
    disk = read_weights(folder, files)
    old, new = _on_cpu(before), _on_cpu(after)
    if library == "transformers":
        from transformers.core_model_loading import revert_weight_conversion

        shared = {name for name, tensor in _tied(before)}
        old_disk, new_disk = revert_weight_conversion(before, dict(old)), revert_weight_conversion(before, dict(new))
        tied = {name for name in shared & old_disk.keys() if name not in disk}
        return _patched(disk, {k: v for k, v in old_disk.items() if k not in tied}, new_disk)
    moved = {name for name in old if not torch.equal(old[name], new[name])}
    moved -= {name for name in moved if may_lack(name) and name not in disk}
    direct = {n for n in moved if n in disk and disk[n].shape == old[n].shape and _same(disk[n], old[n])}
    fresh = _patched(disk, {name: old[name] for name in direct}, new)
    if moved - direct:
        if library != "timm":
            raise ModelError(f"{printable(min(moved - direct))!r} was changed but is not in the safetensors files")
        _scatter(folder, disk, {name: (old[name], new[name]) for name in moved - direct}, fresh)
    return fresh


def patch_weights(folder: Path, files: tuple[str, ...], fresh: dict[str, Tensor], into: Path) -> None:
    """Copy weight files and overwrite the bytes of tensors ``fresh``; headers, order and all other bytes stay.

    Raises:
        OutputError: the files cannot be written.
    """
    try:
        for name in files:
            shutil.copyfile(folder / name, into / name)
            if not name.endswith(".safetensors"):
                continue
            with (into / name).open("r+b") as file:
                for entry in read_header_file(folder / name).tensors:
                    if entry.name in fresh:
                        body = fresh[entry.name].contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
                        assert len(body) == entry.stop - entry.start
                        file.seek(entry.start)
                        file.write(body)
    except OSError as error:
        raise OutputError(f"the weights cannot be written: {error}") from error


def _on_cpu(net: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu() for name, tensor in net.state_dict().items()}


def _tied(net: nn.Module) -> list[tuple[str, Tensor]]:
    """Names in memory whose tensor has an earlier name too."""
    seen, rows = set(), []
    for name, tensor in net.state_dict().items():
        if tensor.data_ptr() in seen and tensor.numel():
            rows.append((name, tensor))
        seen.add(tensor.data_ptr())
    return rows


def _same(stored: Tensor, loaded: Tensor) -> bool:
    return torch.equal(stored.to(loaded.dtype), loaded)


def _patched(disk: dict[str, Tensor], old: dict[str, Tensor], new: dict[str, Tensor]) -> dict[str, Tensor]:
    fresh = {}
    for name, before in old.items():
        if torch.equal(before, new[name]):
            continue
        if name not in disk or disk[name].shape != before.shape or not _same(disk[name], before):
            raise ModelError(f"{printable(name)!r} was changed but is not in the safetensors files as it is in memory")
        fresh[name] = torch.where(before == new[name], disk[name], _cast(name, new[name], disk[name].dtype))
    return fresh


def _cast(name: str, value: Tensor, dtype: torch.dtype) -> Tensor:
    cast = value.to(dtype)
    if value.is_floating_point() and not torch.isfinite(cast).all() and torch.isfinite(value).all():
        raise ModelError(f"{printable(name)!r} no longer fits the file's {str(dtype).removeprefix('torch.')}")
    return cast


def _scatter(
    folder: Path, disk: dict[str, Tensor], moved: dict[str, tuple[Tensor, Tensor]], fresh: dict[str, Tensor]
) -> None:
    """Patch tensors that timm renames, cuts or joins while loading: every element is followed back to its place.

    The library loads a file whose elements are their own numbers, so it says itself where each one went.
    """
    config, offsets, total = configs.read_configs(folder), {}, 0
    for name, tensor in disk.items():
        offsets[name], total = total, total + tensor.numel()
    marks = []
    for low in (True, False):
        state = {}
        for name, tensor in disk.items():
            number = torch.arange(offsets[name], offsets[name] + tensor.numel())
            state[name] = (number % _BASE if low else number // _BASE).float().view(tensor.shape)
        marks.append(timm_net(config, state).state_dict())
    stored = torch.cat([tensor.reshape(-1).float() for tensor in disk.values()])
    sources: list[Tensor] = []
    values: list[Tensor] = []
    for name, (before, after) in moved.items():
        at = (marks[1][name].double() * _BASE + marks[0][name].double()).reshape(-1)
        live = (before != after).reshape(-1)
        place = at.round().long()
        known = (place >= 0) & (place < total) & (at == place)
        if not bool(known[live].all()) or not torch.equal(stored[place[live]], before.reshape(-1)[live].float()):
            raise ModelError(
                f"{printable(name)!r} was changed but is computed from the safetensors files, not stored there"
            )
        sources.append(place[live])
        values.append(after.reshape(-1)[live].float())
    place, value = torch.cat(sources), torch.cat(values)
    for name, tensor in disk.items():
        inside = (place >= offsets[name]) & (place < offsets[name] + tensor.numel())
        if inside.any():
            body = fresh.get(name, tensor).clone().reshape(-1)
            body[place[inside] - offsets[name]] = _cast(name, value[inside], tensor.dtype)
            fresh[name] = body.view(tensor.shape)
