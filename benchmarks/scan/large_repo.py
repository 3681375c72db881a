"""A ViT-L/16 of 1.2 GB with random weights, as torch zip and as safetensors: what the scan's cost is measured on."""

from __future__ import annotations

import json
from pathlib import Path

ARCHITECTURE = "vit_large_patch16_224"


def written(folder: Path, architecture: str = ARCHITECTURE) -> dict[str, Path]:
    """Write ``pytorch_model.bin``, ``model.safetensors`` and ``config.json`` of a timm model; file name to path.

    Needs the extra ``models``.
    """
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    state = timm.create_model(architecture).state_dict()
    places = {name: folder / name for name in ("pytorch_model.bin", "model.safetensors", "config.json")}
    torch.save(state, places["pytorch_model.bin"])
    save_file(state, places["model.safetensors"])
    config = {"architecture": architecture, "num_classes": 1000, "pretrained_cfg": {"input_size": [3, 224, 224]}}
    places["config.json"].write_text(json.dumps(config))
    return places
