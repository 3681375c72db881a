"""Arguments of a config that makes each image classifier of transformers small: under a million weights."""

from __future__ import annotations

from typing import Any

# Sizes of the tiny configs: plain transformers, and pyramids of four and of two stages.
_VIT = {
    "image_size": 32,
    "patch_size": 8,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
_TEXT = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 32}
_DINO = {**_VIT, "mlp_ratio": 2}
_STAGES = {"depths": [1] * 4, "hidden_sizes": [8, 16, 24, 32]}
_PVT = {**_STAGES, "num_attention_heads": [1, 2, 2, 4], "mlp_ratios": [2] * 4}
_SWIN = {"image_size": 32, "patch_size": 2, "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4}
_PERCEIVER = {
    "num_latents": 8,
    "d_latents": 32,
    "num_self_attends_per_block": 1,
    "num_self_attention_heads": 2,
    "num_cross_attention_heads": 1,
    "image_size": 32,
}
# model_type: arguments of the config. Where it has no image_size the images are 64 pixels.
TINY: dict[str, dict[str, Any]] = {
    "beit": _VIT,
    "bit": {"embedding_size": 8, "hidden_sizes": [16, 32], "depths": [1, 1], "num_groups": 4},
    "clip": {"vision_config": _VIT, "text_config": _TEXT},
    "convnext": _STAGES,
    "convnextv2": _STAGES,
    "cvt": {"embed_dim": [8, 16, 24], "num_heads": [1, 2, 3], "depth": [1, 2, 3]},
    "data2vec-vision": {**_VIT, "out_indices": [0, 1]},
    "deit": _VIT,
    "dinat": {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "kernel_size": 3},
    "dinov2": _DINO,
    "dinov2_with_registers": _DINO,
    "donut-swin": _SWIN,
    "efficientnet": {
        "image_size": 64,
        "width_coefficient": 0.25,
        "depth_coefficient": 0.25,
        "hidden_dim": 320,
    },
    "focalnet": {"image_size": 32, "patch_size": 2, "embed_dim": 8, "hidden_sizes": [16, 16], "depths": [1, 1]},
    "hgnet_v2": {
        "stem_channels": [3, 8, 8],
        "stage_in_channels": [8, 16, 24, 32],
        "stage_mid_channels": [8] * 4,
        "stage_out_channels": [16, 24, 32, 40],
        "hidden_sizes": [16, 24, 32, 40],
        "stage_num_blocks": [1] * 4,
        "stage_numb_of_layers": [1] * 4,
    },
    "hiera": {"image_size": [64, 64], "embed_dim": 8, "depths": [1] * 4, "num_heads": [1, 1, 2, 4]},
    "ijepa": _VIT,
    "imagegpt": {"n_embd": 16, "n_layer": 1, "n_head": 1, "n_positions": 64},
    "levit": {
        "image_size": 128,
        "hidden_sizes": [16, 24, 32],
        "num_attention_heads": [1, 2, 2],
        "depths": [1, 1, 1],
        "key_dim": [8, 8, 8],
    },
    "metaclip_2": {"vision_config": _VIT, "text_config": _TEXT},
    "mobilenet_v1": {"image_size": 64, "depth_multiplier": 0.25},
    "mobilenet_v2": {"image_size": 64, "depth_multiplier": 0.25},
    "mobilevit": {
        "image_size": 64,
        "hidden_sizes": [16, 24, 32],
        "neck_hidden_sizes": [8, 8, 16, 16, 24, 32, 48],
        "num_attention_heads": 2,
    },
    "mobilevitv2": {
        "image_size": 64,
        "base_attn_unit_dims": [16, 24, 32],
        "n_attn_blocks": [1, 1, 1],
        "width_multiplier": 0.25,
    },
    "perceiver": _PERCEIVER,
    "poolformer": _STAGES,
    "pp_lcnet": {"scale": 0.25},
    "pvt": {**_PVT, "image_size": 64},
    "pvt_v2": {**_PVT, "image_size": 64},
    "regnet": {**_STAGES, "embedding_size": 8, "groups_width": 8},
    "resnet": {**_STAGES, "embedding_size": 8, "layer_type": "basic"},
    "segformer": _PVT,
    "siglip": {"vision_config": _VIT, "text_config": _TEXT},
    "shieldgemma2": {"vision_config": _VIT, "text_config": {**_TEXT, "head_dim": 8, "num_key_value_heads": 1}},
    "siglip2": {"vision_config": {**_VIT, "num_patches": 16}, "text_config": _TEXT},
    "swiftformer": {"image_size": 64, "depths": [1] * 4, "embed_dims": [8, 16, 24, 32]},
    "swin": _SWIN,
    "swinv2": _SWIN,
    "textnet": {"image_size": [64, 64], "stem_out_channels": 8, "hidden_sizes": [8, 8, 16, 24, 32]},
    "timm_wrapper": {"architecture": "test_resnet"},
    "vit": _VIT,
    "vit_msn": _VIT,
}
