"""Targets in configs for Hydra: ``_target_`` names what ``hydra.utils.instantiate`` imports and calls.

No loader of weights reads them, and each training repo has some, so an ordinary class is only told of. What runs code,
or is of Python's own library and not plain data, is an attack on those who do instantiate it.
Source: ``hydra/_internal/instantiate/_instantiate2.py`` (``_resolve_target``).
"""

from __future__ import annotations

import re
import sys

from hubclean.scanning.pickles.allowed_names import is_allowed, is_dangerous
from hubclean.scanning.pickles.record_names import kind_of

_PATH = re.compile(r"[^\W\d]\w{0,99}(\.[^\W\d]\w{0,99}){1,20}")
_REFERENCES = ("functools.partial",)  # what it is given is a target of its own
_PLAIN_TYPES = ("dict", "list", "tuple", "set", "int", "float", "str", "bool")
_LIBRARIES_TEXT = """
torch torchvision torchaudio torchmetrics timm transformers diffusers accelerate peft pytorch_lightning lightning monai
albumentations kornia segmentation_models_pytorch numpy omegaconf hydra wandb clearml mlflow open_clip ultralytics mmcv
mmengine fairseq flash_attn einops
"""
_LIBRARIES = frozenset(_LIBRARIES_TEXT.split())
_LOADERS = re.compile(r"(^|_)(load|loads|eval|exec|run|system|open|call|import|save|compile|read|download|popen|spawn)")


def is_ordinary(target: str) -> bool:
    """Whether a target is a class or maker of models, and none that is known to run code or to reach network or files.

    A class (by its name, in upper case) may be of any library or of the repo itself; a function only of a library of
    models, and none that is called a loader.
    """
    if not _PATH.fullmatch(target):
        return False
    module, _, name = target.rpartition(".")
    top = module.split(".")[0]
    if target in _REFERENCES or is_allowed(module, name, 4) or (module == "builtins" and name in _PLAIN_TYPES):
        return True
    if top in sys.stdlib_module_names:
        return kind_of(module, name, 4) in ("new", "made", "factory")
    if any(part.startswith("__") for part in target.split(".")) or is_dangerous(module, name):
        return False
    return name[0].isupper() or (top in _LIBRARIES and not _LOADERS.search(name.lower()))
