"""Repos that differ in one config or one name, made of the files that are laid over an ordinary repo.

``None`` takes a file away; values that are no bytes are JSON.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support.scanned_files import safetensors

Files = dict[str, Any]

VIT: Files = {
    "architectures": ["ViTForImageClassification"],
    "model_type": "vit",
    "hidden_size": 8,
    "id2label": {"0": "cat", "1": "dog"},
    "label2id": {"cat": 0, "dog": 1},
}
TIMM: Files = {
    "architecture": "vit_tiny_patch16_224",
    "num_classes": 10,
    "pretrained_cfg": {"tag": "in1k", "hf_hub_id": "timm/vit_tiny", "input_size": [3, 224, 224], "url": ""},
}
LORA: Files = {
    "peft_type": "LORA",
    "base_model_name_or_path": "google/vit-base-patch16-224",
    "auto_mapping": {"base_model_class": "ViTForImageClassification", "parent_library": "transformers.models.vit"},
    "megatron_config": None,
    "megatron_core": "megatron.core",
    "r": 8,
    "target_modules": ["query"],
}
CLIP: Files = {"model_cfg": {"embed_dim": 8, "vision_cfg": {}, "text_cfg": {}}, "preprocess_cfg": {"mean": [0.5]}}


def vit(**more: Any) -> Files:
    return {"config.json": {**VIT, **more}}


def timm(**more: Any) -> Files:
    return {"config.json": {**TIMM, **more}}


def cfg(**more: Any) -> Files:
    return timm(pretrained_cfg={**TIMM["pretrained_cfg"], **more})


def lora(**more: Any) -> Files:
    return {
        "config.json": None,
        "model.safetensors": None,
        "adapter_config.json": {**LORA, **more},
        "adapter_model.safetensors": safetensors(),
    }


def clip(text: Files, vision: Files | None = None) -> Files:
    model = {"embed_dim": 8, "vision_cfg": vision or {}, "text_cfg": text}
    return {
        "config.json": None,
        "model.safetensors": None,
        "open_clip_config.json": {**CLIP, "model_cfg": model},
        "open_clip_model.safetensors": safetensors(),
    }


def image(**more: Any) -> Files:
    return {"preprocessor_config.json": {"image_processor_type": "ViTImageProcessor", "do_resize": True, **more}}


def tokens(**more: Any) -> Files:
    return {"tokenizer_config.json": {"tokenizer_class": "BertTokenizer", **more}}


def pipeline(**more: Any) -> Files:
    return {"config.json": None, "model_index.json": {"_class_name": "StableDiffusionPipeline", **more}}


def sentences(*rows: Files, **files: Any) -> Files:
    return {"modules.json": [{"idx": 0, "name": "0", "path": "", **row} for row in rows], **files}


def aliased(target: str, value: Any, **more: Any) -> Files:
    return vit(attribute_map={"hidden_act": target}, hidden_act=value, **more)


def write(folder: Path, files: Files) -> Path:
    """An ordinary repo with the files of a case laid over it."""
    whole: Files = {"config.json": VIT, "model.safetensors": safetensors(), **files}
    for name, value in whole.items():
        if value is None:
            continue
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
    return folder
