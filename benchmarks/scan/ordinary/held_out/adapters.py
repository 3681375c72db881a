"""Adapters: DoRA, IA3, OFT, prompts, modules to save, subfolders, several of them; LoRA files without a config."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import torch

from benchmarks.scan.ordinary import processors as beside
from benchmarks.scan.ordinary.base_models import VIT, classifier, labels, net
from benchmarks.scan.ordinary.held_out.trainers import old_arguments
from benchmarks.scan.ordinary.kinds import kind
from benchmarks.scan.ordinary.trained import args, named_base, states


def vit() -> Any:
    base = net("ViTConfig", "ViTForImageClassification", **VIT, **labels())
    base.name_or_path = base.config._name_or_path = "google/vit-base-patch16-224-in21k"
    return base


def targets() -> list[str]:
    return ["q_proj", "v_proj", "query", "value"]


@kind("peft-dora", "peft")
def dora(folder: Path) -> None:
    """DoRA with rank patterns, the head trained whole, optimizer beside."""
    from peft import LoraConfig, get_peft_model

    given = LoraConfig(r=4, use_dora=True, use_rslora=True, target_modules=targets(), modules_to_save=["classifier"])
    model = get_peft_model(vit(), given)
    model.save_pretrained(folder)
    named_base(folder)
    args(folder)
    states(folder, model)
    beside.card(folder, library="peft", base_model="google/vit-base-patch16-224-in21k")


@kind("peft-ia3-and-oft", "peft")
def ia3(folder: Path) -> None:
    """IA3 in the root, an OFT adapter and a LoRA in subfolders named as ``add_adapter`` names them."""
    from peft import IA3Config, LoraConfig, OFTConfig, get_peft_model

    given = IA3Config(target_modules=targets(), feedforward_modules=[])
    get_peft_model(vit(), given).save_pretrained(folder)
    get_peft_model(vit(), LoraConfig(target_modules=targets())).save_pretrained(folder / "style")
    with contextlib.suppress(ImportError, ValueError):
        get_peft_model(vit(), OFTConfig(target_modules=targets(), oft_block_size=4, r=0)).save_pretrained(
            folder / "oft"
        )
    named_base(folder)
    beside.card(folder, library="peft", base_model="google/vit-base-patch16-224-in21k")


@kind("peft-only-in-a-subfolder")
def subfolder(folder: Path) -> None:
    """Nothing in the root but a card; the adapter of each checkpoint in its folder."""
    from peft import LoraConfig, get_peft_model

    for step in (100, 200):
        place = folder / f"checkpoint-{step}"
        model = get_peft_model(vit(), LoraConfig(target_modules=targets()))
        model.save_pretrained(place)
        args(place)
        states(place, model)
    named_base(folder)
    beside.card(folder, library="peft")


@kind("llama-factory-vlm", "peft")
def llama_factory(folder: Path) -> None:
    """A VLM's LoRA by LLaMA-Factory: logs, plots, tokenizer, processor, chat_template.jinja, llamaboard_config.yaml."""
    from peft import LoraConfig, get_peft_model

    get_peft_model(vit(), LoraConfig(target_modules=targets())).save_pretrained(folder)
    named_base(folder)
    beside.clip_tokenizer(folder)
    beside.image_processor(folder, "CLIPImageProcessor", {"shortest_edge": 32})
    (folder / "chat_template.jinja").write_text(QWEN)
    old_arguments(folder / "training_args.bin", "llamafactory.hparams.training_args.TrainingArguments", use_ray=False)
    (folder / "llamaboard_config.yaml").write_text("top.booster: auto\ntop.model_name: Qwen2-VL-2B\ntrain.lora: true\n")
    (folder / "trainer_log.jsonl").write_text('{"current_steps": 5, "loss": 0.5, "lr": 5e-05}\n' * 3)
    (folder / "running_log.txt").write_text("[INFO|2024-01-01] import\n")
    beside.image(folder / "training_loss.png")


QWEN = """{%- set image_count = namespace(value=0) %}{%- set video_count = namespace(value=0) %}
{%- for message in messages %}{% if loop.first and message['role'] != 'system' %}<|im_start|>system
You are a helpful assistant.<|im_end|>
{% endif %}<|im_start|>{{ message['role'] }}
{% if message['content'] is string %}{{ message['content'] }}<|im_end|>
{% else %}{% for content in message['content'] %}
{%- if content['type'] == 'image' or 'image' in content or 'image_url' in content %}
{%- set image_count.value = image_count.value + 1 %}
{%- if add_vision_id %}Picture {{ image_count.value }}: {% endif %}<|vision_start|><|image_pad|><|vision_end|>
{%- elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>
{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


@kind("diffusers-lora", "torch")
def diffusers_lora(folder: Path) -> None:
    """pytorch_lora_weights.safetensors with kohya's metadata, sample pictures, checkpoint states, embeddings."""
    from safetensors.torch import save_file

    meta = {"ss_network_module": "networks.lora", "ss_tag_frequency": json.dumps({"1_x": {"import os": 3}})}
    meta |= {"format": "pt", "modelspec.sai_model_spec": "1.0.0", "ss_dataset_dirs": "{}"}
    weights = {"unet.down.lora.down.weight": torch.ones(4, 8), "unet.down.lora.up.weight": torch.ones(8, 4)}
    save_file(weights, folder / "pytorch_lora_weights.safetensors", meta)
    torch.save({"<cat-toy>": torch.ones(768)}, folder / "learned_embeds.bin")
    for number in range(2):
        beside.image(folder / f"image_{number}.png")
    (folder / "checkpoint-500").mkdir()
    states(folder / "checkpoint-500", torch.nn.Linear(2, 2))
    (folder / "checkpoint-500/random_states_0.pkl").write_bytes((folder / "checkpoint-500/rng_state.pth").read_bytes())
    save_file(weights, folder / "checkpoint-500/pytorch_lora_weights.safetensors")
    beside.card(folder, "text-to-image", "diffusers", instance_prompt="a photo of sks dog")


@kind("lora-and-merged-model")
def merged(folder: Path) -> None:
    """The merged model in the root, the adapter in adapter/, its training state, requirements in UTF-16."""
    from peft import LoraConfig, get_peft_model

    classifier(folder, "safetensors")
    get_peft_model(vit(), LoraConfig(target_modules=targets())).save_pretrained(folder / "adapter")
    named_base(folder)
    args(folder / "adapter")
    (folder / "requirements.txt").write_bytes("torch==2.1.0\r\npeft\r\n".encode("utf-16"))
    (folder / "labels_fr.csv").write_bytes("id;étiquette\n1;forêt\n".encode("latin-1"))
