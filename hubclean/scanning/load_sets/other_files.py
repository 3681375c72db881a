"""What timm, peft and open_clip open, and what is taken for state dicts where no library says which file.

Read off ``timm/models/_hub.py`` and ``_builder.py`` (1.0.20 to 1.0.31), ``peft/utils/save_and_load.py`` (0.17 to 0.21;
run with 0.21), ``open_clip/factory.py`` and ``pretrained.py`` (3.x).
"""

from __future__ import annotations

import re

from hubclean.scanning.formats.names import PICKLE_NAMES, is_training_state, suffix
from hubclean.scanning.load_sets.opened import Found, Opened
from hubclean.scanning.load_sets.transformers_files import adapter_base, processors_and_tokenizers

_TIMM_LOCAL = (
    *("model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth"),
    *("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors"),
    *("open_clip_pytorch_model.bin", "open_clip_pytorch_model.pth"),
)
OTHER_NAMES = (
    *_TIMM_LOCAL,
    *("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin", "open_clip_config.json"),
    *(
        "model_index.json",
        "diffusion_pytorch_model.safetensors",
        "diffusion_pytorch_model.bin",
        "scheduler_config.json",
    ),
    *("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json", "router_config.json"),
)
_TIMM_ENDINGS = (".safetensors", ".pth", ".pth.tar", ".bin")
_CHECKPOINTS = re.compile(r"(?:^|/)(?:checkpoint-\d+|last-checkpoint|global_step\d+)/")


def timm_files(opened: Opened) -> Found:
    """``create_model("hf-hub:...")``; of a folder also ``local-dir:``, which looks for more names."""
    config = opened.table("config.json")
    inner = config.get("pretrained_cfg")
    named = (inner if isinstance(inner, dict) else config).get("hf_hub_filename")
    name = named if isinstance(named, str) and named else "pytorch_model.bin"
    weights = opened.there([opened.first(*_safer(name), name)])
    if not weights and opened.local:
        weights = opened.there([opened.first(*_TIMM_LOCAL) or _by_ending(opened)])
    return Found(opened.there(["config.json"]), weights)


def _safer(name: str) -> tuple[str, ...]:
    """``timm.models._hub._get_safe_alternatives``."""
    known = {
        "pytorch_model.bin": ("model.safetensors",),
        "open_clip_pytorch_model.bin": ("open_clip_model.safetensors",),
    }
    return known.get(name, (f"{name[:-4]}.safetensors",) if name.endswith(".bin") else ())


def _by_ending(opened: Opened) -> str:
    """timm's last resort in a folder: the first file with an ending of weights."""
    root = [name for name in opened.names if "/" not in name]
    return next((name for ending in _TIMM_ENDINGS for name in root if name.endswith(ending)), "")


def peft_files(opened: Opened) -> Found:
    """``PeftModel.from_pretrained``; nothing of the base, another repo. Its processor often lies here."""
    weights = opened.there([opened.first("adapter_model.safetensors", "adapter_model.bin")])
    texts = (*opened.there(["adapter_config.json"]), *processors_and_tokenizers(opened))
    return Found(texts, weights, base=adapter_base(opened.table("adapter_config.json")))


def open_clip_files(opened: Opened) -> Found:
    """``create_model_and_transforms("hf-hub:...")`` and ``get_tokenizer``."""
    weights = opened.there([opened.first("open_clip_model.safetensors", "open_clip_pytorch_model.bin")])
    tokenizers = [name for name in processors_and_tokenizers(opened) if "processor" not in name.rsplit("/", 1)[-1]]
    return Found((*opened.there(["open_clip_config.json"]), *tokenizers), weights, base=_text_models(opened))


def _text_models(opened: Opened) -> tuple[str, ...]:
    """The repos from which open_clip takes the text model and its tokenizer, if it names any."""
    model = opened.table("open_clip_config.json").get("model_cfg")
    text = model.get("text_cfg") if isinstance(model, dict) else None
    named = [text.get(key) for key in ("hf_model_name", "hf_tokenizer_name")] if isinstance(text, dict) else []
    own = opened.reader.ref.repo_id
    return tuple(dict.fromkeys(name for name in named if isinstance(name, str) and "/" in name and name != own))


def torch_files(opened: Opened) -> Found:
    """Every file that somebody may load as a state dict, but the state of a training and its checkpoints."""
    kinds = (*PICKLE_NAMES, ".safetensors")
    found = [
        name
        for name in opened.names
        if suffix(name) in kinds and not is_training_state(name) and not in_checkpoint(name)
    ]
    return Found(opened.there(["config.json"]), opened.there(found))


def in_checkpoint(path: str) -> bool:
    """Whether a file lies in a folder that a trainer wrote to go on from."""
    return _CHECKPOINTS.search(path) is not None
