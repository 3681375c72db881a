"""Configs of transformers once more."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.scan.hostile.cases import Case, Files, bad, twin
from benchmarks.scan.hostile.ordinary import PREPROCESSOR, VIT, chat, diffusion, sentences, vit

TRUST = "from_pretrained(trust_remote_code=True) imports code of the repo or another"
KERNEL = (
    "transformers 4.54 to 5.4 fetches the kernel repo and imports it, whatever trust_remote_code says (CVE-2026-5241)"
)
READS = "reads a file of the machine"
CODE = "import os\n\nos.system('true')\n\n\nclass X:\n    pass\n"


def _config(label: str, loader: str, files: Files | None = None, **fields: Any) -> Case:
    return bad(label, loader, lambda: vit(dict(files or {}), **fields))


def _raw(label: str, body: str, loader: str) -> Case:
    return bad(label, loader, lambda: vit({"config.json": body}))


def _processor(label: str, loader: str, **fields: Any) -> Case:
    return bad(label, loader, lambda: vit({"preprocessor_config.json": PREPROCESSOR | fields}))


def _tokenizer(label: str, loader: str, **fields: Any) -> Case:
    return bad(label, loader, lambda: chat(None, **fields))


PLAIN = json.dumps(VIT)[:-1]
CASES: tuple[Case, ...] = (
    _raw(
        "key-twice",
        PLAIN + ', "_attn_implementation": "eager", "_attn_implementation": "some/kernel"}',
        KERNEL + "; the last key counts",
    ),
    _raw("key-by-escapes", PLAIN + ', "\\u005fattn\\u005fimplementation": "some\\/kernel"}', KERNEL),
    _raw("auto-map-by-escapes", PLAIN + ', "auto\\u005fmap": {"AutoModel": "some/repo\\u002d-m.X"}}', TRUST),
    _config("kernel-for-the-whole", KERNEL, _attn_implementation={"": "some/kernel"}),
    _config("kernel-at-a-revision", KERNEL, attn_implementation="some/kernel@0a1b2c3"),
    _config("kernel-with-wrapper-and-function", KERNEL, _attn_implementation="flash|some/kernel:run"),
    _config(
        "kernel-of-the-backbone", KERNEL, backbone_config={"model_type": "swin", "_attn_implementation": "some/kernel"}
    ),
    _config("kernel-in-a-list", KERNEL, sub_configs=[{"model_type": "x", "attn_implementation": "some/kernel"}]),
    _config(
        "renamed-kernel-of-the-backbone",
        KERNEL,
        backbone_config={"attribute_map": {"q": "attn_implementation"}, "q": "some/kernel"},
    ),
    _config(
        "renamed-backbone-arguments",
        "attribute_map, then timm.create_model(**backbone_kwargs)",
        attribute_map={"extra": "model_args"},
        model_type="timm_wrapper",
        architecture="resnet18",
        extra={"checkpoint_path": "../../x.pth"},
    ),
    _config("auto-map-list", TRUST, auto_map={"AutoModel": ["modeling_x.X", None]}, files={"modeling_x.py": CODE}),
    bad(
        "kernel-in-a-pipeline",
        KERNEL,
        lambda: diffusion(
            {"text_encoder/config.json": {"model_type": "clip_text_model", "_attn_implementation": "some/kernel"}},
            text_encoder=["transformers", "CLIPTextModel"],
        ),
    ),
    bad(
        "code-in-a-pipeline",
        TRUST,
        lambda: diffusion(
            {"text_encoder/config.json": {"model_type": "x", "auto_map": {"AutoModel": "some/repo--m.X"}}},
            text_encoder=["transformers", "AutoModel"],
        ),
    ),
    bad(
        "kernel-in-a-sentence-model",
        KERNEL,
        lambda: sentences({"config.json": {"model_type": "bert", "_attn_implementation": "some/k"}}),
    ),
    bad(
        "kernel-in-a-subfolder",
        KERNEL,
        lambda: vit(
            {
                "large/config.json": VIT | {"_attn_implementation": "some/kernel"},
                "large/model.safetensors": b"\x02\0\0\0\0\0\0\0{}",
            }
        ),
    ),
    bad(
        "config-by-version-in-a-subfolder",
        KERNEL,
        lambda: vit(
            {
                "large/config.json": VIT | {"configuration_files": ["config.4.2.0.json"]},
                "large/config.4.2.0.json": VIT | {"attn_implementation": "some/kernel"},
            }
        ),
    ),
    _processor("feature-extractor-code", TRUST, auto_map={"AutoFeatureExtractor": "some/repo--m.X"}),
    _processor("processor-code", TRUST, auto_map={"AutoProcessor": "processing_x.X"}),
    _processor(
        "options-of-tesseract",
        "LayoutLMv3ImageProcessor hands them to the program tesseract, which writes debug_file",
        image_processor_type="LayoutLMv3ImageProcessor",
        apply_ocr=True,
        tesseract_config="-c debug_file=/tmp/x",
    ),
    _processor(
        "class-info-above",
        f"OneFormerImageProcessor {READS}",
        image_processor_type="OneFormerImageProcessor",
        repo_path="../..",
        class_info_file="x.json",
    ),
    bad(
        "audio-tokenizer-code",
        "processors load audio_tokenizer_name_or_path: another repo or path",
        lambda: vit(
            {
                "processor_config.json": {
                    "processor_class": "DiaProcessor",
                    "audio_tokenizer": {"audio_tokenizer_class": "DacModel", "audio_tokenizer_name_or_path": "../../x"},
                }
            }
        ),
    ),
    bad(
        "voices-with-a-path",
        "BarkProcessor joins the path, numpy.load opens it",
        lambda: vit(
            {
                "speaker_embeddings_path.json": {
                    "repo_or_path": "some/repo",
                    "v2/en": {"coarse_prompt": "../../../x.npy"},
                }
            }
        ),
    ),
    _tokenizer("tokenizer-code-old-form", TRUST, auto_map=["tokenization_x.X", None]),
    _tokenizer("merges-outside", READS, merges_file="/etc/passwd"),
    _tokenizer(
        "sentencepiece-outside",
        "SentencePieceProcessor(**sp_model_kwargs) " + READS,
        tokenizer_class="SiglipTokenizer",
        sp_model_kwargs={"model_file": "/etc/passwd"},
    ),
    _tokenizer(
        "options-of-mecab",
        "BertJapaneseTokenizer hands them to MeCab, which reads rc file and dictionary",
        tokenizer_class="BertJapaneseTokenizer",
        word_tokenizer_type="mecab",
        mecab_kwargs={"mecab_option": "-r /tmp/x -d /tmp/y"},
    ),
    _tokenizer(
        "template-name-absolute",
        "save_pretrained before 5.x writes NAME.jinja there",
        chat_template=[{"name": "/tmp/x", "template": "x"}],
    ),
    # twins
    twin(
        "attention-dict",
        "transformers",
        lambda: vit(_attn_implementation={"text_config": "sdpa", "vision_config": "eager"}),
    ),
    twin("attention-public", "transformers", lambda: vit(attn_implementation="flash_attention_2")),
    twin(
        "ocr",
        "transformers",
        lambda: vit(
            {
                "preprocessor_config.json": (
                    PREPROCESSOR
                    | {
                        "image_processor_type": "LayoutLMv3ImageProcessor",
                        "apply_ocr": True,
                        "ocr_lang": None,
                        "tesseract_config": "--psm 6",
                    }
                )
            }
        ),
    ),
    twin(
        "japanese",
        "transformers",
        lambda: chat(
            None,
            tokenizer_class="BertJapaneseTokenizer",
            word_tokenizer_type="mecab",
            mecab_kwargs={"mecab_dic": "unidic_lite"},
            sp_model_kwargs={},
        ),
    ),
    twin(
        "sampling-of-sentencepiece",
        "transformers",
        lambda: chat(None, sp_model_kwargs={"enable_sampling": True, "alpha": 0.1}),
    ),
    twin(
        "swin-backbone",
        "transformers",
        lambda: vit(backbone_config={"model_type": "swin", "depths": [2, 2], "out_features": ["stage4"]}),
    ),
    twin(
        "audio-tokenizer",
        "transformers",
        lambda: vit(
            {
                "processor_config.json": {
                    "processor_class": "DiaProcessor",
                    "audio_tokenizer": {
                        "audio_tokenizer_class": "DacModel",
                        "audio_tokenizer_name_or_path": "descript/dac_44khz",
                    },
                }
            }
        ),
    ),
    twin(
        "ids-and-paths",
        "transformers",
        lambda: vit(_name_or_path="./results/checkpoint-1000", id2label={"0": "a/b", "1": "../c"}),
    ),
    twin(
        "local-names-in-tokenizer",
        "transformers",
        lambda: chat(
            None,
            name_or_path="C:\\Users\\me\\model",
            processor_class="LlavaProcessor",
            added_tokens_decoder={"0": {"content": "<unk>", "special": True}},
        ),
    ),
)
