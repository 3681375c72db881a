"""Honest configs and names as libraries and their users write them, by the same kinds."""

from __future__ import annotations

from support.config_cases import VIT, Files, cfg, clip, image, lora, pipeline, sentences, timm, tokens, vit
from support.scanned_files import safetensors

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
    (
        "processor",
        {
            "audio_tokenizer_config.json": {
                "audio_tokenizer_name_or_path": "org/dac",
                "audio_tokenizer_class": "DacModel",
            }
        },
    ),
    (
        "processor",
        {
            "speaker_embeddings_path.json": {
                "repo_or_path": "suno/bark",
                "v2/en": {"semantic_prompt": "speaker_embeddings/v2/en.npy"},
            }
        },
    ),
    ("selects", vit(configuration_files=["config.4.0.0.json", "config.json"])),
    ("selects", tokens(special_tokens_map_file="/home/me/.cache/huggingface/transformers/abc", name_or_path="org/x")),
    ("selects", tokens(tokenizer_file="/home/me/.cache/huggingface/hub/models--x/snapshots/abc/tokenizer.json")),
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
    (
        "peft",
        lora(auto_mapping={"base_model_class": "UNet2DConditionModel", "parent_library": "diffusers.models.unets"}),
    ),
    ("peft", lora(auto_mapping={"base_model_class": "Net", "parent_library": "__main__"})),
    ("peft", lora(peft_type="PROMPT_TUNING", tokenizer_name_or_path="google/vit-base-patch16-224")),
    ("peft", lora(peft_type="XLORA", adapters={"0": "org/lora-a", "1": "org/lora-b"})),
    ("peft", lora(corda_config=None, eva_config=None, loftq_config={}, layer_replication=None)),
    ("open_clip", clip({"context_length": 64, "hf_tokenizer_name": "timm/ViT-B-16-SigLIP"})),
    (
        "open_clip",
        clip({"hf_model_name": "xlm-roberta-base", "hf_tokenizer_name": "xlm-roberta-base", "hf_pooler_type": "mean"}),
    ),
    (
        "open_clip",
        clip({"hf_model_name": "FacebookAI/roberta-base"}, {"timm_model_name": "vit_base_patch16_siglip_224"}),
    ),
    ("pipeline", pipeline(unet=["diffusers", "UNet2DConditionModel"], vae=[None, None], _diffusers_version="0.30.0")),
    ("pipeline", pipeline(safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"])),
    (
        "pipeline",
        pipeline(watermarker=["deepfloyd_if", "IFWatermarker"], text_encoder=["transformers", "T5EncoderModel"]),
    ),
    (
        "sentences",
        sentences({"type": "sentence_transformers.models.Transformer"}, {"type": "pylate.models.Dense.Dense"}),
    ),
    (
        "sentences",
        {"2_Dense/config.json": {"in_features": 8, "activation_function": "torch.nn.modules.activation.Tanh"}},
    ),
    (
        "sentences",
        vit(activation_function="gelu_new", sbert_ce_default_activation_function="torch.nn.modules.linear.Identity"),
    ),
    (
        "sentences",
        {
            "sentence_bert_config.json": {
                "max_seq_length": 256,
                "do_lower_case": False,
                "model_args": {"attn_implementation": "sdpa"},
            }
        },
    ),
    (
        "keras",
        {
            "task.json": {
                "module": "keras_hub.src.models.vit",
                "class_name": "ViTImageClassifier",
                "config": {"x": 1},
                "registered_name": "keras_hub>ViTImageClassifier",
            }
        },
    ),
    ("keras", {"results.json": {"model": {"class_name": "my_net", "config": {"lr": 0.1}, "module": "nets"}}}),
    ("named", {"config.json": {**VIT, "id2label": {"0": "os.system", "1": "builtins.eval"}}}),
    ("named", {"config.json": {**VIT, "name": "os.system", "tokens": [{"content": "builtins.eval"}]}}),
    ("transformers", {"preprocessor_config.json": {"tesseract_config": "--psm 6 --oem 3", "ocr_lang": None}}),
    ("transformers", {"tokenizer_config.json": {"mecab_kwargs": {"mecab_dic": "unidic_lite"}, "sp_model_kwargs": {}}}),
    ("named", {"samples.json": {"text": "__import__('os').system('id')", "prompt": "never call eval(x) in it"}}),
    ("names", {"My film \u29f8 part 2.mp4.txt": b"a\n"}),
    (
        "sentences",
        {"0_W/wordembedding_config.json": {"tokenizer_class": "sentence_transformers.models.X"}},
    ),
    ("named", {"tools.json": {"blocklist": ["os.system", "subprocess.Popen"], "text": "os.system"[:4]}}),
    ("named", {"configs/inference.json": {"imports": ["$import glob", "$import os"], "x": "$os.path.join(@a, 'b')"}}),
    (
        "diffusers",
        {
            "modular_model_index.json": {
                "_class_name": "ModularPipeline",
                "unet": [None, None, {"type_hint": ["diffusers", "UNet2DConditionModel"], "variant": None}],
            }
        },
    ),
    ("requirements", {"pyproject.toml": b'[project]\nname = "x"\nurls = {home = "https://me.example"}\n'}),
    ("requirements", {"Pipfile": b'[[source]]\nurl = "https://pypi.org/simple"\n[packages]\ntorch = "*"\n'}),
    ("names", {"family \U0001f468\u200d\U0001f469\u200d\U0001f467.txt": b"text\n", "price: $5.txt": b"5\n"}),
    ("names", {"README.md": b"# x\n", "license": b"MIT", "LICENSE.txt": b"MIT"}),
    ("names", {"\u043f\u0440\u0438\u043c\u0435\u0440.txt": b"text\n", "\u4f8b.md": b"text\n"}),
    ("names", {"vi/config.json": VIT, "v1/config.json": VIT, "vl/config.json": VIT}),
    ("names", {"Config.yaml": b"a: 1\n", "sub/config.json": VIT}),
    ("twice", {"model.safetensors": safetensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})}),
    ("requirements", {"requirements.txt": b"torch\n--extra-index-url https://download.pytorch.org/whl/cu121\n"}),
    (
        "requirements",
        {
            "app.py": b"import gradio\n",
            "requirements.txt": b"git+https://github.com/huggingface/transformers\ngradio\n",
        },
    ),
    (
        "requirements",
        {"custom_generate/requirements.txt": b"transformers>=4.50\n# -i https://x\nx; python_version > '3.8'\n"},
    ),
]
