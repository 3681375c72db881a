"""Base models as Google, Microsoft, Meta, Apple and OpenAI published them: several frameworks side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from benchmarks.scan.ordinary import other_formats as other
from benchmarks.scan.ordinary import processors as beside
from benchmarks.scan.ordinary.kinds import kind

SMALL = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
VIT = {**SMALL, "image_size": 32, "patch_size": 8}
CLIP = {"text_config": {**SMALL, "vocab_size": 600}, "vision_config": VIT, "projection_dim": 16}


def labels(count: int = 3) -> dict[str, Any]:
    """Label names as ImageNet has them: with commas, quotes and words that are Python's."""
    names = ["tench, Tinca tinca", "import bus, os", "jack-o'-lantern", *(f"label {n}" for n in range(count))][:count]
    return {"id2label": dict(enumerate(names)), "label2id": {name: n for n, name in enumerate(names)}}


def net(config: str, model: str, **options: Any) -> Any:
    """A model of transformers with random weights."""
    import transformers

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return getattr(transformers, model)(getattr(transformers, config)(**options))


def published(folder: Path, model: Any, kinds: str = "safetensors bin", name: str = "vit") -> Any:
    """Weights in the formats that are asked for, config.json, card and git attributes; returns the model."""
    if "safetensors" in kinds:
        model.save_pretrained(folder)
    else:
        model.config.architectures = [type(model).__name__]
        model.config.save_pretrained(folder)
    if "bin" in kinds:
        torch.save(model.state_dict(), folder / "pytorch_model.bin")  # what save_pretrained did until 2023
    if "tf" in kinds:
        other.tf_weights(folder, name, model)
    if "flax" in kinds:
        other.flax_weights(folder, name, model)
    beside.card(folder)
    return model


def classifier(folder: Path, kinds: str = "safetensors bin", **options: Any) -> Any:
    """A ViT classifier with its processor."""
    made = net("ViTConfig", "ViTForImageClassification", **{**VIT, **labels(), **options})
    published(folder, made, kinds)
    beside.image_processor(folder)
    return made


@kind("google-vit-base")
def google_vit(folder: Path) -> None:
    classifier(folder, "safetensors bin tf flax")


@kind("microsoft-resnet-50")
def resnet(folder: Path) -> None:
    sizes = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
    published(
        folder,
        net("ResNetConfig", "ResNetForImageClassification", **sizes, **labels()),
        "safetensors bin tf flax",
        "resnet",
    )
    beside.image_processor(folder, "ConvNextImageProcessor", {"shortest_edge": 32}, crop_pct=0.875)


@kind("microsoft-swin-tiny")
def swin(folder: Path) -> None:
    sizes = {"image_size": 32, "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4}
    published(
        folder, net("SwinConfig", "SwinForImageClassification", **sizes, **labels()), "safetensors bin tf", "swin"
    )
    beside.image_processor(folder)


@kind("facebook-convnext-tiny")
def convnext(folder: Path) -> None:
    sizes = {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "image_size": 32}
    made = net("ConvNextConfig", "ConvNextForImageClassification", **sizes, **labels())
    published(folder, made, "safetensors bin tf", "convnext")
    beside.image_processor(folder, "ConvNextImageProcessor", {"shortest_edge": 32}, crop_pct=0.875)


@kind("facebook-deit-base")
def deit(folder: Path) -> None:
    published(folder, net("DeiTConfig", "DeiTForImageClassification", **VIT, **labels()), "safetensors bin tf", "deit")
    beside.image_processor(folder, "DeiTImageProcessor")


@kind("apple-mobilevit-small", by_hand=("MobileViT.mlmodel",))
def mobilevit(folder: Path) -> None:
    sizes = {"image_size": 64, "hidden_sizes": [12, 16, 20], "neck_hidden_sizes": [8, 8, 12, 12, 16, 16, 32]}
    made = net("MobileViTConfig", "MobileViTForImageClassification", **sizes, num_attention_heads=2, **labels())
    published(folder, made, "safetensors bin tf", "mobilevit")
    beside.image_processor(folder, "MobileViTImageProcessor", {"shortest_edge": 72})
    other.core_ml(folder / "MobileViT.mlmodel")


@kind("google-siglip-base")
def siglip(folder: Path) -> None:
    text = {**SMALL, "vocab_size": 200, "max_position_embeddings": 16, "projection_size": 24}
    published(folder, net("SiglipConfig", "SiglipModel", text_config=text, vision_config=VIT), "safetensors")
    beside.image_processor(folder, "SiglipImageProcessor")
    beside.clip_tokenizer(folder)
    for name in ("vocab.json", "merges.txt", "added_tokens.json"):
        (folder / name).unlink()
    config = json.loads((folder / "tokenizer_config.json").read_text()) | {"tokenizer_class": "SiglipTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2))
    beside.sentencepiece(folder)


@kind("google-siglip2-large-tokenizer")
def siglip2(folder: Path) -> None:
    text = {**SMALL, "vocab_size": 200, "max_position_embeddings": 16, "projection_size": 24}
    published(folder, net("SiglipConfig", "SiglipModel", text_config=text, vision_config=VIT), "safetensors")
    beside.image_processor(folder, "SiglipImageProcessor")
    beside.large_tokenizer(folder)
    beside.sentencepiece(folder, "tokenizer.model")


@kind("openai-clip-vit-base")
def clip(folder: Path) -> None:
    published(folder, net("CLIPConfig", "CLIPModel", **CLIP), "safetensors bin tf flax", "clip")
    beside.image_processor(folder, "CLIPImageProcessor", {"shortest_edge": 32})
    beside.clip_tokenizer(folder)


@kind("facebook-dinov2-small")
def dinov2(folder: Path) -> None:
    sizes = {key: value for key, value in VIT.items() if key != "intermediate_size"}
    published(folder, net("Dinov2Config", "Dinov2Model", **sizes), "safetensors bin")
    beside.image_processor(folder, "BitImageProcessor", {"shortest_edge": 32}, crop_size={"height": 32, "width": 32})


@kind("microsoft-beit-bin-only")
def beit(folder: Path) -> None:
    published(folder, net("BeitConfig", "BeitForImageClassification", **VIT, **labels()), "bin flax", "beit")
    beside.image_processor(folder, "BeitImageProcessor")


@kind("nvidia-segformer")
def segformer(folder: Path) -> None:
    sizes = {
        "hidden_sizes": [8, 8, 16, 16],
        "depths": [1, 1, 1, 1],
        "decoder_hidden_size": 8,
        "num_attention_heads": [1, 1, 2, 2],
    }
    made = net("SegformerConfig", "SegformerForSemanticSegmentation", **sizes, **labels())
    published(folder, made, "bin tf", "segformer")
    beside.image_processor(folder, "SegformerImageProcessor")


@kind("hustvl-yolos-detector")
def yolos(folder: Path) -> None:
    made = net(
        "YolosConfig", "YolosForObjectDetection", **{**VIT, "image_size": [32, 32]}, num_detection_tokens=4, **labels()
    )
    published(folder, made)
    beside.image_processor(folder, "YolosImageProcessor", {"shortest_edge": 32, "longest_edge": 48})


@kind("vision-language-chat")
def vision_language(folder: Path) -> None:
    """LLaVA-like: processor with a chat template, generation config, tokenizer."""
    text = {**SMALL, "vocab_size": 600, "num_key_value_heads": 2, "model_type": "llama"}
    vision = {**VIT, "model_type": "clip_vision_model"}
    published(
        folder,
        net("LlavaConfig", "LlavaForConditionalGeneration", text_config=text, vision_config=vision),
        "safetensors",
    )
    beside.image_processor(folder, "CLIPImageProcessor", {"shortest_edge": 32})
    beside.clip_tokenizer(folder)
    template = (
        "{% for message in messages %}{{ message['role'].upper() + ': ' }}{% for content in message['content'] %}"
        "{% if content['type'] == 'image' %}{{ '<image>' }}{% elif content['type'] == 'text' %}"
        "{{ content['text'].strip() }}"
        "{% endif %}{% endfor %}{{ '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
    )
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}, indent=2))
    (folder / "chat_template.jinja").write_text(template)
    (folder / "processor_config.json").write_text(json.dumps({"processor_class": "LlavaProcessor", "patch_size": 8}))
