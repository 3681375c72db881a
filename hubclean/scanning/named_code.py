"""What a name written in a config may do to whoever makes what it names: Hydra's targets.

Source: Hydra ``_instantiate2.py``.
"""

from __future__ import annotations

from hubclean.records import Severity
from hubclean.scanning.pickles.allowed_names import is_dangerous

_LIBRARIES = (
    *("torch", "torchvision", "timm", "transformers", "diffusers", "lightning", "pytorch_lightning", "monai"),
    *("torchmetrics", "albumentations", "kornia", "segmentation_models_pytorch"),
)


def target(path: str) -> tuple[Severity, bool]:
    """How grave it is to make what a dotted path names with arguments from the same file, and whether it is hostile."""
    module, _, name = path.rpartition(".")
    if not module and name[:1].isupper():  # MONAI's own components go by their bare names
        return "medium", False
    if is_dangerous(module or "builtins", name) or "__" in path:
        return "high", True
    if name[:1].isupper() or path.partition(".")[0] in _LIBRARIES:
        return "medium", False
    return "high", False
