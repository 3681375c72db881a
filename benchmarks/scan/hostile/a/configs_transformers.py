"""Configs that transformers reads: code, kernels, other repos, files of the machine."""

from __future__ import annotations

from typing import Any

from benchmarks.scan.hostile.cases import Case, Files, bad, twin
from benchmarks.scan.hostile.ordinary import PREPROCESSOR, VIT, chat, lora, vit

CODE = "import os\n\nos.system('true')\n\n\nclass X:\n    pass\n"
TRUST = "AutoModel.from_pretrained(trust_remote_code=True), asked for at load, imports code of the repo or another"
KERNEL = (
    "transformers 4.54 to 5.4 fetches the kernel repo and imports it, whatever trust_remote_code says (CVE-2026-5241)"
)
RENAMED = "PretrainedConfig.__setattr__ renames the key by attribute_map of the same file before it is set: " + KERNEL
OUTSIDE = "opens a file of the machine as vocabulary or data"
KERNEL_CODE = {"auto_map": {"AutoConfig": "configuration_x.X", "AutoModelForImageClassification": "modeling_x.X"}}


def _config(label: str, loader: str, files: Files | None = None, **fields: Any) -> Case:
    return bad(label, loader, lambda: vit(dict(files or {}), **fields))


def _tokenizer(label: str, loader: str, **fields: Any) -> Case:
    return bad(label, loader, lambda: chat(None, **fields))


def _beside(label: str, path: str, content: dict[str, Any], loader: str) -> Case:
    return bad(label, loader, lambda: vit({path: content}))


LEGACY: dict[str, Any] = {"model_type": "timm_wrapper", "architectures": ["TimmWrapperForImageClassification"]}
MAPPED = {"AutoImageProcessor": "processing_x.X"}

CASES: tuple[Case, ...] = (
    _config("auto-map", TRUST, {"modeling_x.py": CODE, "configuration_x.py": CODE}, **KERNEL_CODE),
    _config("auto-map-of-another-repo", TRUST, auto_map={"AutoModel": "some/repo--modeling_x.X"}),
    _config(
        "auto-map-in-a-part",
        TRUST + ": AutoModel.from_config(config.text_config)",
        text_config={"model_type": "x", "auto_map": {"AutoModel": "some/repo--m.X"}},
    ),
    _config("auto-map-in-a-list-of-parts", TRUST, experts=[{"auto_map": {"AutoModel": "some/repo--m.X"}}]),
    _config("kernel", KERNEL, _attn_implementation="some/kernel"),
    _config("kernel-public-name", KERNEL, attn_implementation="some/kernel@main:attention"),
    _config("kernel-internal-name", KERNEL, _attn_implementation_internal="some/kernel"),
    _config("kernel-with-a-wrapper", KERNEL, _attn_implementation="paged|some/kernel"),
    _config("kernel-with-spaces", KERNEL + "; spaces are stripped", _attn_implementation=" some/kernel :fn "),
    _config("kernel-by-part", KERNEL + "; a dict sets each part", _attn_implementation={"text_config": "some/kernel"}),
    _config("kernel-in-a-deep-part", KERNEL, vision_config={"encoder": {"_attn_implementation": "some/kernel"}}),
    _config("kernel-renamed", RENAMED, attribute_map={"speed": "_attn_implementation"}, speed="some/kernel"),
    _config(
        "kernel-renamed-to-internal", RENAMED, attribute_map={"a": "_attn_implementation_internal"}, a="some/kernel"
    ),
    _config(
        "renamed-in-a-part", RENAMED, vision_config={"attribute_map": {"z": "_attn_implementation"}, "z": "some/kernel"}
    ),
    _config(
        "auto-map-renamed",
        TRUST + ", after attribute_map",
        attribute_map={"note": "auto_map"},
        note={"AutoModel": "some/repo--m.X"},
    ),
    bad(
        "another-config-by-version",
        "configuration_files picks config.4.0.0.json for every transformers since 4.0; " + TRUST,
        lambda: vit(
            {"config.4.0.0.json": VIT | {"auto_map": {"AutoModel": "some/repo--m.X"}}},
            configuration_files=["config.4.0.0.json"],
        ),
    ),
    bad(
        "another-config-in-a-folder",
        "the pattern only searches for config.VERSION.json: " + KERNEL,
        lambda: vit(
            {"docs/config.4.1.0.json": VIT | {"_attn_implementation": "some/kernel"}},
            configuration_files=["docs/config.4.1.0.json"],
        ),
    ),
    bad(
        "custom-generate-folder",
        "generate(custom_generate=folder) ran it from a local folder without consent before 5.x",
        lambda: chat({"custom_generate/generate.py": CODE + "\n\ndef generate(model, **kwargs):\n    return None\n"}),
    ),
    _config(
        "checkpoint-of-timm",
        "TimmWrapper calls timm.create_model(**model_args), which loads checkpoint_path",
        **LEGACY,
        architecture="resnet18",
        model_args={"checkpoint_path": "/tmp/x.pth"},
    ),
    _config(
        "another-repo-of-timm",
        "timm.create_model loads config and weights of that repo",
        **LEGACY,
        architecture="hf-hub:some/repo",
    ),
    _config(
        "backbone-by-timm-address",
        "timm.create_model('hf-hub:some/repo', pretrained=True)",
        backbone="hf-hub:some/repo",
        use_timm_backbone=True,
        use_pretrained_backbone=True,
    ),
    _config(
        "backbone-arguments",
        "timm.create_model(**backbone_kwargs)",
        backbone="resnet18",
        use_timm_backbone=True,
        backbone_kwargs={"checkpoint_path": "../../x.pth"},
    ),
    _beside("image-processor-code", "preprocessor_config.json", PREPROCESSOR | {"auto_map": MAPPED}, TRUST),
    _beside(
        "processor-code-in-a-part",
        "processor_config.json",
        {"processor_class": "X", "image_processor": {"auto_map": MAPPED}},
        TRUST,
    ),
    _beside(
        "video-processor-code",
        "video_preprocessor_config.json",
        {"auto_map": {"AutoVideoProcessor": "some/r--m.X"}},
        TRUST,
    ),
    _beside(
        "class-info-file",
        "preprocessor_config.json",
        PREPROCESSOR
        | {
            "image_processor_type": "OneFormerImageProcessor",
            "repo_path": "/etc",
            "class_info_file": "passwd",
        },
        "OneFormerImageProcessor " + OUTSIDE,
    ),
    _beside(
        "class-info-of-another-repo",
        "preprocessor_config.json",
        PREPROCESSOR
        | {
            "image_processor_type": "OneFormerImageProcessor",
            "repo_path": "some/repo",
            "class_info_file": "../x.json",
        },
        "OneFormer downloads it",
    ),
    _beside(
        "voices-of-another-repo",
        "speaker_embeddings_path.json",
        {"repo_or_path": "/home", "v": {"semantic_prompt": "../x.npy"}},
        "BarkProcessor joins repo_or_path and the path and numpy.load opens it",
    ),
    _tokenizer("tokenizer-code", TRUST, auto_map={"AutoTokenizer": ["tokenization_x.X", None]}),
    _tokenizer(
        "tokenizer-file-outside", "from_pretrained keeps what the config says: " + OUTSIDE, tokenizer_file="/etc/passwd"
    ),
    _tokenizer(
        "vocabulary-outside", "from_pretrained keeps what the config says: " + OUTSIDE, vocab_file="../../x.model"
    ),
    _tokenizer(
        "template-name-with-a-path",
        "save_pretrained before 5.x writes additional_chat_templates/NAME.jinja",
        chat_template=[{"name": "default", "template": "x"}, {"name": "../../../x", "template": "x"}],
    ),
    bad(
        "adapter-beside-with-code",
        "AutoModel.from_pretrained finds the adapter; AutoPeftModel imports parent_library",
        lambda: vit(
            {
                key: value
                for key, value in lora(auto_mapping={"base_model_class": "X", "parent_library": "x_code"}).items()
                if key.startswith("adapter")
            }
            | {"x_code.py": CODE}
        ),
    ),
    # twins
    twin("attention-names", "transformers", lambda: vit(_attn_implementation="sdpa")),
    twin(
        "attention-by-part",
        "transformers",
        lambda: chat(
            {
                "config.json": {
                    "model_type": "llava",
                    "architectures": ["LlavaForConditionalGeneration"],
                    "text_config": {"model_type": "llama", "_attn_implementation": "flash_attention_2"},
                }
            }
        ),
    ),
    twin(
        "fields-of-a-fine-tune",
        "transformers",
        lambda: vit(_name_or_path="google/vit-base-patch16-224-in21k", finetuning_task="image-classification"),
    ),
    twin("name-or-path-of-a-cluster", "transformers", lambda: vit(_name_or_path="/mnt/ckpt/vit/checkpoint-500")),
    twin(
        "backbone-of-detr",
        "transformers",
        lambda: vit(
            model_type="detr",
            architectures=["DetrForObjectDetection"],
            backbone="resnet50",
            use_timm_backbone=True,
            use_pretrained_backbone=True,
            backbone_kwargs={"in_chans": 3, "out_indices": [1, 2]},
        ),
    ),
    twin(
        "timm-wrapper",
        "transformers",
        lambda: vit(
            **LEGACY,
            architecture="resnet18",
            model_args=None,
            pretrained_cfg={"input_size": [3, 224, 224], "url": "", "hf_hub_id": "timm/resnet18.a1_in1k"},
        ),
    ),
    twin(
        "tokenizer-from-a-cluster",
        "transformers",
        lambda: chat(
            None,
            name_or_path="/scratch/run/tokenizer",
            tokenizer_file=None,
            special_tokens_map_file="/root/.cache/huggingface/hub/x/special_tokens_map.json",
        ),
    ),
    twin(
        "oneformer",
        "transformers",
        lambda: vit(
            {
                "preprocessor_config.json": (
                    PREPROCESSOR
                    | {
                        "image_processor_type": "OneFormerImageProcessor",
                        "repo_path": "shi-labs/oneformer_demo",
                        "class_info_file": "ade20k_panoptic.json",
                    }
                )
            }
        ),
    ),
    twin(
        "versions-of-a-config",
        "transformers",
        lambda: vit({"config.4.0.0.json": VIT}, configuration_files=["config.4.0.0.json"]),
    ),
    twin(
        "quantized",
        "transformers",
        lambda: vit(
            quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True, "llm_int8_threshold": 6.0}
        ),
    ),
)
