"""Layouts of transformers and of the hub mixins."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch

from benchmarks.scan.ordinary import processors as beside
from benchmarks.scan.ordinary.base_models import CLIP, VIT, classifier, labels, net, published
from benchmarks.scan.ordinary.held_out.adapters import QWEN
from benchmarks.scan.ordinary.kinds import kind
from benchmarks.scan.ordinary.torch_files import timm_net


@kind("pytorch-model-hub-mixin", "torch")
def mixin(folder: Path) -> None:
    """``PyTorchModelHubMixin``: config.json holds the constructor's arguments, model.safetensors, a card."""
    from huggingface_hub import PyTorchModelHubMixin

    class Net(torch.nn.Module, PyTorchModelHubMixin, library_name="tiny", tags=["vision"]):
        def __init__(self, width: int = 4, classes: int = 3, name: str = "os.system") -> None:
            super().__init__()
            self.body = torch.nn.Conv2d(3, width, 3)
            self.head = torch.nn.Linear(width, classes)

    Net().save_pretrained(folder)
    (folder / ".gitattributes").write_text(beside.GITATTRIBUTES)


@kind("dinov2-with-heads")
def dinov2(folder: Path) -> None:
    """Weights of the classifier, the original heads as .pth beside."""
    sizes = {key: value for key, value in VIT.items() if key != "intermediate_size"}
    published(folder, net("Dinov2Config", "Dinov2ForImageClassification", **sizes, **labels()), "safetensors")
    beside.image_processor(folder, "BitImageProcessor", {"shortest_edge": 32})
    torch.save({"weight": torch.ones(3, 24), "bias": torch.ones(3)}, folder / "dinov2_vits14_linear_head.pth")
    torch.save({"model": timm_net().state_dict()}, folder / "dinov2_vits14_pretrain.pth")
    torch.save({"teacher": {"backbone.x": torch.ones(2)}}, folder / "teacher_checkpoint.pth")


@kind("segmentation-and-detection")
def detection(folder: Path) -> None:
    """Mask2Former-like configs, DETR beside in a folder, id2label.json, panoptic pictures."""
    classifier(folder, "safetensors bin")
    config = json.loads((folder / "config.json").read_text())
    config |= {"architectures": ["Mask2FormerForUniversalSegmentation"], "model_type": "mask2former"}
    config |= {"backbone_config": {"model_type": "swin", "out_features": ["stage1"]}, "backbone": None}
    config |= {"use_timm_backbone": False, "use_pretrained_backbone": False, "general_config": {"a": None}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "id2label.json").write_text(json.dumps({"0": "wall", "1": "import"}))
    beside.image(folder / "panoptic.png")
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": "Mask2FormerImageProcessor", "size_divisor": 32, "num_labels": 3})
    )


@kind("timm-backbone-in-transformers")
def timm_wrapper(folder: Path) -> None:
    """DETR: ``backbone: resnet50``, ``use_timm_backbone``, kwargs of timm; preprocessor of the older style."""
    classifier(folder, "safetensors")
    config = json.loads((folder / "config.json").read_text())
    config |= {"backbone": "resnet50", "use_timm_backbone": True, "use_pretrained_backbone": True, "dilation": False}
    config |= {"model_type": "detr", "backbone_kwargs": {"in_chans": 3, "out_indices": [1, 2, 3, 4]}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"do_normalize": True, "feature_extractor_type": "DetrFeatureExtractor", "format": "coco_detection"})
    )


@kind("siglip-sentencepiece-and-template")
def siglip(folder: Path) -> None:
    """A VLM: tokenizer.model, processor_config.json, chat_template.json and .jinja, generation_config.json."""
    text = {"model_type": "llama", "hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    text |= {"vocab_size": 600, "intermediate_size": 32, "num_key_value_heads": 2}
    vision = {**VIT, "model_type": "siglip_vision_model"}
    model = net("LlavaConfig", "LlavaForConditionalGeneration", text_config=text, vision_config=vision)
    published(folder, model, "safetensors")
    beside.sentencepiece(folder, "tokenizer.model")
    beside.clip_tokenizer(folder)
    beside.image_processor(folder, "SiglipImageProcessor")
    (folder / "processor_config.json").write_text(
        json.dumps({"processor_class": "LlavaProcessor", "patch_size": 14, "vision_feature_select_strategy": "full"})
    )
    (folder / "chat_template.jinja").write_text(QWEN)
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": QWEN}))
    (folder / "video_preprocessor_config.json").write_text(json.dumps({"fps": 2}))


@kind("llama-vision-original")
def original(folder: Path) -> None:
    """original/consolidated.00.pth, params.json, tokenizer.model; safetensors in the root; USE_POLICY.md."""
    classifier(folder, "safetensors")
    (folder / "original").mkdir()
    torch.save({"vision_model.x": torch.ones(2).bfloat16()}, folder / "original/consolidated.00.pth")
    (folder / "original/params.json").write_text(json.dumps({"dim": 4096, "vision_chunk_size": 560}))
    beside.sentencepiece(folder / "original", "tokenizer.model")
    for name in ("USE_POLICY.md", "LICENSE.txt", "README_zh-CN.md", "README.ja.md", "README_ES.md"):
        (folder / name).write_text("# 使用政策 方針\n\nvérité ñ — “quoted”\n", encoding="utf-8")


@kind("pixtral-consolidated", "torch")
def pixtral(folder: Path) -> None:
    """consolidated.safetensors, params.json, tekken.json, no config."""
    from safetensors.torch import save_file

    save_file({"a.weight": torch.ones(2, 2).bfloat16()}, folder / "consolidated.safetensors")
    (folder / "params.json").write_text(json.dumps({"dim": 5120, "vision_encoder": {"hidden_size": 1024}}))
    rows = [{"rank": n, "token_bytes": "AA==", "token_str": "\x00"} for n in range(40)]
    text = {"config": {"pattern": "[^\\r\\n\\p{L}]+", "num_vocab_tokens": 131072}, "vocab": rows, "special_tokens": []}
    (folder / "tekken.json").write_text(json.dumps(text))
    beside.card(folder, library="vllm")


@kind("float8-and-new-dtypes")
def new_types(folder: Path) -> None:
    """FP8 weights with their scales, compressed-tensors config, an index of a single shard."""
    from safetensors.torch import load_file, save_file

    classifier(folder, "safetensors")
    state = load_file(folder / "model.safetensors")
    for key in [key for key in state if state[key].ndim == 2]:
        state[key.replace("weight", "weight_scale")] = torch.ones(1)
        state[key] = state[key].to(torch.float8_e4m3fn)
    (folder / "model.safetensors").unlink()
    save_file(state, folder / "model-00001-of-00001.safetensors", {"format": "pt"})
    index = {"metadata": {"total_size": 1, "total_parameters": 5}, "weight_map": {}}
    index["weight_map"] = dict.fromkeys(state, "model-00001-of-00001.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {
        "quant_method": "compressed-tensors",
        "format": "float-quantized",
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 8, "type": "float"}}},
        "ignore": ["re:vision_tower.*", "classifier"],
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "recipe.yaml").write_text("default_stage:\n  default_modifiers:\n    QuantizationModifier: {}\n")


@kind("gptq-and-awq")
def gptq(folder: Path) -> None:
    """GPTQ and AWQ configs: quantize_config.json, modules_to_not_convert, meta of the tool."""
    classifier(folder, "safetensors")
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4, "checkpoint_format": "gptq", "sym": True}
    config["quantization_config"] |= {"meta": {"quantizer": ["gptqmodel:1.4"], "uri": "https://github.com/x/y"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "quantize_config.json").write_text(json.dumps({"bits": 4, "model_file_base_name": "gptq_model-4bit"}))


@kind("diffusers-vae")
def vae(folder: Path) -> None:
    """A VAE alone: config.json with ``_class_name``, diffusion_pytorch_model.safetensors and .bin."""
    from safetensors.torch import save_file

    weights = {"encoder.conv_in.weight": torch.ones(4, 3, 3, 3)}
    (folder / "config.json").write_text(
        json.dumps({"_class_name": "AutoencoderKL", "_diffusers_version": "0.4.2", "_name_or_path": "../out/vae"})
    )
    save_file(weights, folder / "diffusion_pytorch_model.safetensors")
    torch.save(weights, folder / "diffusion_pytorch_model.bin")
    save_file(weights, folder / "sdxl.vae.safetensors")
    beside.card(folder, "text-to-image", "diffusers")


@kind("sentence-transformers-new")
def sentence(folder: Path) -> None:
    """sentence-transformers 3 to 5: modules.json, 1_Pooling/, 2_Dense/ with pytorch_model.bin, a model in the root."""
    model = net("CLIPConfig", "CLIPModel", **CLIP)
    published(folder, model, "safetensors")
    beside.clip_tokenizer(folder)
    for name in ("1_Pooling", "2_Dense", "3_Normalize"):
        (folder / name).mkdir()
    (folder / "1_Pooling/config.json").write_text(json.dumps({"word_embedding_dimension": 24}))
    dense = {
        "in_features": 24,
        "out_features": 8,
        "bias": True,
        "activation_function": "torch.nn.modules.activation.Tanh",
    }
    (folder / "2_Dense/config.json").write_text(json.dumps(dense))
    torch.save({"linear.weight": torch.ones(8, 24), "linear.bias": torch.ones(8)}, folder / "2_Dense/pytorch_model.bin")
    kinds = ("Transformer", "Pooling", "Dense", "Normalize")
    modules = [
        {"idx": n, "name": str(n), "path": f"{n}_{name}" if n else "", "type": f"sentence_transformers.models.{name}"}
        for n, name in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 77, "do_lower_case": False}))
    (folder / "config_sentence_transformers.json").write_text(
        json.dumps({"__version__": {"sentence_transformers": "5.0"}, "prompts": {}, "similarity_fn_name": "cosine"})
    )


@kind("endpoint-handler")
def handler(folder: Path) -> None:
    """A custom handler for Inference Endpoints: handler.py, requirements.txt, create_handler.ipynb, Dockerfile."""
    classifier(folder, "safetensors")
    (folder / "handler.py").write_text(
        "from typing import Any\nimport base64, subprocess\n\n\nclass EndpointHandler:\n"
        "    def __init__(self, path=''):\n        self.path = path\n"
    )
    (folder / "requirements.txt").write_text("timm==0.9.2\n")
    (folder / "start.sh").write_text("#!/bin/bash\nset -e\npip install -r requirements.txt\npython app.py\n")
    (folder / "Dockerfile.gpu").write_text("FROM nvidia/cuda:12\n")


@kind("downloaded-and-pushed-again")
def mirrored(folder: Path) -> None:
    """``local_dir`` downloads pushed whole: .cache/huggingface/**, ModelScope's .msc, .mdl, .mv, configuration.json."""
    import pickle

    classifier(folder, "safetensors")
    cache = folder / ".cache/huggingface/download"
    cache.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "README.md"):
        (cache / f"{name}.metadata").write_text('0123456789abcdef0123456789abcdef01234567\n"etag"\n1700000000.5\n')
        (cache / f"{name}.lock").write_bytes(b"")
    (folder / ".cache/huggingface/.gitignore").write_text("*")
    (folder / ".cache/huggingface/CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55\n")
    (folder / ".msc").write_bytes(pickle.dumps([{"Path": "config.json", "Revision": "abc"}]))
    (folder / ".mdl").write_bytes(b"\x80\x04\x95\x12\x00\x00\x00\x00\x00\x00\x00\x8c\x0eorg/some-model\x94.")
    (folder / ".mv").write_text("Revision:master,CreatedAt:1700000000")
    (folder / "configuration.json").write_text(json.dumps({"framework": "pytorch", "task": "image-classification"}))


@kind("names-with-spaces-and-signs")
def names(folder: Path) -> None:
    """Spaces, umlauts, Chinese, emoji, hashes and brackets in names."""
    model = classifier(folder, "safetensors")
    torch.save(model.state_dict(), folder / "模型 (1) #2.pth")
    (folder / "Übersicht & Größen.md").write_text("# Größen\n", encoding="utf-8")
    (folder / "результаты.csv").write_text("эпоха,потери\n1,0.5\n", encoding="utf-8")
    beside.image(folder / "картинка 🐈.png")
    (folder / "notes [final]" / "v1.0").mkdir(parents=True)
    (folder / "notes [final]" / "v1.0" / "read me.txt").write_text("x\n")


@kind("several-formats-in-folders")
def folders(folder: Path) -> None:
    """pytorch/, safetensors/, fp16/ and torchscript/ with the config in each; the root has only a card."""
    for name in ("pytorch", "safetensors", "fp16"):
        place = folder / name
        place.mkdir()
        model = classifier(place, "bin" if name == "pytorch" else "safetensors")
        if name == "fp16":
            model.half().save_pretrained(place, variant="fp16")
    (folder / "torchscript").mkdir()
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(folder / "torchscript/model.pt"))
    shutil.copy(folder / "pytorch/README.md", folder / "README.md")
