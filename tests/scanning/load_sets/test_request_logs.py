"""Load sets are the request logs of the real loaders: what they fetch from a Hub is what ``load_set`` names."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import timm
import torch
import transformers
from safetensors.torch import save_file

from hubclean.scanning.engine import scan
from support.hub_server import HubServer
from support.tiny_models import make_repo

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")  # of the libraries

Files = dict[str, Any]
Load = Callable[[str], Any]

LEFT_OVER: Files = {
    "README.md": b"---\nlicense: mit\n---\n",
    "training_args.bin": b"\x80\x02}.",
    "tf_model.h5": b"\x89HDF\r\n\x1a\n" + bytes(20),
    "flax_model.msgpack": b"\x81\xa1a\x01",
    "onnx/model.onnx": b"\x08\x01",
    "generation_config.json": b"{}",
    "checkpoint-5/model.safetensors": b"not read",
    "runs/events.out.tfevents.1": b"\0",
}


def fetched(hub: HubServer, repo_id: str = "org/model") -> set[str]:
    """The files whose bodies the client took, by their paths: from the Hub, or large ones from its store."""
    found = set()
    for row in hub.asked("GET", f"/{repo_id}/resolve/", where="hub"):
        if row.status == 200:
            found.add(urlsplit(row.path).path.partition("/resolve/")[2].partition("/")[2])
    found |= {urlsplit(row.path).path.removeprefix("/lfs/").partition("/")[2] for row in hub.asked("GET", where="cdn")}
    return {unquote(path) for path in found}


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = make_repo(tmp_path_factory.mktemp("vit") / "vit", "hf-vit")
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture(scope="module")
def pickled(tmp_path_factory: pytest.TempPathFactory, vit: Files) -> bytes:
    folder = tmp_path_factory.mktemp("pickled")
    for name, body in vit.items():
        (folder / name).write_bytes(body)
    net = transformers.ViTForImageClassification.from_pretrained(folder)
    torch.save(net.state_dict(), folder / "pytorch_model.bin")
    return (folder / "pytorch_model.bin").read_bytes()


@pytest.fixture(scope="module")
def timm_repo(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = make_repo(tmp_path_factory.mktemp("timm") / "timm", "timm-resnet")
    state = timm.create_model("test_resnet", num_classes=10).state_dict()
    torch.save(state, folder / "pytorch_model.bin")
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def agree(hub: HubServer, files: Files, load: Load, monkeypatch: pytest.MonkeyPatch, **asked: Any) -> set[str]:
    """What the loader fetched, which is what the load set names; the scan of it is fine."""
    monkeypatch.setenv("DISABLE_SAFETENSORS_CONVERSION", "1")  # no bot is asked to convert what it finds
    hub.create("org/model", {**LEFT_OVER, **files})
    load("org/model")
    for thread in threading.enumerate():
        if thread.name == "Thread-auto_conversion":
            thread.join()
    seen = fetched(hub) - {"README.md"}
    hub.log.clear()
    report = scan("org/model", **asked)
    assert set(report.load_set.files) == seen, report.load_set
    assert report.load_set.loadable
    return seen


def classifier(repo_id: str, **options: Any) -> Any:
    return transformers.pipeline("image-classification", repo_id, **options)


def without(files: Files, *names: str) -> Files:
    return {name: body for name, body in files.items() if name not in names}


def test_transformers_takes_safetensors_before_pickles(
    hub: HubServer, vit: Files, pickled: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {**vit, "pytorch_model.bin": pickled}
    seen = agree(hub, files, classifier, monkeypatch)
    assert seen == {"config.json", "preprocessor_config.json", "model.safetensors"}


def test_transformers_takes_a_pickle_where_there_is_nothing_else(
    hub: HubServer, vit: Files, pickled: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {**without(vit, "model.safetensors"), "pytorch_model.bin": pickled}
    assert "pytorch_model.bin" in agree(hub, files, classifier, monkeypatch)


def test_transformers_takes_all_shards(
    hub: HubServer, tmp_path: Path, pickled: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_repo(tmp_path / "shards", "hf-vit", shard="20KB")
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    seen = agree(hub, {**files, "pytorch_model.bin": pickled}, classifier, monkeypatch)
    assert len([name for name in seen if name.endswith(".safetensors")]) == 3


def test_transformers_takes_all_shards_of_pickles(
    hub: HubServer, vit: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").mkdir()
    for name, body in vit.items():
        (tmp_path / "one" / name).write_bytes(body)
    state = transformers.ViTForImageClassification.from_pretrained(tmp_path / "one").state_dict()
    half, parts, where = len(state) // 2, {}, {}
    for number, names in enumerate((list(state)[:half], list(state)[half:]), 1):
        shard = f"pytorch_model-0000{number}-of-00002.bin"
        torch.save({name: state[name] for name in names}, tmp_path / shard)
        parts[shard] = (tmp_path / shard).read_bytes()
        where |= dict.fromkeys(names, shard)
    index = json.dumps({"metadata": {}, "weight_map": where}).encode()
    files = {**without(vit, "model.safetensors"), "pytorch_model.bin.index.json": index, **parts}
    assert agree(hub, files, classifier, monkeypatch) >= parts.keys()


@pytest.mark.parametrize("name", ["preprocessor_config.json", "processor_config.json"])
def test_transformers_takes_a_processor_by_its_old_and_its_new_name(
    hub: HubServer, vit: Files, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = vit["preprocessor_config.json"]
    if name == "processor_config.json":
        body = json.dumps({"image_processor": json.loads(body)}).encode()
    files = {**without(vit, "preprocessor_config.json"), name: body}
    assert name in agree(hub, files, classifier, monkeypatch)


def test_transformers_takes_a_variant(
    hub: HubServer, vit: Files, pickled: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {**vit, "model.fp16.safetensors": vit["model.safetensors"], "pytorch_model.bin": pickled}

    def load(repo_id: str) -> None:
        transformers.AutoModelForImageClassification.from_pretrained(repo_id, variant="fp16")
        transformers.AutoImageProcessor.from_pretrained(repo_id)

    seen = agree(hub, files, load, monkeypatch, variant="fp16")
    assert {name for name in seen if "safetensors" in name} == {"model.fp16.safetensors"}


def test_transformers_takes_a_subfolder(hub: HubServer, vit: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {f"sub/{name}": body for name, body in vit.items()} | {"config.json": vit["config.json"]}

    def load(repo_id: str) -> None:
        transformers.AutoModelForImageClassification.from_pretrained(repo_id, subfolder="sub")
        transformers.ViTImageProcessor.from_pretrained(repo_id, subfolder="sub")

    seen = agree(hub, files, load, monkeypatch, subfolder="sub")
    assert "sub/model.safetensors" in seen


def test_transformers_takes_the_weights_that_the_config_names(
    hub: HubServer, vit: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = json.loads(vit["config.json"]) | {"transformers_weights": "other.safetensors"}
    files = {**vit, "config.json": json.dumps(config).encode(), "other.safetensors": vit["model.safetensors"]}
    assert "other.safetensors" in agree(hub, files, classifier, monkeypatch)


def test_transformers_takes_the_files_of_a_clip(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.CLIPConfig(
        text_config={**text, "vocab_size": 6}, vision_config={**text, "image_size": 32, "patch_size": 8}
    )
    transformers.CLIPModel(config).save_pretrained(tmp_path)
    transformers.CLIPImageProcessor().save_pretrained(tmp_path)
    words = ["<|startoftext|>", "<|endoftext|>", "a", "b", "a</w>", "b</w>"]
    (tmp_path / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer.from_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    files = {place.name: place.read_bytes() for place in tmp_path.iterdir()}

    def load(repo_id: str) -> None:
        transformers.AutoModel.from_pretrained(repo_id)
        transformers.AutoProcessor.from_pretrained(repo_id)
        transformers.AutoTokenizer.from_pretrained(repo_id)

    assert {"tokenizer.json", "vocab.json", "merges.txt"} <= agree(hub, files, load, monkeypatch)


def test_timm_takes_safetensors_before_pickles(
    hub: HubServer, timm_repo: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = agree(hub, timm_repo, lambda name: timm.create_model(f"hf-hub:{name}", pretrained=True), monkeypatch)
    assert seen == {"config.json", "model.safetensors"}


def test_timm_takes_a_pickle_where_there_is_nothing_else(
    hub: HubServer, timm_repo: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = without(timm_repo, "model.safetensors")
    seen = agree(hub, files, lambda name: timm.create_model(f"hf-hub:{name}", pretrained=True), monkeypatch)
    assert seen == {"config.json", "pytorch_model.bin"}


def test_timm_takes_the_file_that_its_config_names(
    hub: HubServer, timm_repo: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = json.loads(timm_repo["config.json"])
    config["pretrained_cfg"]["hf_hub_filename"] = "best.bin"
    files = {**timm_repo, "config.json": json.dumps(config).encode(), "best.bin": timm_repo["pytorch_model.bin"]}
    seen = agree(hub, files, lambda name: timm.create_model(f"hf-hub:{name}", pretrained=True), monkeypatch)
    assert seen == {"config.json", "best.bin"}


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
def test_peft_takes_the_adapter_and_nothing_of_the_base(
    hub: HubServer, vit: Files, tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    peft = pytest.importorskip("peft", reason="peft is not installed here")
    for name, body in vit.items():
        (tmp_path / name).write_bytes(body)
    base = transformers.ViTForImageClassification.from_pretrained(tmp_path)
    base.name_or_path = "org/base"
    made = peft.get_peft_model(base, peft.LoraConfig(target_modules=r".*attention.*query|.*q_proj"))
    made.save_pretrained(tmp_path / "lora", safe_serialization=ending == "safetensors")
    files = {place.name: place.read_bytes() for place in (tmp_path / "lora").iterdir()}
    fresh = transformers.ViTForImageClassification.from_pretrained(tmp_path)
    seen = agree(hub, files, lambda name: peft.PeftModel.from_pretrained(fresh, name), monkeypatch)
    assert seen == {"adapter_config.json", f"adapter_model.{ending}"}


@pytest.mark.parametrize("safe", [True, False])
def test_open_clip_takes_its_own_names(
    hub: HubServer, tmp_path: Path, safe: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_clip = pytest.importorskip("open_clip", reason="open_clip is not installed here")
    config = {
        "embed_dim": 8,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
        "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    net = open_clip.CLIP(**config)
    save_file({name: row.contiguous() for name, row in net.state_dict().items()}, tmp_path / "w.safetensors")
    torch.save(net.state_dict(), tmp_path / "w.bin")
    whole = {"model_cfg": config, "preprocess_cfg": {"size": [32, 32]}}
    files = {
        "open_clip_config.json": json.dumps(whole).encode(),
        "open_clip_pytorch_model.bin": (tmp_path / "w.bin").read_bytes(),
    }
    if safe:
        files["open_clip_model.safetensors"] = (tmp_path / "w.safetensors").read_bytes()
    seen = agree(hub, files, lambda name: open_clip.create_model_and_transforms(f"hf-hub:{name}"), monkeypatch)
    assert seen == {
        "open_clip_config.json",
        "open_clip_model.safetensors" if safe else "open_clip_pytorch_model.bin",
    }
