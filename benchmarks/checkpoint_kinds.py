"""Kinds of checkpoints: what `convert` or `clean` writes of them, loaded by its own library beside the original net.

    python -m benchmarks.checkpoint_kinds --out benchmarks/results/checkpoint_kinds.json \
        --page docs/results/checkpoints.md

Tiny nets with random weights, made by timm, transformers and, where it is installed, peft. A row gives the largest
difference of a logit on eight random images between the net as it was trained and the written folder, loaded by
`timm.create_model` or `AutoModelForImageClassification.from_pretrained`; and whether the library loads the original.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import timm
import torch
import transformers
from torch import nn
from torch.optim.swa_utils import AveragedModel

from hubclean.errors import HubcleanError
from hubclean.hub.repos import LocalRepo
from hubclean.nets import loading, merging
from hubclean.nets.expected_names import architecture_of
from hubclean.scanning.converting import convert
from hubclean.version import versions

State = dict[str, torch.Tensor]
IMAGES = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
LOADS = {True: "yes", False: "no", None: "by peft"}
BEGIN, END = "<!-- checkpoint kinds -->", "<!-- end checkpoint kinds -->"


def before(prefix: str, state: State) -> State:
    """The tensors under other names."""
    return {prefix + name: value for name, value in state.items()}


def worse(state: State) -> State:
    """Weights that are not the net's, where a checkpoint holds two."""
    return {name: value / 2 if value.is_floating_point() else value for name, value in state.items()}


KINDS: dict[str, tuple[str, Callable[[State], Any]]] = {
    "plain state dict": ("pytorch_model.bin", lambda s: s),
    "`.pth.tar` of a training, `module.`": (
        "model_best.pth.tar",
        lambda s: {"state_dict": before("module.", s), "n": 1},
    ),
    "`torch.compile`, `_orig_mod.`": ("pytorch_model.bin", lambda s: before("_orig_mod.", s)),
    "one part compiled": (
        "pytorch_model.bin",
        lambda s: {n.replace("blocks.", "blocks._orig_mod.", 1): v for n, v in s.items()},
    ),
    "`state_dict_ema` beside `state_dict`": ("model.pth", lambda s: {"state_dict": worse(s), "state_dict_ema": s}),
    "`model_ema` beside `model`": ("model.pth", lambda s: {"model": worse(s), "model_ema": s}),
    "SWA (`AveragedModel`)": ("model.pt", lambda s: {**before("module.", s), "n_averaged": torch.tensor(5)}),
    "Lightning, `model.`": ("last.ckpt", lambda s: {"state_dict": before("model.", s), "epoch": 1}),
    "Lightning, `net.` and a loss": (
        "last.ckpt",
        lambda s: {"state_dict": {**before("net.", s), "loss.weight": torch.ones(3)}},
    ),
    "Lightning, compiled, an EMA copy": (
        "last.ckpt",
        lambda s: {"state_dict": {**before("model._orig_mod.", s), **before("ema_model.module.", worse(s))}},
    ),
    "`backbone.`": ("model.pth", lambda s: before("backbone.", s)),
    "a key that nobody knows": ("model.pth", lambda s: {"my_weights": s, "optimizer": {"state": {}}}),
    "a complex64 buffer beside": ("model.pth", lambda s: {**s, "freqs_cis": torch.ones(2, dtype=torch.complex64)}),
    "a complex128 buffer beside": ("model.pth", lambda s: {**s, "freqs_cis": torch.ones(2, dtype=torch.complex128)}),
    "counters of thop": ("model.pth", lambda s: {**s, "total_ops": torch.zeros(1)}),
    "two nets with the same names": ("model.pth", lambda s: {"generator": s, "discriminator": worse(s)}),
    "without its head": ("model.pth", lambda s: {n: v for n, v in s.items() if not n.startswith("classifier.")}),
}


def difference(one: nn.Module, folder: Path) -> float:
    """Largest difference of a logit between a net and a folder loaded plainly."""
    with torch.no_grad():
        out = one.eval()(IMAGES)
        return float((getattr(out, "logits", out) - loading.reload_plain(folder)(IMAGES)).abs().max())


def timm_net() -> nn.Module:
    """A trained-looking net: no value that an initialiser leaves equal."""
    torch.manual_seed(0)
    net: nn.Module = timm.create_model("test_efficientnet", num_classes=10)
    with torch.no_grad():
        for tensor in net.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(torch.rand_like(tensor) * 0.2)
    return net.eval()


def loads(source: Path) -> bool:
    """Whether the library loads a folder as it is."""
    try:
        loading.reload_plain(source)
    except HubcleanError:
        return False
    return True


def row(
    kind: str, by: str, net: nn.Module, original: bool | None, out: Path, made: Callable[[], Any]
) -> dict[str, Any]:
    """One line of the table; of a refusal its reason."""
    try:
        done = made()
    except HubcleanError as error:
        return {
            "kind": kind,
            "by": by,
            "original_loads": original,
            "difference": None,
            "said": " ".join(str(error).split())[:200],
        }
    said = (
        "; ".join(filter(None, (done.key and f"key {done.key}", done.prefix and f"prefix {done.prefix}")))
        if done
        else ""
    )
    return {"kind": kind, "by": by, "original_loads": original, "difference": difference(net, out), "said": said}


def converted(root: Path) -> Iterator[dict[str, Any]]:
    """Checkpoints of a timm net."""
    net = timm_net()
    for number, (kind, (name, wrap)) in enumerate(KINDS.items()):
        source, out = root / f"repo-{number}", root / f"out-{number}"
        source.mkdir()
        (source / "config.json").write_text(json.dumps({"architecture": "test_efficientnet", "num_classes": 10}))
        value = AveragedModel(net).state_dict() if kind.startswith("SWA") else wrap(net.state_dict())
        torch.save(value, source / name)

        def made(source: Path = source, out: Path = out) -> Any:
            return convert(source, out, architecture=architecture_of).conversion

        yield row(kind, "timm", net, loads(source), out, made)


def vit_repo(folder: Path) -> Path:
    """A tiny ViT with its processor, as transformers writes them."""
    torch.manual_seed(1)
    small = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.ViTConfig(image_size=32, patch_size=8, num_labels=10, **small)
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def written(root: Path) -> Iterator[dict[str, Any]]:
    """Repos of transformers, written back by what `clean` writes with."""
    torch.manual_seed(2)
    shape = {"input_size": [3, 32, 32], "mean": [0.5] * 3, "std": [0.5] * 3}
    config = transformers.TimmWrapperConfig(architecture="test_resnet", num_labels=4, pretrained_cfg=shape)
    wrapped = transformers.TimmWrapperForImageClassification(config)
    wrapped.save_pretrained(root / "wrapped")
    for kind, source, net in (
        ("timm net of transformers (`TimmWrapper`), no processor", root / "wrapped", wrapped),
        ("ViT of transformers, no processor", vit_repo(root / "vit"), None),
    ):
        (source / "preprocessor_config.json").unlink(missing_ok=True)
        out = root / f"{source.name}-out"
        out.mkdir()
        net = net or transformers.AutoModelForImageClassification.from_pretrained(source)

        def made(source: Path = source, out: Path = out) -> None:
            checkpoint = loading.load_checkpoint(LocalRepo(source))
            loading.write_checkpoint(checkpoint, checkpoint, out)

        yield row(kind, "transformers", net, loads(source), out, made)


def adapters(root: Path) -> Iterator[dict[str, Any]]:
    """Adapters made by peft, merged by ours."""
    try:
        import peft
    except ImportError:
        return
    base = vit_repo(root / "base")
    auto = transformers.AutoModelForImageClassification
    qv = {"target_modules": ["q_proj", "v_proj"]}
    cases: dict[str, Any] = {
        "LoRA on q and v, new head": peft.LoraConfig(**qv, modules_to_save=["classifier"]),
        "rsLoRA, patterns of rank and alpha": peft.LoraConfig(
            **qv, use_rslora=True, rank_pattern={"v_proj": 3}, alpha_pattern={r"layers\.1.*q_proj": 32}
        ),
        "DoRA": peft.LoraConfig(target_modules=["q_proj", "fc1"], use_dora=True),
        "DoRA on a convolution": peft.LoraConfig(target_modules=["projection"], use_dora=True),
        "LoRA with biases": peft.LoraConfig(**qv, bias="all", lora_bias=True),
        "PiSSA": peft.LoraConfig(**qv, init_lora_weights="pissa"),
        "IA3": peft.IA3Config(target_modules=["q_proj"], feedforward_modules=[]),
        "LoHa": peft.LoHaConfig(**qv),
    }
    for number, (kind, config) in enumerate(cases.items()):
        torch.manual_seed(3)
        net = peft.get_peft_model(auto.from_pretrained(base), config)
        with torch.no_grad():
            for parameter in net.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter) * 0.1)
        source, out = root / f"adapter-{number}", root / f"merged-{number}"
        net.save_pretrained(source)

        def made(source: Path = source, out: Path = out) -> None:
            folder = merging.merged_folder(LocalRepo(source), LocalRepo(base))[0]
            folder.rename(out)

        yield row(f"{kind} (peft {peft.__version__})", "transformers", net.eval(), None, out, made)


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    lines = [
        "| checkpoint | loaded by | does it load the original? | max. logit difference | found |",
        "|---|---|---|---|---|",
    ]
    for one in rows:
        size = "refused" if one["difference"] is None else f"{one['difference']:.1g}"
        said = one["said"].replace("|", "\\|").replace("\n", " ")
        lines.append(f"| {one['kind']} | {one['by']} | {LOADS[one['original_loads']]} | {size} | {said} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, write the JSON and redraw the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--page", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        rows = [*converted(root), *written(root), *adapters(root)]
    options.out.write_text(json.dumps({"versions": versions(), "rows": rows}, indent=1) + "\n")
    print(table(rows))
    if options.page:
        text = options.page.read_text()
        head, tail = text.partition(BEGIN)[0], text.partition(END)[2]
        options.page.write_text(f"{head}{BEGIN}\n{table(rows)}\n{END}{tail}")


if __name__ == "__main__":
    main()
