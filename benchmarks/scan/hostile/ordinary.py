"""The repos around the cases, as users push them: tiny weights, the configs that the libraries write."""

from __future__ import annotations

from typing import Any

from benchmarks.scan.hostile.cases import Content
from benchmarks.scan.hostile.file_bytes import safetensors
from benchmarks.scan.hostile.pickle_bytes import WEIGHTS, torch_zip

Repo = dict[str, Content]
CARD = "---\nlibrary_name: {}\ntags:\n- image-classification\nlicense: apache-2.0\n---\n\n# Model\n\nFine-tuned.\n"
VIT: dict[str, Any] = {
    "architectures": ["ViTForImageClassification"],
    "attention_probs_dropout_prob": 0.0,
    "hidden_act": "gelu",
    "hidden_size": 8,
    "id2label": {"0": "cat", "1": "dog"},
    "image_size": 16,
    "initializer_range": 0.02,
    "intermediate_size": 16,
    "label2id": {"cat": 0, "dog": 1},
    "model_type": "vit",
    "num_attention_heads": 2,
    "num_channels": 3,
    "num_hidden_layers": 1,
    "patch_size": 8,
    "problem_type": "single_label_classification",
    "torch_dtype": "float32",
    "transformers_version": "4.57.1",
}
PREPROCESSOR: dict[str, Any] = {
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_processor_type": "ViTImageProcessor",
    "image_std": [0.5, 0.5, 0.5],
    "resample": 2,
    "rescale_factor": 0.00392156862745098,
    "size": {"height": 16, "width": 16},
}


def weights(kind: str = "pt") -> bytes:
    """A head with two classes."""
    return safetensors({"classifier.weight": (2, 3), "classifier.bias": (2,)}, {"format": kind})


def vit(files: Repo | None = None, **config: Any) -> Repo:
    """What the Trainer pushes of a ViT, with fields put into its config and files beside or instead."""
    repo: Repo = {
        "config.json": VIT | config,
        "preprocessor_config.json": PREPROCESSOR,
        "model.safetensors": weights(),
        "README.md": CARD.format("transformers"),
    }
    return repo | (files or {})


def vit_bin(body: bytes, files: Repo | None = None) -> Repo:
    """The same with ``pytorch_model.bin`` in place of safetensors."""
    repo = vit({"pytorch_model.bin": body})
    del repo["model.safetensors"]
    return repo | (files or {})


def chat(files: Repo | None = None, **tokenizer: Any) -> Repo:
    """A vision-language model with a tokenizer."""
    held: dict[str, Any] = {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "model_max_length": 2048,
        "tokenizer_class": "LlamaTokenizerFast",
    }
    config = {
        "architectures": ["LlavaForConditionalGeneration"],
        "model_type": "llava",
        "text_config": {"model_type": "llama", "hidden_size": 8, "vocab_size": 32},
        "vision_config": {"model_type": "clip_vision_model", "hidden_size": 8, "image_size": 16},
        "transformers_version": "4.57.1",
    }
    repo: Repo = {
        "config.json": config,
        "tokenizer_config.json": held | tokenizer,
        "special_tokens_map.json": {"bos_token": "<s>", "eos_token": "</s>"},
        "generation_config.json": {"bos_token_id": 1, "eos_token_id": 2, "transformers_version": "4.57.1"},
        "model.safetensors": weights(),
        "README.md": CARD.format("transformers"),
    }
    return repo | (files or {})


def timm(files: Repo | None = None, cfg: dict[str, Any] | None = None, **config: Any) -> Repo:
    """What ``timm.models.push_to_hf_hub`` writes."""
    held = {
        "tag": "a1_in1k",
        "custom_load": False,
        "input_size": [3, 224, 224],
        "fixed_input_size": False,
        "interpolation": "bicubic",
        "crop_pct": 0.95,
        "crop_mode": "center",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "num_classes": 2,
        "pool_size": [7, 7],
        "first_conv": "conv1",
        "classifier": "fc",
    }
    whole = {
        "architecture": "resnet18",
        "num_classes": 2,
        "num_features": 512,
        "global_pool": "avg",
        "label_names": ["cat", "dog"],
        "pretrained_cfg": held | (cfg or {}),
    }
    repo: Repo = {
        "config.json": whole | config,
        "model.safetensors": weights(),
        "pytorch_model.bin": torch_zip(WEIGHTS),
        "README.md": CARD.format("timm"),
    }
    return repo | (files or {})


def lora(files: Repo | None = None, **config: Any) -> Repo:
    """A LoRA adapter as PEFT saves it."""
    held: dict[str, Any] = {
        "alpha_pattern": {},
        "auto_mapping": None,
        "base_model_name_or_path": "google/vit-base-patch16-224-in21k",
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "layers_pattern": None,
        "layers_to_transform": None,
        "lora_alpha": 16,
        "lora_dropout": 0.1,
        "megatron_config": None,
        "megatron_core": "megatron.core",
        "modules_to_save": ["classifier"],
        "peft_type": "LORA",
        "r": 8,
        "rank_pattern": {},
        "revision": None,
        "target_modules": ["query", "value"],
        "task_type": None,
        "use_dora": False,
        "use_rslora": False,
    }
    repo: Repo = {
        "adapter_config.json": held | config,
        "adapter_model.safetensors": safetensors({"base_model.model.query.lora_A.weight": (2, 3)}, {"format": "pt"}),
        "README.md": CARD.format("peft"),
    }
    return repo | (files or {})


def diffusion(files: Repo | None = None, **index: Any) -> Repo:
    """A diffusers pipeline of a few folders."""
    held: dict[str, Any] = {
        "_class_name": "DDPMPipeline",
        "_diffusers_version": "0.31.0",
        "scheduler": ["diffusers", "DDPMScheduler"],
        "unet": ["diffusers", "UNet2DModel"],
    }
    repo: Repo = {
        "model_index.json": held | index,
        "scheduler/scheduler_config.json": {"_class_name": "DDPMScheduler", "num_train_timesteps": 1000},
        "unet/config.json": {"_class_name": "UNet2DModel", "sample_size": 16, "in_channels": 3},
        "unet/diffusion_pytorch_model.safetensors": weights(),
        "README.md": CARD.format("diffusers"),
    }
    return repo | (files or {})


def sentences(files: Repo | None = None, modules: list[Any] | None = None) -> Repo:
    """What sentence-transformers saves: a transformer, pooling, a dense layer."""
    family = "sentence_transformers.models"
    held = [
        {"idx": 0, "name": "0", "path": "", "type": f"{family}.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{family}.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Dense", "type": f"{family}.Dense"},
    ]
    dense = {"in_features": 8, "out_features": 4, "bias": True}
    repo: Repo = {
        "modules.json": modules or held,
        "config.json": {"architectures": ["BertModel"], "model_type": "bert", "hidden_size": 8, "vocab_size": 32},
        "config_sentence_transformers.json": {"__version__": {"sentence_transformers": "3.3.1"}, "prompts": {}},
        "sentence_bert_config.json": {"max_seq_length": 128, "do_lower_case": False},
        "1_Pooling/config.json": {"word_embedding_dimension": 8, "pooling_mode_mean_tokens": True},
        "2_Dense/config.json": dense | {"activation_function": "torch.nn.modules.activation.Tanh"},
        "2_Dense/model.safetensors": weights(),
        "model.safetensors": weights(),
        "tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "do_lower_case": True},
        "vocab.txt": "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n",
        "README.md": CARD.format("sentence-transformers"),
    }
    return repo | (files or {})


def open_clip(
    files: Repo | None = None, vision: dict[str, Any] | None = None, text: dict[str, Any] | None = None
) -> Repo:
    """An open_clip repo."""
    cfg = {
        "embed_dim": 8,
        "vision_cfg": {"image_size": 16, "layers": 1, "width": 8, "patch_size": 8} | (vision or {}),
        "text_cfg": {"context_length": 77, "vocab_size": 32, "width": 8, "heads": 1, "layers": 1} | (text or {}),
    }
    pixels = {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28]}
    repo: Repo = {
        "open_clip_config.json": {"model_cfg": cfg, "preprocess_cfg": pixels},
        "open_clip_model.safetensors": weights(),
        "README.md": CARD.format("open_clip"),
    }
    return repo | (files or {})
