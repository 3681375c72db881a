"""The fields of configs by which a library runs code or opens something, read off its source, by library and version.

``tests/scanning/configs/test_library_sources.py`` walks the sources of the libraries that are installed and fails for a
field that reaches ``import_module``, ``open``, a download or a kernel and stands neither here nor among those that were
read and found harmless.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Reads = Literal[
    "code",  # a class or function of the repo, or of another, is fetched and run
    "import",  # a module of that dotted name is imported, a class of it called
    "kernel",  # code of a Hub repo is fetched and run
    "switch",  # true: code of the repo runs, or its own format is read
    "weights",  # another repo, folder, file or address: weights or a whole model are loaded from it
    "base",  # the same, and honest repos of the library name another repo there
    "data",  # another repo, folder or file is read as plain data: names of classes, a font
    "member",  # a file of the repo, by a name that is joined to its folder
    "options",  # words for another program, which may name files
    "name",  # a name of timm's registry, which loads elsewhere if a scheme stands in front
    "path",  # a path by its key, of any library: foreign only if it climbs out of the repo
    "alias",  # other keys get another meaning
    "builder",  # arguments of timm's factory that fetch, read or wrap; only our own loading refuses them
]


@dataclass(frozen=True, slots=True)
class LoaderField:
    """One row: keys that a loader gives one meaning.

    Args:
        library: whose loader.
        keys: names of keys, ``*`` for any signs.
        reads: what the loader does with the value.
        source: where in the library that is done.
        under: only below this key; empty: at any depth.
        anywhere: the names are the library's own words, so they are judged in every JSON file and not only in configs.
        dotted: only values with a dot are names of modules; others are of the library itself (``gelu``).
        own: first parts of dotted names that are the library's own; nothing foreign is imported by them.
        ordinary: whole values that honest repos have there.
        files: names of the files in which ``base`` is ordinary.
        only: names of the only files in which the row counts; empty: in all.
    """

    library: str
    keys: tuple[str, ...]
    reads: Reads
    source: str
    under: str = ""
    anywhere: bool = False
    dotted: bool = False
    own: tuple[str, ...] = ()
    ordinary: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    only: tuple[str, ...] = ()


# The versions whose sources were read for the table; "ok" speaks of no others.
LIBRARIES: dict[str, str] = {
    "transformers": "4.46 to 5.23",
    "timm": "0.9 to 1.0.31",
    "peft": "0.13 to 0.21",
    "diffusers": "0.42",
    "sentence-transformers": "3.4 to 6.2",
    "open_clip": "2.24 to 3.3",
    "keras": "3.0 to 3.15",
}

_LIBRARY_CODE = ("transformers", "timm", "torch", "peft", "diffusers", "sentence_transformers", "open_clip")

FIELDS: tuple[LoaderField, ...] = (
    # transformers
    LoaderField("transformers", ("attribute_map",), "alias", "configuration_utils.PreTrainedConfig.__setattr__"),
    LoaderField("transformers", ("auto_map",), "code", "dynamic_module_utils.get_class_from_dynamic_module"),
    LoaderField("transformers", ("custom_pipeline", "custom_pipelines"), "code", "pipelines.pipeline"),
    LoaderField("transformers", ("tool_class", "custom_tool"), "code", "agents/tools (4.46)"),
    LoaderField("transformers", ("custom_generate",), "code", "generation/utils.load_custom_generate"),
    LoaderField("transformers", ("trust_remote_code",), "switch", "CVE-2026-5241 (LightGlue: from a nested config)"),
    LoaderField(
        "transformers",
        ("*_implementation*", "*kernel*"),
        "kernel",
        "integrations/hub_kernels.load_and_register_attn_kernel; CVE-2026-4372",
        anywhere=True,
    ),
    LoaderField(
        "transformers",
        ("transformers_weights", "backbone", "backbone_checkpoint", "pretrained_backbone", "speculator_name_or_path"),
        "weights",
        "modeling_utils.from_pretrained, utils/backbone_utils.load_backbone (4.46 to 4.57)",
    ),
    LoaderField(
        "transformers",
        ("trained_model_name_or_path", "parent_model_name_or_path"),
        "weights",
        "models/auto/auto_factory; name_or_path alone is only a memory of where it came from",
    ),
    LoaderField(
        "transformers",
        ("model_name_or_path", "processor_name_or_path", "pretrained_model_path", "model_path", "config_path"),
        "weights",
        "from_pretrained of wrappers (4.46 to 5.23)",
    ),
    LoaderField(
        "transformers", ("index_path", "passages_path", "question_encoder_path"), "weights", "models/rag/retrieval_rag"
    ),
    LoaderField(
        "transformers", ("MODEL.WEIGHTS",), "weights", "models/layoutlmv2: detectron2's own field", anywhere=True
    ),
    LoaderField(
        "transformers",
        ("audio_tokenizer_name_or_path",),
        "base",
        "processing_utils.get_processor_dict",
        anywhere=True,
        files=("audio_tokenizer_config.json", "processor_config.json"),
    ),
    LoaderField(
        "transformers",
        ("repo_path",),
        "data",
        "models/oneformer/image_processing_oneformer.load_metadata",
        anywhere=True,
        ordinary=("shi-labs/oneformer_demo",),
    ),
    LoaderField("transformers", ("class_info_file",), "member", "models/oneformer: joined to repo_path", anywhere=True),
    LoaderField("transformers", ("repo_or_path",), "data", "models/bark/processing_bark", anywhere=True),
    LoaderField(
        "transformers",
        ("semantic_prompt", "coarse_prompt", "fine_prompt"),
        "member",
        "models/bark/processing_bark._load_voice_preset",
        anywhere=True,
    ),
    LoaderField("transformers", ("font",), "member", "models/ernie4_5_vl_moe/video_processing_ernie4_5_vl_moe"),
    LoaderField(
        "transformers",
        (
            *("vocab_file", "merges_file", "tokenizer_file", "spm_file", "source_spm", "target_spm"),
            *("chat_template_file", "src_vocab_file", "tgt_vocab_file", "monolingual_vocab_file", "emoji_file"),
            *("normalizer_file", "word_shape_file", "word_pronunciation_file", "pretrained_vocab_file"),
            *("entity_vocab_file", "bpe_codes_file", "artists_file", "genres_file", "lyrics_file"),
            *("tokenizer_config_file", "image_processor_path"),
        ),
        "member",
        "tokenization_utils_base._from_pretrained: what the config says wins over what lies there",
    ),
    LoaderField("transformers", ("configuration_files", "fast_tokenizer_files"), "member", "get_configuration_file"),
    LoaderField(
        "transformers",
        ("name",),
        "member",
        "tokenization_utils_base.save_chat_templates: each is written under its name",
        under="chat_template",
        anywhere=True,
    ),
    LoaderField(
        "transformers",
        ("tesseract_config", "mecab_option"),
        "options",
        "models/layoutlmv3/image_processing_layoutlmv3, models/bert_japanese: handed to the program",
        anywhere=True,
    ),
    LoaderField(
        "transformers",
        ("model_file", "model_proto", "extra_options"),
        "member",
        "SentencePieceProcessor(**sp_model_kwargs) of slow tokenizers",
        under="sp_model_kwargs",
        anywhere=True,
    ),
    LoaderField(
        "transformers",
        ("mecab_dic", "sudachi_config_path", "sudachi_resource_dir", "sudachi_dict_type"),
        "member",
        "models/bert_japanese: MecabTokenizer, SudachiTokenizer",
        anywhere=True,
    ),
    LoaderField("transformers", ("offload_folder",), "member", "from_pretrained (4.x) writes there", anywhere=True),
    LoaderField("transformers", ("adapter",), "member", "pipelines/decision: subfolder of an adapter"),
    # timm
    LoaderField("timm", ("hf_hub_id",), "weights", "models/_builder._resolve_pretrained_source"),
    LoaderField("timm", ("url", "file", "hf_hub_filename", "state_dict"), "weights", "models/_builder"),
    LoaderField("timm", ("custom_load",), "switch", "models/_builder.load_pretrained"),
    LoaderField(
        "timm", ("architecture", "model_name", "timm_model_name", "timm_model", "arch"), "name", "models/_factory"
    ),
    LoaderField(
        "timm",
        ("checkpoint_path", "cache_dir"),
        "weights",
        "models/_factory.create_model, reached from models/timm_wrapper of transformers",
    ),
    LoaderField(
        "timm",
        (
            *("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "pretrained_model_args", "scriptable"),
            *("exportable", "no_jit", "features_only", "feature_cls", "out_indices", "pruned", "device", "dtype"),
        ),
        "builder",
        "models/_factory.create_model, models/_builder.build_model_with_cfg",
        under="model_args",
    ),
    LoaderField("transformers", ("use_pretrained_backbone",), "builder", "utils/backbone_utils (4.46 to 4.57)"),
    # peft
    LoaderField(
        "peft",
        ("base_model_name_or_path",),
        "base",
        "auto.from_pretrained, and integrations/peft of transformers",
        files=("adapter_config.json",),
    ),
    LoaderField(
        "peft",
        ("tokenizer_name_or_path",),
        "base",
        "tuners/prompt_tuning/model",
        files=("adapter_config.json", "sentence_bert_config.json"),
    ),
    LoaderField(
        "peft", ("parent_library",), "import", "auto.from_pretrained", anywhere=True, own=(*_LIBRARY_CODE, "__main__")
    ),
    LoaderField("peft", ("megatron_core",), "import", "tuners/lora/tp_layer", anywhere=True, own=("megatron",)),
    LoaderField("peft", ("prompt_tuning_init_state_dict_path",), "weights", "multitask_prompt_tuning", anywhere=True),
    LoaderField("peft", ("cache_file", "covariance_file"), "weights", "tuners/lora/corda: torch.load"),
    LoaderField("peft", ("shadow_model",), "weights", "tuners/shadow/model", ordinary=("mirror",), anywhere=True),
    LoaderField(
        "peft",
        ("*",),
        "base",
        "tuners/xlora/model: name to repo or folder",
        under="adapters",
        files=("adapter_config.json",),
        only=("adapter_config.json",),
    ),
    # diffusers
    LoaderField(
        "diffusers",
        ("repo", "pretrained_model_link_or_path", "pretrained_model_name_or_path"),
        "base",
        "modular_pipelines",
        files=("modular_model_index.json", "modular_config.json"),
    ),
    # sentence-transformers
    LoaderField(
        "sentence-transformers",
        ("activation_function", "activation_fn", "sbert_ce_default_activation_function", "tokenizer_class"),
        "import",
        "base/modules/dense, WordEmbeddings: import_from_string; torch.hub is called without arguments in 3.4",
        own=("torch.nn", "sentence_transformers"),
        dotted=True,
    ),
    LoaderField(
        "sentence-transformers",
        ("*",),
        "import",
        "base/modules/router: import_module_class",
        under="types",
        own=("sentence_transformers", "pylate"),
        dotted=True,
        only=("router_config.json", "config.json"),
    ),
    # open_clip
    LoaderField(
        "open_clip",
        ("hf_model_name", "hf_tokenizer_name"),
        "base",
        "hf_model.HFTextEncoder, factory.get_tokenizer",
        files=("open_clip_config.json",),
    ),
    LoaderField("open_clip", ("bpe_path",), "member", "tokenizer.SimpleTokenizer", anywhere=True),
    LoaderField("several", ("characters_class",), "import", "Coqui TTS: TTSTokenizer", anywhere=True, own=("TTS",)),
    LoaderField("several", ("custom_ops_library", "op_library_filename"), "code", "onnxruntime-genai: native code"),
    # Hydra, OmegaConf, and words of many trainers for the same
    LoaderField("hydra", ("_target_", "custom_objects"), "code", "hydra.utils.instantiate"),
    LoaderField(
        "several",
        (
            *("pretrained", "weights", "weights_path", "checkpoint", "ckpt", "ckpt_path", "repo_id", "model_id"),
            *("weights_url", "checkpoint_url", "model_url", "download_url", "pretrained_url"),
        ),
        "weights",
        "words of trainers and papers' code for the weights to begin with",
    ),
    LoaderField(
        "several",
        ("file", "*_file", "filename", "*_filename", "files", "*_files", "path", "*_path"),
        "path",
        "os.path.join of whatever library reads it",
        anywhere=True,
    ),
)
