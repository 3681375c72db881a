"""A guard around the loaders of timm and transformers: safe models load, of unsafe ones no weight is fetched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import transformers
from huggingface_hub import constants, snapshot_download
from timm.models import load_model_config_from_hf, load_state_dict_from_hf

import hubclean
from hubclean.errors import IntegrityError, UnsafeRepoError
from support.hub_server import HubServer
from support.tiny_models import make_repo

CODE = b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00id\x85R."


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Path]]:
    kinds = ("timm-resnet", "hf-vit")
    folders = {kind: make_repo(tmp_path_factory.mktemp("made") / kind, kind) for kind in kinds}
    return {kind: {file.name: file for file in folder.iterdir()} for kind, folder in folders.items()}


def fetched(hub: HubServer) -> list[str]:
    """Downloads begun by the client (always by a HEAD), and weights sent whole: a scan asks for ranges."""
    whole = [row for row in hub.asked("GET", "model.safetensors", where="cdn") if row.range is None]
    return [row.path for row in [*hub.asked("HEAD"), *whole]]


def timm_model(repo_id: str, **options: Any) -> Any:
    return timm.create_model(f"hf-hub:{repo_id}", pretrained=True, **options)


def hf_model(repo_id: str, **options: Any) -> Any:
    return transformers.AutoModelForImageClassification.from_pretrained(repo_id, **options)


WAYS: dict[str, tuple[str, Any]] = {
    "timm create_model": ("timm-resnet", timm_model),
    "timm config": ("timm-resnet", load_model_config_from_hf),
    "timm weights": ("timm-resnet", load_state_dict_from_hf),
    "transformers config": ("hf-vit", transformers.AutoConfig.from_pretrained),
    "transformers model": ("hf-vit", hf_model),
    "transformers class": ("hf-vit", transformers.ViTForImageClassification.from_pretrained),
    "transformers processor": ("hf-vit", transformers.AutoImageProcessor.from_pretrained),
    "transformers pipeline": ("hf-vit", lambda repo_id: transformers.pipeline("image-classification", repo_id)),
}


@pytest.mark.parametrize("way", WAYS)
def test_safe_repos_load(hub: HubServer, made: dict[str, dict[str, Path]], way: str) -> None:
    kind, load = WAYS[way]
    hub.create("org/model", made[kind])
    with hubclean.guard() as guard:
        assert load("org/model") is not None
    assert [row.exit_code for row in guard.reports] == [0]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cached", [False, True])
def test_of_unsafe_repos_nothing_is_fetched_or_taken_from_the_cache(
    hub: HubServer, made: dict[str, dict[str, Path]], way: str, cached: bool
) -> None:
    kind, load = WAYS[way]
    hub.create("org/model", {**made[kind], "pytorch_model.bin": CODE})
    if cached:
        snapshot_download("org/model")
    hub.log.clear()
    with hubclean.guard(), pytest.raises(UnsafeRepoError, match="HC-PKL-001"):
        load("org/model")
    assert fetched(hub) == []
    assert load("org/model") is not None  # off again; the safetensors were never bad
    assert cached or fetched(hub) != []


def test_a_model_is_the_same_with_a_guard_and_without(hub: HubServer, made: dict[str, dict[str, Path]]) -> None:
    hub.create("org/timm", made["timm-resnet"])
    hub.create("org/hf", made["hf-vit"])
    with hubclean.guard():
        guarded = [timm_model("org/timm"), hf_model("org/hf")]
    for net, free in zip(guarded, [timm_model("org/timm"), hf_model("org/hf")], strict=True):
        assert all(
            torch.equal(a, b) for a, b in zip(net.state_dict().values(), free.state_dict().values(), strict=True)
        )


def test_config_and_weights_come_from_one_commit(
    hub: HubServer, made: dict[str, dict[str, Path]], fresh_cache: Path
) -> None:
    sha = hub.create("org/model", made["hf-vit"])
    config = json.loads(made["hf-vit"]["config.json"].read_text()) | {"auto_map": {"AutoModel": "org/other--m.N"}}
    moved = {"config.json": json.dumps(config), "pytorch_model.bin": CODE}
    with hubclean.guard(on_report=lambda _: hub.commit("org/model", moved)):
        assert transformers.ViTForImageClassification.from_pretrained("org/model")
    assert [place.name for place in fresh_cache.glob("models--org--model/snapshots/*")] == [sha]
    with hubclean.guard(), pytest.raises(UnsafeRepoError):
        transformers.ViTForImageClassification.from_pretrained("org/model")


@pytest.mark.parametrize("kind", ["timm-resnet", "hf-vit"])
def test_a_pinned_commit_and_a_sharded_model_load(hub: HubServer, tmp_path: Path, kind: str) -> None:
    shard = "20KB" if kind == "hf-vit" else None
    folder = make_repo(tmp_path / "made", kind, shard=shard)
    sha = hub.create("org/model", {file.name: file for file in folder.iterdir()})
    hub.commit("org/model", {"pytorch_model.bin": CODE})
    with hubclean.guard() as guard:
        for _ in range(2):  # from the Hub, then from the cache
            if shard:
                hf_model("org/model", revision=sha)
            else:
                timm_model(f"org/model@{sha}")
        with pytest.raises(UnsafeRepoError):
            (hf_model if shard else timm_model)("org/model")
    assert {row.origin.revision for row in guard.reports} == {sha, hub.newest_commit()}


@pytest.mark.parametrize("load", [hf_model, transformers.AutoConfig.from_pretrained, timm_model])
def test_no_library_hides_what_a_guard_says(hub: HubServer, made: dict[str, dict[str, Path]], load: Any) -> None:
    hub.create("org/model", made["timm-resnet" if load is timm_model else "hf-vit"])
    with hubclean.guard(on_report=lambda _: hub.fault("flip", path="*")), pytest.raises(IntegrityError, match="hash"):
        load("org/model")


def test_offline_the_cache_is_scanned(
    hub: HubServer, made: dict[str, dict[str, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, more in (("safe", {}), ("bad", {"pytorch_model.bin": CODE})):
        hub.create(f"org/{name}", {**made["hf-vit"], **more})
        snapshot_download(f"org/{name}")
    hub.log.clear()
    with hubclean.guard():
        assert hf_model("org/safe", local_files_only=True)
        with pytest.raises(UnsafeRepoError):
            hf_model("org/bad", local_files_only=True)
    assert hub.asked(contains="org/bad") == []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with hubclean.guard():
        assert hf_model("org/safe")
        with pytest.raises(UnsafeRepoError):
            hf_model("org/bad")
