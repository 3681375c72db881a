"""Weights on disk: dtypes, shards and renamed tensors survive a write bit by bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from hubclean.errors import ModelError
from hubclean.hub.repos import sha256_of
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from support.edited import dead, header, into, load, pixels, pruned, shaken
from support.tiny_models import make_repo


@pytest.mark.parametrize("kind", ["timm-vit", "hf-vit"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_files_keep_their_dtype_and_their_bits(kind: str, dtype: torch.dtype, tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", kind, dtype=dtype)
    original = load(repo)
    assert {p.dtype for p in original.model.parameters()} == {torch.float32}
    out, edited = into(tmp_path), pruned(original)
    with torch.no_grad():
        edited.model.net.get_parameter(original.site.heads[0].weight)[0, 0] = 1 + 2**-20  # rounds to 1 on disk
    names = loading.write_checkpoint(original, edited, out)
    before, after = load_file(repo / "model.safetensors"), load_file(out / "model.safetensors")
    assert header(repo / "model.safetensors") == header(out / "model.safetensors")
    assert len(names) == 1
    assert after[names[0]].dtype == dtype
    assert int((before[names[0]] != after[names[0]]).sum()) <= 2 * 10 + 1
    rounded = loading.as_written(original, edited)
    head = original.site.heads[0].weight
    assert float(rounded.model.net.get_parameter(head)[0, 0]) == 1.0
    assert float(edited.model.net.get_parameter(head)[0, 0]) != 1.0
    again = load(out)
    assert all(torch.equal(t, again.model.state_dict()[n]) for n, t in rounded.model.state_dict().items())


def test_as_written_is_the_checkpoint_itself_for_float32(tmp_path: Path) -> None:
    original = load(make_repo(tmp_path, "timm-vit"))
    edited = pruned(original)
    assert loading.as_written(original, edited) is edited


@pytest.mark.parametrize("kind", ["timm-resnet", "hf-vit", "hf-resnet"])
def test_writing_an_unchanged_model_gives_the_same_bytes(kind: str, tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", kind)
    for name in ("pytorch_model.bin", "modeling_x.py", "model.fp16.safetensors", "adapter_config.json", "data.bin"):
        (repo / name).write_bytes(b"{}")
    (repo / "pytorch_model.bin.index.json").write_text("{}")
    original, out = load(repo), into(tmp_path)
    assert loading.write_checkpoint(original, original.copy(), out) == ()
    written = {file.name for file in out.iterdir()}
    processor = {"preprocessor_config.json"} if kind.startswith("hf") else set()
    assert written == {"model.safetensors", "config.json", "LICENSE"} | processor
    assert all(sha256_of(out / name) == sha256_of(repo / name) for name in written)
    assert {row.path for row in loading.input_hashes(original)} == written | {"README.md"}
    assert {row.sha256 for row in loading.input_hashes(original)} == {
        sha256_of(repo / n) for n in written | {"README.md"}
    }


def test_shards_stay_shards(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", "hf-vit", shard="20KB")
    shards = sorted(file.name for file in repo.glob("*.safetensors"))
    assert len(shards) > 1
    original, out = load(repo), into(tmp_path)
    names = loading.write_checkpoint(original, pruned(original), out)
    index = json.loads((repo / "model.safetensors.index.json").read_text())["weight_map"]
    changed = {name for name in shards if sha256_of(repo / name) != sha256_of(out / name)}
    assert sorted(file.name for file in out.glob("*.safetensors")) == shards
    assert changed == {index[name] for name in names}
    assert (out / "model.safetensors.index.json").read_bytes() == (repo / "model.safetensors.index.json").read_bytes()
    assert loading.same_logits(pruned(original), out, pixels(original)) < 1e-6


def test_an_index_or_link_cannot_lead_outside(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", "hf-vit", shard="20KB")
    index = json.loads((repo / "model.safetensors.index.json").read_text())
    index["weight_map"][next(iter(index["weight_map"]))] = "../outside.safetensors"
    (repo / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match="outside the repo"):
        load(repo)
    index["weight_map"][next(iter(index["weight_map"]))] = "gone.safetensors"
    (repo / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match="lacks the shard"):
        load(repo)


def facebook_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """ConvNeXt as its authors named it; timm renames it while loading."""
    renamed = {}
    for name, tensor in state.items():
        for ours, theirs in (
            ("stem.", "downsample_layers.0."),
            ("conv_dw", "dwconv"),
            ("mlp.fc", "pwconv"),
            (".blocks.", "."),
            ("head.norm.", "norm."),
            ("head.fc.", "head."),
        ):
            name = name.replace(ours, theirs)
        if ".downsample." in name:
            name = "downsample_layers." + name.removeprefix("stages.").replace(".downsample.", ".")
        renamed[name] = tensor
    return renamed


def test_names_that_timm_renames_are_followed_back(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", "timm-convnext")
    save_file(facebook_names(load_file(repo / "model.safetensors")), repo / "model.safetensors", {"by": "them"})
    original, out = load(repo), into(tmp_path)
    assert loading.write_checkpoint(original, pruned(original), out) == ("head.weight",)
    assert loading.same_logits(pruned(original), out, pixels(original)) < 1e-6
    with safe_open(out / "model.safetensors", "pt") as file:
        assert file.metadata() == {"by": "them"}
    all_of_it = into(tmp_path, "all")
    assert len(loading.write_checkpoint(original, shaken(original), all_of_it)) == len(
        load_file(repo / "model.safetensors")
    )
    assert loading.same_logits(shaken(original), all_of_it, pixels(original)) < 1e-6


def test_a_background_class_that_timm_drops_stays_in_the_file(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", "timm-resnet")
    state = load_file(repo / "model.safetensors")
    state["fc.weight"] = torch.cat([torch.full((1, 96), 7.0), state["fc.weight"]])
    state["fc.bias"] = torch.cat([torch.full((1,), 7.0), state["fc.bias"]])
    save_file(state, repo / "model.safetensors")
    config = json.loads((repo / "config.json").read_text())
    config["pretrained_cfg"]["label_offset"] = 1
    (repo / "config.json").write_text(json.dumps(config))
    original, out = load(repo), into(tmp_path)
    assert loading.write_checkpoint(original, pruned(original), out) == ("fc.weight",)
    after = load_file(out / "model.safetensors")["fc.weight"]
    assert bool((after[0] == 7).all())
    assert bool((after[1:, dead(original)] == 0).all())
    assert loading.same_logits(pruned(original), out, pixels(original)) < 1e-6


def load_into(checkpoint: Checkpoint, value: float) -> Checkpoint:
    edited = checkpoint.copy()
    with torch.no_grad():
        edited.model.net.get_parameter("fc.weight")[0, 0] = value
    return edited


def test_a_value_too_large_for_the_files_dtype_is_refused(tmp_path: Path) -> None:
    original = load(make_repo(tmp_path / "repo", "timm-resnet", dtype=torch.float16))
    with pytest.raises(ModelError, match="no longer fits the file's float16"):
        loading.write_checkpoint(original, load_into(original, 1e6), into(tmp_path))
