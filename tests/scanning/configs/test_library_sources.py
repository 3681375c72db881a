"""The table of fields against the sources of the libraries that are installed: an upgrade that reads a new one fails.

Versions that were walked whole stand in ``WALKED``; of those only the files with the most of it are walked again.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from pathlib import Path

import pytest

from hubclean.scanning.configs.fields_of_key import rows_of
from support.library_sources import fields_in, loaded_fields

WALKED = {
    "transformers": ("4.46.3", "4.57.1", "5.23.0"),
    "timm": ("0.9.16", "1.0.20", "1.0.31"),
    "peft": ("0.13.0", "0.17.0", "0.21.0"),
    "sentence_transformers": ("3.4.1", "6.2.0"),
    "open_clip": ("2.24.0", "3.3.0"),
    "diffusers": ("0.42.1",),
}
CORE = {
    "transformers": ("models/auto", "models/oneformer", "models/bark", "integrations/peft.py", "processing_utils.py"),
    "timm": ("models/_builder.py", "models/_factory.py", "models/_hub.py"),
}
# Read and found harmless: arguments of the caller, and what chooses among the library's own classes and files.
OF_THE_CALLER = frozenset(
    [
        "_commit_hash",
        "_from_auto",
        "_from_pipeline",
        "adapter_kwargs",
        "code_revision",
        "config",
        "device_map",
        "force_download",
        "resume_download",
        "local_dir",
        "local_dir_use_symlinks",
        "local_files_only",
        "proxies",
        "revision",
        "subfolder",
        "token",
        "user_agent",
        "use_safetensors",
        "variant",
        "torch_dtype",
        "tp_plan",
        "tp_size",
        "use_fast",
        "use_onnx",
        "use_flashpack",
        "load_connected_pipeline",
        "custom_revision",
        "version",
        "ov_config",
        "use_auth_token",
    ]
)
OF_THE_LIBRARY = frozenset(
    [
        "AutoConfig",
        "AutoFeatureExtractor",
        "AutoImageProcessor",
        "AutoProcessor",
        "AutoTokenizer",
        "AutoVideoProcessor",
        "VOCAB_FILES_NAMES",
        "_MAPPING_NAMES",
        "_mapping",
        "_class_name",
        "backend",
        "feature_extractor_type",
        "image_processor_type",
        "tokenizer_class",
        "vocab_files_names",
        "in_chans",
        "num_channels",
        "num_classes",
        "output_stride",
        "retrieval_vector_size",
        "_model_args",
        "quantization_config",
        "quant_method",
        "load_in_4bit",
        "load_in_8bit",
        "num_feature_levels",
    ]
)
# Judged in another way than by their own key.
OTHERWISE = {
    "_name_or_path": "set by from_pretrained to what the caller named",
    "name_or_path": "the same",
    "chat_template": "HC-CFG-004, and the rows for names below it",
    "file_name": "of annotations that the caller passes with a picture",
    "impl": "below custom_pipelines",
    "speaker_embeddings": "the rows for repo_or_path and the prompts in it",
    "video_processor": "the row for the font in it",
    "vocab": "a tokenizer is saved to it",
    "weight_map": "HC-ST-004",
    "backbone_kwargs": "the rows for timm's arguments, which hold at any depth",
    "auto_mapping": "the row for parent_library in it",
    "types": "the rows below it",
    "model_cfg": "the rows in it",
}


def folder_of(library: str) -> Path:
    spec = importlib.util.find_spec(library)
    if spec is None or not spec.origin:
        pytest.skip(f"{library} is not installed")
    return Path(spec.origin).parent


@pytest.mark.parametrize("library", WALKED)
def test_every_field_that_reaches_a_loader_stands_in_the_table(library: str) -> None:
    folder = folder_of(library)
    version = importlib.metadata.version({"open_clip": "open_clip_torch"}.get(library, library))
    whole = version not in WALKED[library] or "HUBCLEAN_WALK_SOURCES" in os.environ
    found = loaded_fields(folder, () if whole else CORE.get(library, ("__init__.py",)))
    known = OF_THE_CALLER | OF_THE_LIBRARY | OTHERWISE.keys()
    new = {key: file for key, file in found.items() if not rows_of(key) and key not in known}
    assert not new, f"{library} {version} reads these from configs; add a row to loader_fields or say here why not"
    if library in CORE:
        assert any(rows_of(key) for key in found)


@pytest.mark.parametrize(
    ("source", "fields"),
    [
        ("def f(config):\n  return cached_file(config.new_repo, 'x')", {"new_repo"}),
        ("def f(config):\n  name = config.get('new_file')\n  with open(name) as file: pass", {"new_file"}),
        (
            "class P:\n  def f(self):\n    return hf_hub_download(self.a_repo, filename=self.a_name)",
            {"a_repo", "a_name"},
        ),
        ("def f(d):\n  for one in d['parts']:\n    importlib.import_module(one)", {"parts"}),
        ("def f(config):\n  return get_kernel(getattr(config, 'fast', None))", {"fast"}),
        ("def f(config):\n  return len(config.hidden_size)", set()),
        ("def f(config, net):\n  net.eval()\n  Image.open(config.path_of_caller)", set()),
    ],
)
def test_the_walk_follows_a_field_into_a_loader(source: str, fields: set[str]) -> None:
    assert fields_in(source) == fields
