"""LoRA adapters merged onto their base, against the sum that LoRA is, and against peft where it is installed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import transformers
from click.testing import CliRunner
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hubclean.cli.main import main
from hubclean.errors import HubcleanError, RefusedError
from hubclean.hub.repos import LocalRepo
from hubclean.nets import loading, merging
from support.hub_server import HubServer
from support.tiny_models import make_repo

Adapter = tuple[dict[str, Tensor], dict[str, Any]]
AUTO = transformers.AutoModelForImageClassification
IMAGES = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
BEFORE = "base_model.model."
# Before transformers 5 the same parts had other names; adapters of that time are found by them.
OLD = {"vit.layers": "vit.encoder.layer", "attention.q_proj": "attention.attention.query",
       "attention.v_proj": "attention.attention.value", "mlp.fc1": "intermediate.dense"}  # fmt: skip


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_repo(tmp_path_factory.mktemp("vit") / "base", "hf-vit")


def low_rank(net: nn.Module, ends: tuple[str, ...], rank: int = 4, seed: int = 5) -> dict[str, Tensor]:
    """``lora_A`` and ``lora_B`` for the modules of ``net`` with these ends."""
    draw = torch.Generator().manual_seed(seed)
    found = {}
    for name, module in net.named_modules():
        if name.endswith(ends):
            rows, columns, *window = module.weight.shape  # type: ignore[union-attr, misc, operator]
            found[f"{BEFORE}{name}.lora_A.weight"] = torch.randn(rank, columns, *window, generator=draw) * 0.2
            found[f"{BEFORE}{name}.lora_B.weight"] = torch.randn(rows, rank, *[1] * len(window), generator=draw) * 0.2
    assert found
    return found


def written(folder: Path, state: dict[str, Tensor], base: str = "org/base", **config: Any) -> Path:
    folder.mkdir()
    save_file(state, folder / "adapter_model.safetensors")
    said = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "base_model_name_or_path": base, **config}
    (folder / "adapter_config.json").write_text(json.dumps(said))
    return folder


def unmerged(net: nn.Module, state: dict[str, Tensor], scale: Callable[[str, int], float], images: Tensor) -> Tensor:
    """Logits with the low-rank branch beside every layer, as LoRA defines it; nothing is merged."""
    hooks = []
    for key in [key for key in state if ".lora_A." in key]:
        name = key.removeprefix(BEFORE).partition(".lora_A.")[0]
        down, up = state[key], state[key.replace("lora_A", "lora_B")]

        def add(module: nn.Module, inputs: Any, out: Tensor, d: Tensor = down, u: Tensor = up, n: str = name) -> Tensor:
            if d.ndim == 2:
                return out + scale(n, d.shape[0]) * (inputs[0] @ d.T @ u.T)
            low = nn.functional.conv2d(inputs[0], d, stride=module.stride, padding=module.padding)  # type: ignore[arg-type]
            return out + scale(n, d.shape[0]) * nn.functional.conv2d(low, u)

        hooks.append(net.get_submodule(name).register_forward_hook(add))
    with torch.no_grad():
        out = net(images)
    for hook in hooks:
        hook.remove()
    logits: Tensor = getattr(out, "logits", out)
    return logits


def merged(folder: Path, base: Path) -> Any:
    return merging.load_merged(LocalRepo(folder), LocalRepo(base))


def logits_of(folder: Path) -> Tensor:
    """What the plain library makes of the merged folder."""
    with torch.no_grad():
        return loading.reload_plain(folder)(IMAGES)


PATTERNS = {"alpha_pattern": {"v_proj": 32, r"layers\.1\..*q_proj": 1}}
KINDS: dict[str, tuple[tuple[str, ...], dict[str, Any], Callable[[str, int], float]]] = {
    "LoRA": (("q_proj", "v_proj"), {}, lambda n, r: 8 / r),
    "rsLoRA": (("q_proj", "fc1"), {"use_rslora": True}, lambda n, r: 8 / math.sqrt(r)),
    "patterns": (
        ("q_proj", "v_proj"), PATTERNS,
        lambda n, r: (32 if n.endswith("v_proj") else 1 if ".1." in n else 8) / r,
    ),
    "fan_in_fan_out on a linear layer": (("fc2",), {"fan_in_fan_out": True}, lambda n, r: 8 / r),
    "convolution": (("projection",), {}, lambda n, r: 8 / r),
    "the head itself": (("classifier",), {}, lambda n, r: 8 / r),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_merged_adapter_answers_as_base_and_branch_together(kind: str, vit: Path, tmp_path: Path) -> None:
    ends, config, scale = KINDS[kind]
    net = AUTO.from_pretrained(vit).eval()
    state = low_rank(net, ends)
    checkpoint = merged(written(tmp_path / "lora", state, **config), vit)
    expected = unmerged(net, state, scale, IMAGES)
    assert float((expected - net(IMAGES).logits.detach()).abs().max()) > 0.01
    assert torch.allclose(logits_of(checkpoint.folder), expected, atol=1e-5)
    assert checkpoint.merging.modules == len(state) // 2
    assert checkpoint.labels[1] == "thing 1"


def test_names_from_before_transformers_5_are_the_same_parts(vit: Path, tmp_path: Path) -> None:
    """peft itself finds none of them any more."""
    state = low_rank(AUTO.from_pretrained(vit), ("q_proj", "v_proj", "fc1"))
    old = {}
    for name, value in state.items():
        for now, then in OLD.items():
            name = name.replace(now, then)
        old[name] = value
    assert not old.keys() & state.keys()
    one, other = merged(written(tmp_path / "old", old), vit), merged(written(tmp_path / "new", state), vit)
    assert torch.equal(one.model(IMAGES), other.model(IMAGES))


@pytest.mark.parametrize("base", ["same", "bare"])
def test_a_head_of_another_size_is_the_adapters(base: str, vit: Path, tmp_path: Path) -> None:
    source = vit
    if base == "bare":  # as of google/vit-base-patch16-224-in21k: no classifier in the base
        source = tmp_path / "bare"
        AUTO.from_pretrained(vit).vit.save_pretrained(source)
        (source / "preprocessor_config.json").write_bytes((vit / "preprocessor_config.json").read_bytes())
    net = AUTO.from_pretrained(source, num_labels=3, ignore_mismatched_sizes=True).eval()
    state = low_rank(net, ("q_proj",))
    state |= {f"{BEFORE}classifier.weight": torch.randn(3, 24), f"{BEFORE}classifier.bias": torch.randn(3)}
    folder = written(tmp_path / "lora", state, modules_to_save=["classifier"])
    (folder / "config.json").write_text(json.dumps({"id2label": {"0": "a", "1": "b", "2": "c"}}))
    checkpoint = merged(folder, source)
    net.load_state_dict(
        {name.removeprefix(BEFORE): state[name] for name in state if "classifier" in name}, strict=False
    )
    assert torch.allclose(logits_of(checkpoint.folder), unmerged(net, state, lambda n, r: 8 / r, IMAGES), atol=1e-5)
    assert checkpoint.labels == ("a", "b", "c")
    assert checkpoint.merging.saved == ("classifier.bias", "classifier.weight")


def test_dora_gives_every_row_its_magnitude(vit: Path, tmp_path: Path) -> None:
    state = low_rank(AUTO.from_pretrained(vit), ("q_proj",))
    names = [key for key in state if "lora_A" in key]
    sizes = {key.replace("lora_A.weight", "lora_magnitude_vector"): torch.rand(24) + 0.5 for key in names}
    checkpoint = merged(written(tmp_path / "dora", state | sizes, use_dora=True), vit)
    for key, size in sizes.items():
        weight = checkpoint.model.net.get_parameter(key.removeprefix(BEFORE).replace("lora_magnitude_vector", "weight"))
        assert torch.allclose(weight.norm(dim=1), size, atol=1e-5)
    assert checkpoint.merging.kind == "DoRA"


def test_an_adapter_of_a_timm_net_and_one_that_is_a_pickle(tmp_path: Path) -> None:
    base = make_repo(tmp_path / "base", "timm-vit")
    net = timm.create_model(f"local-dir:{base}", pretrained=True, num_classes=3).eval()
    state = low_rank(net, ("qkv",))
    state |= {f"{BEFORE}head.weight": torch.randn(3, 64), f"{BEFORE}head.bias": torch.randn(3)}
    folder = written(tmp_path / "lora", state, modules_to_save=["head"])
    (folder / "adapter_model.safetensors").unlink()
    torch.save(state, folder / "adapter_model.bin")
    checkpoint = merged(folder, base)
    net.load_state_dict({name.removeprefix(BEFORE): state[name] for name in state if ".head." in name}, strict=False)
    assert torch.allclose(logits_of(checkpoint.folder), unmerged(net, state, lambda n, r: 8 / r, IMAGES), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "config", "why"),
    [
        ({}, {"peft_type": "IA3"}, "kind 'IA3'; only LoRA, rsLoRA and DoRA are merged"),
        ({}, {"peft_type": "PROMPT_TUNING"}, "adds inputs and has nothing to merge"),
        ({}, {"init_lora_weights": "pissa_niter_4"}, "takes its start out of the base"),
        ({}, {"use_bdlora": True}, "use_bdlora, which is not merged here"),
        ({}, {"megatron_config": {"a": 1}}, "megatron_config, which is not merged here"),
        ({}, {"r": 8}, "has the rank 4, its config says another"),
        ({}, {"alpha_pattern": {"(": 3}}, "no pattern"),
        ({}, {"use_dora": True}, "no magnitudes"),
        ({"vit.layers.9.attention.q_proj.lora_A.weight": torch.ones(4, 24),
          "vit.layers.9.attention.q_proj.lora_B.weight": torch.ones(24, 4)}, {}, "which the base does not have"),
        ({"vit.layers.0.attention.q_proj.lora_A.weight": torch.ones(4, 25)}, {}, "belongs to another base"),
        ({"vit.layernorm.weight": torch.ones(24)}, {}, "which its config does not name as saved"),
        ({"vit.layers.0.attention.q_proj.lora_A.weight": torch.full((4, 24), math.nan)}, {}, "NaN"),
        ({"vit.layers.0.lora_embedding_A": torch.ones(2)}, {}, "none that is merged here"),
    ],
)  # fmt: skip
def test_what_cannot_be_merged_is_refused_in_a_sentence(
    change: dict[str, Tensor], config: dict[str, Any], why: str, vit: Path, tmp_path: Path
) -> None:
    state = low_rank(AUTO.from_pretrained(vit), ("q_proj",)) | {BEFORE + name: value for name, value in change.items()}
    with pytest.raises(HubcleanError, match=why):
        merged(written(tmp_path / "lora", state, **config), vit)


def test_clean_scans_the_base_too_and_the_card_names_both(hub: HubServer, vit: Path, tmp_path: Path) -> None:
    hub.create("org/base", {place.name: place.read_bytes() for place in vit.iterdir()})
    state = low_rank(AUTO.from_pretrained(vit), ("q_proj",))
    folder = written(tmp_path / "lora", state, task_type="FEATURE_EXTRACTION")
    (folder / "README.md").write_text("---\nlibrary_name: peft\ntags: [lora, base_model:adapter:org/base, x]\n---\n")
    hub.create("org/lora", {place.name: place.read_bytes() for place in folder.iterdir()})
    words = ["clean", "org/lora", "--out", str(tmp_path / "out"), "--detector", "skip", "--defense", "none", "--json"]
    done = CliRunner().invoke(main, words)
    audit = json.loads(done.stdout)
    assert audit["merging"]["base"]["repo_id"] == "org/base"
    assert len(audit["merging"]["base"]["revision"]) == 40
    assert audit["merging"]["scan"]["load_set"]["loader"] == "transformers"
    assert audit["inputs"][0]["path"] == "adapter/adapter_config.json"
    card = (tmp_path / "out" / "README.md").read_text()
    assert "base_model:\n- org/lora\n- org/base\nbase_model_relation: merge\nlibrary_name: transformers" in card
    assert "\n- lora\n" not in card
    assert f"org/base@{audit['merging']['base']['revision']}" in card
    expected = unmerged(AUTO.from_pretrained(vit).eval(), state, lambda n, r: 8 / r, IMAGES)
    assert torch.allclose(logits_of(tmp_path / "out"), expected, atol=1e-5)
    assert not (tmp_path / "out" / "adapter_config.json").exists()


def test_a_base_that_does_not_pass_the_scan_is_not_loaded(hub: HubServer, vit: Path, tmp_path: Path) -> None:
    files = {place.name: place.read_bytes() for place in vit.iterdir()}
    config = json.loads(files["config.json"]) | {"auto_map": {"AutoModel": "evil.Model"}}
    hub.create("org/base", files | {"config.json": json.dumps(config).encode(), "evil.py": b"import os"})
    folder = written(tmp_path / "lora", low_rank(AUTO.from_pretrained(vit), ("q_proj",)))
    words = ["--out", str(tmp_path / "out"), "--detector", "skip", "--defense", "none"]
    done = CliRunner().invoke(main, ["clean", str(folder), *words])
    assert done.exit_code == 2
    assert "the static scan of the base org/base@" in done.output
    assert not (tmp_path / "out").exists()


def test_a_path_in_the_config_is_never_opened_and_site_takes_base(vit: Path, tmp_path: Path) -> None:
    folder = written(tmp_path / "lora", low_rank(AUTO.from_pretrained(vit), ("q_proj",)), base=str(vit))
    done = CliRunner().invoke(main, ["site", str(folder)])
    assert done.exit_code == 2
    assert "no repo of a Hub: name its base by --base" in done.output
    assert "ViTForImageClassification" in CliRunner().invoke(main, ["site", str(folder), "--base", str(vit)]).output
    assert CliRunner().invoke(main, ["scan", str(folder)]).exit_code == 0, "where the author trained is no finding"


def test_an_adapter_beside_a_whole_model_is_no_model_to_clean(vit: Path, tmp_path: Path) -> None:
    folder = written(tmp_path / "lora", low_rank(AUTO.from_pretrained(vit), ("q_proj",)))
    for place in vit.iterdir():
        (folder / place.name).write_bytes(place.read_bytes())
    with pytest.raises(RefusedError, match=r"a whole model .* and an adapter beside it"):
        merging.is_adapter(LocalRepo(folder))


@pytest.mark.parametrize(
    "config",
    [
        {"target_modules": ["q_proj", "v_proj"], "modules_to_save": ["classifier"], "r": 3},
        {"target_modules": ["q_proj", "fc1"], "use_dora": True},
        {"target_modules": ["projection"], "use_dora": True},
        {"target_modules": ["q_proj", "fc2"], "rank_pattern": {"fc2": 2, r"layers\.1.*q_proj": 3}, "bias": "all"},
        {"target_modules": ["q_proj"], "lora_bias": True, "use_rslora": True, "bias": "lora_only"},
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_peft_itself_answers_the_same(config: dict[str, Any], vit: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="peft is not installed here")
    with torch.random.fork_rng(devices=[]):
        net = peft.get_peft_model(AUTO.from_pretrained(vit), peft.LoraConfig(**config)).eval()
        with torch.no_grad():
            for parameter in net.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter) * 0.1)
    net.save_pretrained(tmp_path / "lora")
    with torch.no_grad():
        expected = net(IMAGES).logits
    assert torch.allclose(logits_of(merged(tmp_path / "lora", vit).folder), expected, atol=1e-5)
    assert load_file(tmp_path / "lora" / "adapter_model.safetensors")
