"""Loading from safetensors alone, and writing back nothing but the weights that changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hubclean.errors import FormatError, ModelError, RefusedError
from hubclean.hub.repos import LocalRepo, RepoEntry, sha256_of
from hubclean.nets import loading
from hubclean.nets.cut import features
from hubclean.records import RepoRef
from support.edited import dead, header, into, load, pixels, pruned, shaken
from support.tiny_models import KINDS, make_repo


@pytest.mark.parametrize("kind", KINDS)
def test_a_pruned_model_reloads_plainly_with_the_logits_of_the_hook(kind: str, tmp_path: Path) -> None:
    original = load(make_repo(tmp_path / "repo", kind))
    out, edited, images = into(tmp_path), pruned(original), pixels(original)
    assert loading.same_logits(original, tmp_path / "repo", images) < 1e-6
    names = loading.write_checkpoint(original, edited, out)
    with features.hooked_off(original.model.net, original.site, dead(original)):
        by_hook = original.model(images)
    mean, std = (torch.tensor(value).view(1, -1, 1, 1) for value in (original.facts.mean, original.facts.std))
    plain = loading.reload_plain(out)((images - mean) / std)
    torch.testing.assert_close(plain, by_hook, rtol=1e-5, atol=1e-5)
    assert (plain - original.model(images)).abs().max() > 1e-4
    assert len(names) == len(original.site.heads)
    before, after = load_file(tmp_path / "repo/model.safetensors"), load_file(out / "model.safetensors")
    assert sorted(n for n in before if before[n].numpy().tobytes() != after[n].numpy().tobytes()) == list(names)
    assert header(out / "model.safetensors") == header(tmp_path / "repo/model.safetensors")


@pytest.mark.parametrize("kind", KINDS)
def test_every_tensor_can_be_written_back(kind: str, tmp_path: Path) -> None:
    original = load(make_repo(tmp_path / "repo", kind))
    edited, out = shaken(original), into(tmp_path)
    names = loading.write_checkpoint(original, edited, out)
    assert loading.same_logits(edited, out, pixels(original)) < 1e-6
    assert set(names) == {k for k, v in load_file(out / "model.safetensors").items() if v.is_floating_point()}


@pytest.mark.parametrize("kind", ["timm-resnet", "hf-resnet"])
def test_missing_and_misshapen_tensors_are_named(kind: str, tmp_path: Path) -> None:
    repo = make_repo(tmp_path, kind)
    state = load_file(repo / "model.safetensors")
    name = next(n for n in state if n.endswith(("fc.weight", "classifier.1.weight")))
    save_file({n: t for n, t in state.items() if n != name}, repo / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=name):
        load(repo)
    save_file(state | {name: torch.zeros(10, 3)}, repo / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=name):
        load(repo)
    save_file(state | {name: state[name] * float("nan")}, repo / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"NaN or infinity in .*weight"):
        load(repo)


def test_what_is_no_plain_checkpoint_is_never_read(tmp_path: Path) -> None:
    repo = make_repo(tmp_path, "timm-resnet")
    (repo / "model.safetensors").rename(repo / "pytorch_model.bin")
    with pytest.raises(FormatError, match=r"pytorch_model\.bin' cannot be read: .* but safetensors"):
        load(repo)
    (repo / "pytorch_model.bin").rename(repo / "model.h5")
    with pytest.raises(RefusedError, match=r"model\.h5"):
        load(repo)
    (repo / "model.h5").rename(repo / "pytorch_model.bin")
    (repo / "pytorch_model.bin").unlink()
    with pytest.raises(ModelError, match="no weights"):
        load(repo)
    shutil.rmtree(repo)
    repo.mkdir()
    with pytest.raises(ModelError, match=r"no config\.json"):
        load(repo)


class Spy(LocalRepo):
    """Remembers what was fetched, and copies it away from everything else."""

    def __init__(self, place: Path, cache: Path) -> None:
        super().__init__(place)
        self.cache, self.fetched = cache, []
        self.ref = RepoRef("org/model", "0" * 40, "hub")

    def files(self) -> tuple[RepoEntry, ...]:
        return super().files()

    def fetch(self, paths: object, into: Path | None = None) -> Path:
        self.fetched.append(sorted(paths))  # type: ignore[call-overload]
        return super().fetch(paths, self.cache)  # type: ignore[arg-type]


def test_only_what_is_needed_is_fetched_and_weights_last(tmp_path: Path) -> None:
    place = make_repo(tmp_path / "repo", "hf-vit")
    for name in ("pytorch_model.bin", "modeling.py", "other.safetensors", "notes.txt"):
        (place / name).write_bytes(b"x")
    small = ["LICENSE", "README.md", "config.json", "preprocessor_config.json"]
    repo = Spy(place, into(tmp_path, "cache"))
    checkpoint = loading.load_checkpoint(repo)
    assert repo.fetched == [small, sorted([*small, "model.safetensors"])]
    assert checkpoint.folder == repo.cache
    assert str(checkpoint.origin) == "org/model@" + "0" * 40
    outline = Spy(place, into(tmp_path, "outline"))
    assert loading.load_checkpoint(outline, fetch=False).site == checkpoint.site
    assert outline.fetched == [small]


def test_a_loaded_model_is_frozen_in_eval_mode_and_float32(tmp_path: Path) -> None:
    checkpoint = load(make_repo(tmp_path, "hf-convnext", dtype=torch.bfloat16))
    assert not checkpoint.model.training
    assert not any(m.training for m in checkpoint.model.modules())
    assert all(p.dtype == torch.float32 and not p.requires_grad for p in checkpoint.model.parameters())
    assert checkpoint.facts.parameters == sum(p.numel() for p in checkpoint.model.parameters())
    assert checkpoint.labels == tuple(f"thing {index}" for index in range(10))


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.norm(self.conv(images)).relu().mean((2, 3)))


WRAP = {"mean": (0.5,), "std": (0.25,), "input_size": (1, 12, 12), "labels": ("a", "b", "c", "d"), "name": "mine"}


def test_a_file_without_counts_of_batches_is_taken_as_torch_takes_it(tmp_path: Path) -> None:
    net, folder = Small(), into(tmp_path, "mine")
    held = {name: tensor for name, tensor in net.state_dict().items() if not name.endswith("num_batches_tracked")}
    save_file(held, folder / "weights.safetensors")
    checkpoint = loading.wrap(net, folder=folder, **WRAP)  # type: ignore[arg-type]
    edited, out = pruned(checkpoint), into(tmp_path)
    edited.model.net.norm.num_batches_tracked += 7  # type: ignore[union-attr, operator]
    assert loading.write_checkpoint(checkpoint, edited, out) == ("fc.weight",)
    assert loading.same_logits(edited, out, pixels(checkpoint)) < 1e-6
    del held["conv.bias"]
    save_file(held, folder / "weights.safetensors")
    with pytest.raises(ModelError, match="do not hold"):
        loading.wrap(net, folder=folder, **WRAP)  # type: ignore[arg-type]


def test_a_net_of_ones_own_is_wrapped_and_written_back(tmp_path: Path) -> None:
    net, folder = Small(), into(tmp_path, "mine")
    save_file(net.state_dict(), folder / "weights.safetensors")
    checkpoint = loading.wrap(net, folder=folder, **WRAP)  # type: ignore[arg-type]
    assert net.training
    assert all(p.requires_grad for p in net.parameters())
    images = pixels(checkpoint)
    torch.testing.assert_close(checkpoint.model(images), net.eval()((images - 0.5) / 0.25))
    out, edited = into(tmp_path), pruned(checkpoint)
    assert loading.write_checkpoint(checkpoint, edited, out) == ("fc.weight",)
    assert loading.same_logits(edited, out, images) < 1e-6
    with pytest.raises(ModelError, match="do not hold"):
        loading.wrap(Small(), folder=folder, **WRAP)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="built in memory"):
        loading.write_checkpoint(loading.wrap(net, **WRAP), edited, out)  # type: ignore[arg-type]


def test_nothing_is_written_when_a_change_has_no_place(tmp_path: Path) -> None:
    net, folder, out = Small(), into(tmp_path, "mine"), into(tmp_path)
    save_file(net.state_dict(), folder / "model.safetensors")
    checkpoint = loading.wrap(net, folder=folder, **WRAP)  # type: ignore[arg-type]
    state = load_file(folder / "model.safetensors")
    save_file({n: t for n, t in state.items() if n != "fc.weight"}, folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"fc\.weight"):
        loading.write_checkpoint(checkpoint, pruned(checkpoint), out)
    save_file({n: t.half() if t.is_floating_point() else t for n, t in state.items()}, folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"fc\.weight"):
        loading.write_checkpoint(checkpoint, pruned(checkpoint), out)
    assert list(out.iterdir()) == []


def test_the_real_efficientnet_lite0(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "models" / "imagenet_tf_efficientnet_lite0"
    checkpoint = load(folder)
    assert (checkpoint.site.feature, checkpoint.site.between, checkpoint.site.channels) == ("bn2", "pool", 1280)
    assert checkpoint.facts.mean == checkpoint.facts.std == (0.5, 0.5, 0.5)
    assert len(checkpoint.labels) == 1000
    assert checkpoint.facts.input_size == (3, 224, 224)
    assert features.verify_site(checkpoint.model, checkpoint.site, pixels(checkpoint)) < 1e-5
    assert loading.write_checkpoint(checkpoint, checkpoint.copy(), tmp_path) == ()
    assert sha256_of(tmp_path / "model.safetensors") == sha256_of(folder / "model.safetensors")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_files_are_compared_in_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    original = load(make_repo(tmp_path / "repo", "hf-resnet", dtype=dtype))
    assert loading.same_logits(original, tmp_path / "repo", pixels(original)) < 1e-6


def test_a_small_file_is_not_loaded_into_a_huge_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = make_repo(tmp_path, "timm-resnet")
    config = json.loads((repo / "config.json").read_text())
    config["model_args"] = {"layers": [4, 4, 8, 4], "channels": [1024, 2048, 4096, 4096]}
    (repo / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(loading.classifier, "read_weights", lambda *_: pytest.fail("memory was taken"))
    with pytest.raises(ModelError, match=r"describes 4,336,792,890 parameters, the weights hold only"):
        load(repo)
