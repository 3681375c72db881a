"""Configs of PEFT, timm, open_clip, diffusers, sentence-transformers once more."""

from __future__ import annotations

from typing import Any

from benchmarks.scan.hostile.cases import Case, bad, twin
from benchmarks.scan.hostile.ordinary import diffusion, lora, open_clip, sentences, timm, weights
from benchmarks.scan.hostile.pickle_bytes import EVIL, SYSTEM, WEIGHTS, torch_zip

CODE = "import os\n\nos.system('true')\n\n\nclass X:\n    pass\n"
FAMILY = "sentence_transformers.models"
FIRST = {"idx": 0, "name": "0", "path": "", "type": f"{FAMILY}.Transformer"}
CROSS = {"architectures": ["BertForSequenceClassification"], "model_type": "bert", "hidden_size": 8, "num_labels": 1}


def _dense(function: str) -> Case:
    held = {"in_features": 8, "out_features": 4, "bias": True, "activation_function": function}
    return bad(
        f"dense-{function.replace('.', '-')}",
        "sentence-transformers before 5.4 imports the name and calls it while loading",
        lambda: sentences({"2_Dense/config.json": held}),
    )


def _cross(label: str, loader: str, **fields: Any) -> Case:
    return bad(
        label,
        loader,
        lambda: {
            "config.json": CROSS | fields,
            "model.safetensors": weights(),
            "README.md": "---\nlibrary_name: sentence-transformers\ntags: [cross-encoder]\n---\n",
        },
    )


CASES: tuple[Case, ...] = (
    bad(
        "peft-parent-of-python",
        "AutoPeftModel before 0.18 imports it",
        lambda: lora(None, auto_mapping={"base_model_class": "X", "parent_library": "antigravity"}),
    ),
    bad(
        "peft-megatron-of-the-repo",
        "PEFT imports the module that is named",
        lambda: lora({"evil_core.py": CODE}, megatron_core="evil_core", megatron_config={"hidden_size": 8}),
    ),
    bad(
        "peft-gradients-cache",
        "PEFT: torch.load of the file, weights_only=False before torch 2.6",
        lambda: lora(None, lora_ga_config={"cache_file": "../../x.pt"}),
    ),
    bad(
        "peft-prompt-of-another-file",
        "PEFT: torch.load of the file",
        lambda: lora(
            None,
            peft_type="MULTITASK_PROMPT_TUNING",
            prompt_tuning_init="EXACT_SOURCE_TASK",
            prompt_tuning_init_state_dict_path="../../x.pt",
        ),
    ),
    bad(
        "peft-cpt-tokenizer",
        "PEFT loads the tokenizer from that path",
        lambda: lora(None, peft_type="CPT", tokenizer_name_or_path="/tmp/x"),
    ),
    bad(
        "peft-adapter-pickle",
        "torch.load(weights_only=False) before 0.14",
        lambda: _without(lora({"adapter_model.bin": torch_zip(SYSTEM + b"0" + WEIGHTS)}), "adapter_model.safetensors"),
    ),
    bad(
        "timm-wrapped-address",
        "timm.create_model loads that repo",
        lambda: timm(None, None, architecture="hf-hub:timm/../x/y"),
    ),
    bad(
        "timm-state-file",
        "timm opens hf_hub_filename",
        lambda: timm({"w/state.pth": EVIL}, {"hf_hub_filename": "w/state.pth"}),
    ),
    bad(
        "timm-file-absolute",
        "the client joins it to the folder, an absolute one replaces it",
        lambda: timm(None, {"hf_hub_filename": "/tmp/x.safetensors"}),
    ),
    bad(
        "clip-vision-folder",
        "open_clip hands it to timm.create_model",
        lambda: open_clip(None, {"timm_model_name": "local-dir:/tmp/x"}),
    ),
    bad(
        "clip-vocabulary-file",
        "open_clip's SimpleTokenizer reads the file",
        lambda: open_clip(None, None, {"tokenizer_kwargs": {"bpe_path": "/etc/passwd"}}),
    ),
    bad(
        "clip-pickled-weights",
        "open_clip: torch.load(weights_only=False) before 2.24",
        lambda: _without(open_clip({"open_clip_pytorch_model.bin": torch_zip(SYSTEM)}), "open_clip_model.safetensors"),
    ),
    bad(
        "diffusers-module-of-the-repo",
        "DiffusionPipeline.from_pretrained of a folder imports it",
        lambda: diffusion({"my_pipe.py": CODE}, _class_name=["my_pipe", "X"], custom_pipeline="my_pipe"),
    ),
    bad(
        "diffusers-scheduler-code",
        "a component's own folder holds its class",
        lambda: diffusion({"scheduler/mine.py": CODE}, scheduler=["mine", "X"]),
    ),
    bad(
        "diffusers-dotted-library",
        "diffusers before 0.38: importlib.import_module of any name",
        lambda: diffusion(None, unet=["multiprocessing.pool", "Pool"]),
    ),
    bad(
        "diffusers-modular-elsewhere",
        "ModularPipeline loads the parts and the code of another repo",
        lambda: _without(
            diffusion(
                {
                    "modular_model_index.json": {
                        "_class_name": "X",
                        "_blocks_class_name": "X",
                        "auto_map": {"ModularPipelineBlocks": "block.X"},
                    },
                    "block.py": CODE,
                }
            ),
            "model_index.json",
        ),
    ),
    bad(
        "diffusers-pickled-lora",
        "load_lora_weights: torch.load, weights_only=False before 0.27",
        lambda: diffusion({"pytorch_lora_weights.bin": torch_zip(SYSTEM + b"0" + WEIGHTS)}),
    ),
    _dense("subprocess.Popen"),
    _dense("torch.utils.collect_env.main"),
    _dense("torch.distributed.run.main"),
    _cross(
        "cross-encoder-old-field",
        "CrossEncoder before 4.0 imports the name and calls it",
        sbert_ce_default_activation_function="os.abort",
    ),
    _cross(
        "cross-encoder-function-of-torch",
        "CrossEncoder, also 6.2, imports what begins with torch. and calls it: starts programs",
        sentence_transformers={"activation_fn": "torch.utils.collect_env.main", "version": "5.1.0"},
    ),
    bad(
        "sentences-asym",
        "Asym and Router import each type of the list",
        lambda: sentences(
            {"router_config.json": {"types": {"a": "runpy.run_path"}, "structure": {"query": ["a"]}}},
            [FIRST | {"type": f"{FAMILY}.Asym"}],
        ),
    ),
    bad(
        "sentences-module-in-a-folder",
        "SentenceTransformer before 5.4 imports code of a local folder",
        lambda: sentences({"my/pool.py": CODE}, [FIRST, {"idx": 1, "name": "1", "path": "1_P", "type": "my.pool.X"}]),
    ),
    bad(
        "sentences-tokenizer-code",
        "Transformer before 3.1 takes tokenizer_args from the file",
        lambda: sentences(
            {"sentence_bert_config.json": {"max_seq_length": 8, "tokenizer_args": {"trust_remote_code": True}}}
        ),
    ),
    bad(
        "sentences-absolute-path",
        "joins the path of a module to the folder",
        lambda: sentences(None, [FIRST, {"idx": 1, "name": "1", "path": "/tmp/x", "type": f"{FAMILY}.Dense"}]),
    ),
    # twins
    twin(
        "peft-ia3",
        "PEFT",
        lambda: lora(None, peft_type="IA3", feedforward_modules=["fc1"], target_modules=["k_proj", "fc1"]),
    ),
    twin(
        "peft-corda-done",
        "PEFT",
        lambda: lora(None, corda_config=None, eva_config=None, lora_ga_config=None, loftq_config={}),
    ),
    twin("timm-bin", "timm", lambda: timm(None, {"hf_hub_filename": "model.safetensors"})),
    twin(
        "timm-siglip",
        "timm",
        lambda: timm(
            None,
            {"license": "apache-2.0", "custom_load": False},
            architecture="vit_base_patch16_siglip_224",
            model_args={"global_pool": "map"},
        ),
    ),
    twin(
        "clip-of-huggingface",
        "open_clip",
        lambda: open_clip(
            None,
            None,
            {
                "hf_model_name": "xlm-roberta-base",
                "hf_tokenizer_name": "xlm-roberta-base",
                "hf_pooler_type": "mean_pooler",
            },
        ),
    ),
    twin(
        "diffusers-flux",
        "diffusers",
        lambda: diffusion(
            None,
            _class_name="FluxPipeline",
            text_encoder_2=["transformers", "T5EncoderModel"],
            tokenizer_2=["transformers", "T5TokenizerFast"],
            transformer=["diffusers", "FluxTransformer2DModel"],
            vae=["diffusers", "AutoencoderKL"],
        ),
    ),
    twin(
        "diffusers-onnx",
        "diffusers",
        lambda: diffusion(None, _class_name="OnnxStableDiffusionPipeline", unet=["diffusers", "OnnxRuntimeModel"]),
    ),
    twin(
        "cross-encoder",
        "sentence-transformers",
        lambda: {
            "config.json": (
                CROSS
                | {
                    "sentence_transformers": {
                        "activation_fn": "torch.nn.modules.activation.Sigmoid",
                        "version": "4.1.0",
                    }
                }
            ),
            "model.safetensors": weights(),
            "README.md": "# Ranker\n",
        },
    ),
    twin(
        "sentences-clip",
        "sentence-transformers",
        lambda: sentences(
            {"0_CLIPModel/config.json": {"model_type": "clip"}},
            [{"idx": 0, "name": "0", "path": "0_CLIPModel", "type": f"{FAMILY}.CLIPModel"}],
        ),
    ),
)


def _without(repo: dict[str, Any], *paths: str) -> dict[str, Any]:
    return {path: content for path, content in repo.items() if path not in paths}
