"""What transformers opens: ``Auto*.from_pretrained`` of model, processor and tokenizer, and ``pipeline``.

Read off ``modeling_utils._get_resolved_checkpoint_files``, ``configuration_utils``, ``image_processing_auto``,
``processing_utils``, ``tokenization_utils_base`` and ``integrations/peft`` of transformers 5.5 to 5.23; 4.x asks in the
same order. What is asked for and not there (404) is no part of it.
"""

from __future__ import annotations

import re
from typing import Any

from hubclean.scanning.load_sets.opened import Found, Opened

_SAFE, _SAFE_INDEX = "model.safetensors", "model.safetensors.index.json"
_PICKLE, _PICKLE_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
_PROCESSORS = (
    "processor_config.json",
    "preprocessor_config.json",
    "image_processor_config.json",
    "feature_extractor_config.json",
    "video_preprocessor_config.json",
    "audio_tokenizer_config.json",
    "chat_template.json",
    "chat_template.jinja",
)
_TOKENIZERS = (
    "tokenizer_config.json",
    "tokenizer.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "vocab.bpe",
    "merges.txt",
    "bpe.codes",
    "dict.txt",
    "spiece.model",
    "spm.model",
    "sentencepiece.bpe.model",
    "sentencepiece.model",
    "bpe.model",
    "tokenizer.model",
    "tiktoken.model",
    "tekken.json",
    "source.spm",
    "target.spm",
    "emoji.json",
    "entity_vocab.json",
    "normalizer.json",
    "byte_level_bpe.json",
)
TRANSFORMERS_NAMES = (
    *("config.json", "generation_config.json", _SAFE, _SAFE_INDEX, _PICKLE, _PICKLE_INDEX),
    *(*_PROCESSORS, *_TOKENIZERS),
)
_TEMPLATES = re.compile(r"additional_chat_templates/[^/]+\.jinja")
_VERSIONED = re.compile(r"(?:config|tokenizer)\.[0-9][\w.]*\.json")
_GENERATES = re.compile(r"Generation|CausalLM|LMHead|Seq2Seq|EncoderDecoder|ImageTextToText|Vision2Seq")


def processors_and_tokenizers(opened: Opened) -> tuple[str, ...]:
    """Those that are there. One class opens some of the tokenizer files, another the others: all are taken."""
    tokenizer = opened.table("tokenizer_config.json").get("fast_tokenizer_files")
    templates = [name for name in opened.names if _TEMPLATES.fullmatch(name)]
    return opened.there([*_PROCESSORS, *_TOKENIZERS, *_versioned(tokenizer), *templates])


def transformers_files(opened: Opened) -> Found:
    """Configs, processors, tokenizers, weights: safetensors, else pickles; whole, else in shards."""
    config = opened.table("config.json")
    texts = ["config.json", *_versioned(config.get("configuration_files"))]
    if _generates(config):
        texts.append("generation_config.json")
    adapter = opened.table("adapter_config.json")
    weights, note = _weights(opened, config)
    base = adapter_base(adapter) if adapter else ()
    adapters = opened.there([opened.first("adapter_model.safetensors", "adapter_model.bin")]) if adapter else ()
    first = opened.there(["adapter_config.json"] if adapter else [])
    return Found((*first, *opened.there(texts), *processors_and_tokenizers(opened)), (*weights, *adapters), note, base)


def adapter_base(adapter: dict[str, Any]) -> tuple[str, ...]:
    """The repo whose weights an adapter changes."""
    base = adapter.get("base_model_name_or_path")
    return (base,) if isinstance(base, str) and base else ()


def _weights(opened: Opened, config: dict[str, Any]) -> tuple[tuple[str, ...], str]:
    explicit = config.get("transformers_weights")
    if isinstance(explicit, str) and explicit:
        found, note = opened.whole_or_shards(explicit)
        return found, note or ("" if found else "the config names weights that are not there")
    return opened.whole_or_shards(*map(opened.with_variant, (_SAFE, _SAFE_INDEX, _PICKLE, _PICKLE_INDEX)))


def _versioned(names: object) -> list[str]:
    """Files for certain versions of transformers, of which it takes one."""
    return (
        [name for name in names if isinstance(name, str) and _VERSIONED.fullmatch(name)]
        if isinstance(names, list)
        else []
    )


def _generates(config: dict[str, Any]) -> bool:
    """Whether the model writes text, so that its generation config is opened; an unknown one may."""
    classes = config.get("architectures")
    if not isinstance(classes, list) or not classes:
        return True
    return any(isinstance(name, str) and _GENERATES.search(name) for name in classes)
