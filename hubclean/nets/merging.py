"""An adapter (LoRA) merged onto its base: a folder with a whole checkpoint that the base's own library loads."""

from __future__ import annotations

import atexit
import json
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hubclean.errors import HubcleanError, ModelError, RefusedError, TargetError
from hubclean.escaping import printable
from hubclean.hub.repos import LocalRepo, Repo, sha256_of
from hubclean.hub.targets import open_target
from hubclean.nets import loading, lora, weight_files
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.construction import classifier, configs, processors, transformers_net
from hubclean.nets.construction.adapters import Adapter
from hubclean.nets.construction.bounds import bounded, in_time, offline, quiet, steady
from hubclean.records import FileHash, Merging
from hubclean.scanning.formats.torch_to_safetensors import main_pickle, parts, unpacked

CONFIG, WEIGHTS, PICKLED = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
_REPO_ID = re.compile(r"[A-Za-z0-9_][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}", re.ASCII)
_MAX_PARAMETERS = 3 * 10**10


def is_adapter(repo: Repo) -> bool:
    """Whether a repo holds an adapter and no model of its own.

    Raises:
        RefusedError: it holds both, and which of them a loader takes depends on whether ``peft`` is there.
    """
    names = {entry.path for entry in repo.files()}
    if not (CONFIG in names and names & {WEIGHTS, PICKLED}):
        return False
    if whole := sorted(names & weight_files.WHOLE):
        raise RefusedError(
            f"{repo.ref} holds a whole model ({whole[0]}) and an adapter beside it, and transformers loads the adapter "
            "where peft is installed and leaves it out elsewhere: merge them with --base, or remove adapter_config.json"
        )
    return True


def base_of(adapter: Repo, named: str | None = None) -> Repo:
    """The repo that an adapter changes: the one named, else the one on the Hub that its config names.

    Args:
        named: what ``open_target`` takes. A path in a stranger's config is never opened.

    Raises:
        TargetError: the config names none, or a path. HubcleanError: it cannot be opened.
    """
    if named:
        return open_target(named)
    config = configs.read_configs(adapter.fetch([CONFIG]), CONFIG, keep="base_model_name_or_path")
    said, revision = config.get("base_model_name_or_path"), config.get("revision")
    if not isinstance(said, str) or not _REPO_ID.fullmatch(said):
        shown = printable(said, 100) if isinstance(said, str) and said else "no base at all"
        raise TargetError(f"{adapter.ref} is an adapter of {shown!r}, no repo of a Hub: name its base by --base")
    return open_target(f"hf://{said}", revision if isinstance(revision, str) and revision else None)


def load_merged(adapter: Repo, base: Repo, rows: Iterable[Adapter] | None = None, scan: Any = None) -> Checkpoint:
    """Load an adapter merged onto its base, as ``loading.load_checkpoint`` loads a whole model.

    Args:
        scan: the static scan of the base, kept with the record.

    Raises:
        RefusedError: it is no LoRA, or one whose merging is not known here.
        ModelError: adapter and base do not belong together, or are no classifier; names what does not fit.
    """
    folder, merging = merged_folder(adapter, base)
    checkpoint = loading.load_checkpoint(LocalRepo(folder), adapters=rows)
    return replace(checkpoint, origin=adapter.ref, merging=replace(merging, scan=scan))


def merged_folder(adapter: Repo, base: Repo, weights: bool = True) -> tuple[Path, Merging]:
    """A temporary folder, removed when Python ends, with the merged checkpoint; without ``weights`` only its configs.

    Raises:
        RefusedError, ModelError: as ``load_merged``.
    """
    names = {entry.path for entry in adapter.files()}
    held, files = _adapter_files(adapter, names)
    config = configs.read_configs(held, CONFIG)
    read = lora.read_lora(config, load_file(held / WEIGHTS))
    below = {entry.path for entry in base.files()}
    if "config.json" not in below:
        raise ModelError(f"the base {base.ref} has no config.json, so how to build the model is unknown")
    carried = [name for name in below if weight_files.is_carried(name)]
    source = base.fetch(carried)
    place = Path(tempfile.mkdtemp(prefix="hubclean-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    _texts(adapter, names, source, place)
    said = _config_of(source, held if "config.json" in names else None, read)
    (place / "config.json").write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    merging = Merging(base.ref, read.kind, len(read.changes), tuple(sorted(read.saved)), ())
    if not weights:
        return place, merging
    source, shards = _base_files(base, carried, below)
    net = _filled(source, shards, said, read)
    merging = replace(merging, changed=lora.merge(net, read, places(net)))
    _write(net, said, place)
    rows = [FileHash(f"adapter/{row.path}", row.size, row.sha256) for row in files]
    rows += [
        FileHash(f"base/{name}", (source / name).stat().st_size, sha256_of(source / name))
        for name in sorted({"config.json", *shards})
    ]
    return place, replace(merging, inputs=tuple(rows))


def _adapter_files(adapter: Repo, names: set[str]) -> tuple[Path, list[FileHash]]:
    """A folder with the adapter's config and its tensors in safetensors, and what they were read from."""
    stored = WEIGHTS if WEIGHTS in names else PICKLED if PICKLED in names else ""
    if not stored:
        raise ModelError(f"the adapter has neither {WEIGHTS} nor {PICKLED}")
    small = [name for name in (CONFIG, "config.json") if name in names]
    folder = adapter.fetch([*small, stored])
    rows = [FileHash(name, (folder / name).stat().st_size, sha256_of(folder / name)) for name in (CONFIG, stored)]
    if stored == PICKLED:
        folder, _ = unpacked(folder, (PICKLED,), small)
        (folder / "model.safetensors").rename(folder / WEIGHTS)
    return folder, rows


def _base_files(base: Repo, carried: list[str], below: set[str]) -> tuple[Path, tuple[str, ...]]:
    """The base with its weights, and the names of their files; pickled ones are converted, never unpickled."""
    if pickled := main_pickle(below):
        files = parts(base.fetch([pickled]), pickled)
        folder, _ = unpacked(base.fetch([*carried, *files]), files, carried)
        return folder, weight_files.with_shards(folder, weight_files.main_file(p.name for p in folder.iterdir()))
    main = weight_files.main_file(below)
    files = weight_files.with_shards(base.fetch([*carried, main]), main)
    return base.fetch([*carried, *files]), files


def _texts(adapter: Repo, names: set[str], source: Path, place: Path) -> None:
    """Processor, card and licence: the adapter's own, else the base's."""
    own = [name for name in names if name in (processors.PROCESSOR, "README.md") or name.lower().startswith("licen")]
    for file in source.iterdir():
        if file.is_file() and weight_files.is_carried(file.name) and file.name != "config.json":
            shutil.copyfile(file, place / file.name)
    if own:
        folder = adapter.fetch(own)
        for name in own:
            if "/" not in name:
                shutil.copyfile(folder / name, place / name)


def _config_of(source: Path, own: Path | None, read: lora.Lora) -> dict[str, Any]:
    """The base's config with as many labels as the adapter's head has, and their names where the adapter has them."""
    config = configs.read_configs(source)
    if classifier.is_timm(config):
        config.setdefault("model_args", {})
    else:
        config = _with_class(config)
    net = _meta(source, config)
    labels = _labels_of(net, read)
    if labels is None:
        return config
    named = _label_names(own, labels)
    if classifier.is_timm(config) or classifier.wraps_timm(config):
        inner = {**config.get("pretrained_cfg", {}), "num_classes": labels}
        config |= {"num_classes": labels, **({"pretrained_cfg": inner} if "pretrained_cfg" in config else {})}
        config["label_names"] = named or [f"label {index}" for index in range(labels)]
        (config.get("model_args") or {}).pop("num_classes", None)
        return config
    if named is None and len(config.get("id2label") or {}) == labels:
        return config
    names = named or [f"LABEL_{index}" for index in range(labels)]
    config.pop("num_labels", None)
    id2label = {str(index): name for index, name in enumerate(names)}
    return {**config, "id2label": id2label, "label2id": {name: index for index, name in enumerate(names)}}


def _with_class(config: dict[str, Any]) -> dict[str, Any]:
    """The config of a base without a classifier, as ``AutoModelForImageClassification`` would take it."""
    try:
        transformers_net.model_class(config)
        return config
    except ModelError:
        rest = {key: value for key, value in config.items() if key != "architectures"}
        return {**rest, "architectures": [transformers_net.model_class(rest).__name__]}


def _meta(source: Path, config: dict[str, Any]) -> nn.Module:
    with tempfile.TemporaryDirectory(prefix="hubclean-") as room:
        (Path(room) / "config.json").write_text(json.dumps(config))
        return classifier.bare_net(Path(room))


def _labels_of(net: nn.Module, read: lora.Lora) -> int | None:
    """How many labels the head has that the adapter brings; ``None`` where it keeps the base's."""
    state, found = net.state_dict(), places(net)
    for name, tensor in read.saved.items():
        known = state.get(found.get(name, ""))
        if known is not None and tensor.ndim in (2, 4) and tensor.shape[1:] == known.shape[1:]:
            return int(tensor.shape[0])
    return None


def _label_names(own: Path | None, count: int) -> list[str] | None:
    if own is None:
        return None
    try:
        said = configs.read_configs(own).get("id2label")
    except HubcleanError:
        return None
    names = [said.get(str(index)) for index in range(count)] if isinstance(said, dict) and len(said) == count else []
    return [str(name) for name in names] if names and None not in names else None


def places(net: nn.Module) -> dict[str, str]:
    """The names by which an adapter may know the tensors of a net, to those in memory.

    Adapters made before transformers 5 use the names that are on disk still, those made since the names in memory.
    """
    state: Mapping[str, Tensor] = net.state_dict()
    found = {}
    if hasattr(net, "base_model_prefix"):
        from transformers.core_model_loading import revert_weight_conversion

        memory = {id(tensor): name for name, tensor in state.items()}
        disk = revert_weight_conversion(net, dict(state))
        found = {name: memory[id(tensor)] for name, tensor in disk.items() if id(tensor) in memory}
    return found | {name: name for name in state}


def _filled(source: Path, shards: tuple[str, ...], config: dict[str, Any], read: lora.Lora) -> nn.Module:
    """The base with its weights in float32 and the head as large as the adapter's, which then takes its place."""
    saved = frozenset(name.rpartition(".")[0] for name in read.saved)
    loading.enough(source, shards, classifier.count_parameters(_meta(source, config)))
    try:
        with bounded(_MAX_PARAMETERS), in_time(False), offline(), steady():
            if classifier.is_timm(config):
                return _timm(source, shards, config)
            cls = transformers_net.model_class(config)
            memory = {places_of.rpartition(".")[0] for places_of in _memory_names(cls, source, config, read)}
            return transformers_net.filled(cls, config, source, shards, saved | frozenset(memory))[0]
    except HubcleanError:
        raise
    except Exception as error:
        raise ModelError(f"the base cannot be filled with its weights: {printable(str(error), 400)}") from error


def _memory_names(cls: Any, source: Path, config: dict[str, Any], read: lora.Lora) -> list[str]:
    known = places(_meta(source, config))
    return [known[name] for name in read.saved if name in known]


def _timm(source: Path, shards: tuple[str, ...], config: dict[str, Any]) -> nn.Module:
    """timm itself leaves out a head of another size (``pretrained_cfg`` says how many classes the weights have)."""
    import timm

    original = configs.read_configs(source)
    name, pretrained, args, _ = configs.timm_parts(original)
    if not timm.is_model(name):
        raise RefusedError(f"timm has no architecture {printable(name)!r}")
    state = classifier.read_weights(source, shards)
    head = {key: value for key, value in timm.get_pretrained_cfg(name).to_dict().items() if key == "classifier"}
    cfg = {**head, **pretrained, "state_dict": state}
    count = config.get("num_classes", pretrained.get("num_classes"))
    net: nn.Module = timm.create_model(name, pretrained=True, pretrained_cfg=cfg, **{**args, "num_classes": count})
    return net


def _write(net: nn.Module, config: dict[str, Any], place: Path) -> None:
    if classifier.is_timm(config):
        save_file({key: tensor.contiguous() for key, tensor in net.state_dict().items()}, place / "model.safetensors")
        return
    with quiet():
        net.save_pretrained(place)  # type: ignore[operator]
    written = json.loads((place / "config.json").read_text(encoding="utf-8"))
    (place / "config.json").write_text(json.dumps({**written, **config}, indent=2) + "\n", encoding="utf-8")
