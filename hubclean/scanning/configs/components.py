"""Configs that are lists of classes: diffusers pipelines and sentence-transformers modules, which are imported."""

from __future__ import annotations

import json
from collections.abc import Iterator

from hubclean.scanning.configs.asking import Ask, foreign

_LIBRARIES = frozenset({"diffusers", "transformers", "timm", "torch", "onnxruntime", "peft", "optimum", "flax"})
# Folders of diffusers.pipelines, 0.20 to 0.42, in which a component's class is looked up by the folder's name.
_PIPELINES = frozenset(
    [
        "ace_step",
        "allegro",
        "alt_diffusion",
        "amused",
        "animatediff",
        "anyflow",
        "audio_diffusion",
        "audioldm",
        "audioldm2",
        "aura_flow",
        "blip_diffusion",
        "bria",
        "bria_fibo",
        "bria_fibo2",
        "chroma",
        "chronoedit",
        "cogvideo",
        "cogview3",
        "cogview4",
        "consisid",
        "consistency_models",
        "controlnet",
        "controlnet_hunyuandit",
        "controlnet_sd3",
        "controlnet_xs",
        "cosmos",
        "dance_diffusion",
        "deepfloyd_if",
        "dit",
        "easyanimate",
        "ernie_image",
        "flux",
        "flux2",
        "glm_image",
        "helios",
        "hidream_image",
        "hunyuan_image",
        "hunyuan_video",
        "hunyuan_video1_5",
        "hunyuandit",
        "i2vgen_xl",
        "ideogram4",
        "joyimage",
        "kandinsky",
        "kandinsky2_2",
        "kandinsky3",
        "kandinsky5",
        "kandinsky6",
        "kolors",
        "latent_consistency_models",
        "latent_diffusion",
        "latte",
        "ledits_pp",
        "longcat_image",
        "ltx",
        "ltx2",
        "lucy",
        "lumina",
        "lumina2",
        "marigold",
        "mochi",
        "musicldm",
        "omnigen",
        "ovis_image",
        "pag",
        "paint_by_example",
        "pia",
        "pixart_alpha",
        "prx",
        "qwenimage",
        "sana",
        "sana_video",
        "semantic_stable_diffusion",
        "shap_e",
        "skyreels_v2",
        "spectrogram_diffusion",
        "stable_audio",
        "stable_cascade",
        "stable_diffusion",
        "stable_diffusion_3",
        "stable_diffusion_attend_and_excite",
        "stable_diffusion_diffedit",
        "stable_diffusion_gligen",
        "stable_diffusion_k_diffusion",
        "stable_diffusion_ldm3d",
        "stable_diffusion_panorama",
        "stable_diffusion_safe",
        "stable_diffusion_sag",
        "stable_diffusion_xl",
        "stable_video_diffusion",
        "t2i_adapter",
        "text_to_video_synthesis",
        "unclip",
        "unidiffuser",
        "versatile_diffusion",
        "visualcloze",
        "vq_diffusion",
        "wan",
        "wuerstchen",
        "z_image",
    ]
)
_MODULES = ("sentence_transformers.", "pylate.")


def components(file: str, root: object) -> Iterator[Ask]:
    """What a list of classes imports from elsewhere than its library; nothing of other files."""
    name = file.rsplit("/", 1)[-1]
    if name in ("model_index.json", "modular_model_index.json") and isinstance(root, dict):
        yield from _pipeline(root)
    if name == "modules.json" and isinstance(root, list):
        yield from _modules(root)


def _pipeline(root: dict[str, object]) -> Iterator[Ask]:
    """A component is ``[library, class]``; a library of the repo's own is a Python file of the repo."""
    rows = [(key, value) for key, value in root.items() if isinstance(value, list) and len(value) in (2, 3)]
    # A component of modular pipelines says in a third place where it comes from, and its library and class once more.
    hints = [(f"{key}.type_hint", value[2].get("type_hint")) for key, value in rows if isinstance(value[-1], dict)]
    for key, value in [*rows, *hints]:
        if not isinstance(value, list) or not value or not isinstance(value[0], str):
            continue
        if value[0].split(".")[0] not in _LIBRARIES and value[0] not in _PIPELINES:
            what = f"{key[:80]} is {json.dumps(value)[:120]}: a class from a file of the repo, or of any package"
            yield Ask("HC-CFG-001", "high", what, "code")


def _modules(root: list[object]) -> Iterator[Ask]:
    """Each module is a class given by its dotted name, which is imported, and a folder of the repo."""
    for row in root:
        if not isinstance(row, dict):
            continue
        named, folder = row.get("type"), row.get("path")
        if isinstance(named, str) and not named.startswith(_MODULES):
            what = f"type is {json.dumps(named)[:120]}: a class from outside the library"
            yield Ask("HC-CFG-001", "high", what, "code")
        if isinstance(folder, str) and (leaves := foreign(folder)):
            yield Ask("HC-CFG-003", "high", f"path is {json.dumps(folder)[:120]}: {leaves}", "redirect")
