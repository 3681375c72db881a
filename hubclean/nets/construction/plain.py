"""A folder as its library alone loads it, but for fields that no library is to see."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from hubclean.nets.construction import configs
from hubclean.nets.construction.bounds import muted, quiet
from hubclean.nets.construction.processors import clean_room


def plain_net(folder: Path, files: tuple[str, ...]) -> nn.Module:
    """The net that timm or transformers makes of the config and of ``files``, the weights, in ``folder``.

    Raises:
        ModelError, RefusedError: as ``read_configs``. Whatever the library raises besides.
    """
    config = configs.read_configs(folder)
    with clean_room(folder, files, {"config.json": config}) as room:
        if "model_type" in config:
            from transformers import AutoModelForImageClassification

            with quiet():
                net: nn.Module = AutoModelForImageClassification.from_pretrained(
                    room,
                    local_files_only=True,
                    use_safetensors=True,
                    trust_remote_code=False,
                    dtype=torch.float32,  # the config's bfloat16 would only blur the comparison
                    return_dict=True,  # some classes cannot run without
                )
            return net
        import timm

        with muted():
            made: nn.Module = timm.create_model(f"local-dir:{room}", pretrained=True)
        return made
