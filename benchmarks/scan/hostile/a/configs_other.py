"""Configs that PEFT, timm, open_clip, diffusers and sentence-transformers read."""

from __future__ import annotations

from typing import Any

from benchmarks.scan.hostile.cases import Case, bad, twin
from benchmarks.scan.hostile.ordinary import diffusion, lora, open_clip, sentences, timm
from benchmarks.scan.hostile.pickle_bytes import EVIL, SYSTEM, WEIGHTS, torch_zip

CODE = "import os\n\nos.system('true')\n\n\nclass X:\n    pass\n"
IMPORTS = "imports the module that is named, from the working folder too"
UNPICKLES = "torch.load of the file; weights_only=False before torch 2.6"
FOREIGN = "loads config and weights of the repo that is named"


def _lora(label: str, loader: str, **fields: Any) -> Case:
    return bad(label, "PEFT " + loader, lambda: lora(None, **fields))


def _timm(label: str, loader: str, cfg: dict[str, Any] | None = None, **fields: Any) -> Case:
    return bad(label, "timm " + loader, lambda: timm(None, cfg, **fields))


def _clip(
    label: str, vision: dict[str, Any] | None = None, text: dict[str, Any] | None = None, does: str = FOREIGN
) -> Case:
    return bad(label, "open_clip " + does, lambda: open_clip(None, vision, text))


def _dense(function: str) -> dict[str, Any]:
    return {"in_features": 8, "out_features": 4, "bias": True, "activation_function": function}


FAMILY = "sentence_transformers.models"
FIRST = {"idx": 0, "name": "0", "path": "", "type": f"{FAMILY}.Transformer"}

CASES: tuple[Case, ...] = (
    bad(
        "peft-parent-library",
        "AutoPeftModel before 0.18 " + IMPORTS,
        lambda: lora({"x_code.py": CODE}, auto_mapping={"base_model_class": "X", "parent_library": "x_code"}),
    ),
    _lora("peft-megatron-core", IMPORTS, megatron_config={"tensor_model_parallel_size": 1}, megatron_core="x_code"),
    _lora("peft-corda-cache", UNPICKLES, corda_config={"cache_file": "/tmp/x.pt", "corda_method": "ipm"}),
    _lora(
        "peft-prompt-state",
        UNPICKLES,
        peft_type="MULTITASK_PROMPT_TUNING",
        prompt_tuning_init="AVERAGE_SOURCE_TASKS",
        prompt_tuning_init_state_dict_path="/tmp/x.bin",
    ),
    _lora(
        "peft-xlora-adapters",
        "loads each adapter from where the config says",
        peft_type="XLORA",
        adapters={"0": "some/repo", "1": "../../x"},
    ),
    _lora(
        "peft-tokenizer-code",
        "before 0.18: AutoTokenizer.from_pretrained(**tokenizer_kwargs)",
        peft_type="PROMPT_TUNING",
        prompt_tuning_init="TEXT",
        tokenizer_name_or_path="some/repo",
        tokenizer_kwargs={"trust_remote_code": True},
    ),
    _lora(
        "peft-base-above-the-repo",
        "loads the base model from a path of the machine",
        base_model_name_or_path="../../../x",
    ),
    bad(
        "peft-second-adapter",
        "PeftModel.load_adapter(subfolder) unpickles it",
        lambda: lora(
            {
                "other/adapter_config.json": {"peft_type": "LORA", "r": 8, "target_modules": ["q"]},
                "other/adapter_model.bin": torch_zip(SYSTEM),
            }
        ),
    ),
    _timm("timm-file", "before 'source' was set for hub configs loads 'file'", {"file": "/tmp/x.pth"}),
    _timm(
        "timm-file-name-leaves",
        "hands hf_hub_filename to the client, which joins it to the folder",
        {"hf_hub_filename": "../../../x.bin"},
    ),
    bad(
        "timm-file-name-of-a-pickle",
        "timm opens hf_hub_filename: " + UNPICKLES,
        lambda: timm({"extra/w.bin": torch_zip(SYSTEM)}, {"hf_hub_filename": "extra/w.bin"}),
    ),
    _timm("timm-architecture-elsewhere", FOREIGN, architecture="hf-hub:some/repo"),
    _timm("timm-architecture-underscore", FOREIGN + "; hf_hub: is an alias", architecture="hf_hub:some/repo"),
    _timm("timm-architecture-folder", "loads what lies in a folder of the machine", architecture="local-dir:/tmp/x"),
    _clip("clip-timm-elsewhere", {"timm_model_name": "hf-hub:some/repo", "timm_model_pretrained": True}),
    _clip("clip-text-path", None, {"hf_model_name": "../../x", "hf_model_pretrained": True}),
    _clip(
        "clip-tokenizer-code",
        None,
        {"hf_tokenizer_name": "some/repo", "tokenizer_kwargs": {"trust_remote_code": True}},
        "AutoTokenizer.from_pretrained(**tokenizer_kwargs) imports code",
    ),
    bad(
        "diffusers-pipeline-code",
        "DiffusionPipeline.from_pretrained imports pipeline_x.py, before 0.38 without consent for local folders",
        lambda: diffusion({"pipeline_x.py": CODE}, _class_name=["pipeline_x", "X"]),
    ),
    bad(
        "diffusers-component-code",
        "a component's own folder holds its class",
        lambda: diffusion({"unet/my_unet.py": CODE}, unet=["my_unet", "X"]),
    ),
    bad(
        "diffusers-component-of-a-module",
        "diffusers before 0.38: importlib.import_module of any name",
        lambda: diffusion(None, scheduler=["antigravity", "X"]),
    ),
    bad(
        "diffusers-component-from-subprocess",
        "diffusers before 0.38: importlib.import_module of any name, then a class of it",
        lambda: diffusion(None, scheduler=["subprocess", "Popen"]),
    ),
    bad(
        "diffusers-auto-map",
        "diffusers.AutoModel(trust_remote_code=True) imports it",
        lambda: diffusion(
            {"unet/config.json": {"_class_name": "X", "auto_map": {"AutoModel": "x.X"}}, "unet/x.py": CODE}
        ),
    ),
    bad(
        "diffusers-modular",
        "ModularPipeline.from_pretrained imports block.py or loads parts of another repo",
        lambda: diffusion(
            {
                "modular_config.json": {"_class_name": "X", "auto_map": {"ModularPipelineBlocks": "block.X"}},
                "block.py": CODE,
            }
        ),
    ),
    bad(
        "diffusers-pickled-part",
        UNPICKLES,
        lambda: diffusion(
            {
                "vae/config.json": {"_class_name": "AutoencoderKL"},
                "vae/diffusion_pytorch_model.bin": torch_zip(SYSTEM + b"0" + WEIGHTS),
            },
            vae=["diffusers", "AutoencoderKL"],
        ),
    ),
    bad(
        "sentences-module-code",
        "SentenceTransformer before 5.4 imports it from a local folder",
        lambda: sentences({"x_code.py": CODE}, [FIRST, {"idx": 1, "name": "1", "path": "1_X", "type": "x_code.X"}]),
    ),
    bad(
        "sentences-module-of-python",
        "SentenceTransformer before 5.4: import_from_string of any name",
        lambda: sentences(None, [FIRST, {"idx": 1, "name": "1", "path": "", "type": "subprocess.Popen"}]),
    ),
    bad(
        "sentences-path-leaves",
        "joins the path of a module to the folder",
        lambda: sentences(None, [FIRST, {"idx": 1, "name": "1", "path": "../../x", "type": f"{FAMILY}.Dense"}]),
    ),
    bad(
        "sentences-activation",
        "Dense before 4.0 imports and calls the name",
        lambda: sentences({"2_Dense/config.json": _dense("os.abort")}),
    ),
    bad(
        "sentences-trusts-code",
        "Transformer before 3.1 takes model_args from the file: AutoModel(trust_remote_code=True)",
        lambda: sentences(
            {"sentence_bert_config.json": {"max_seq_length": 8, "model_args": {"trust_remote_code": True}}}
        ),
    ),
    bad(
        "sentences-words-tokenizer",
        "WordEmbeddings before 5.4 imports tokenizer_class",
        lambda: sentences(
            {
                "0_W/wordembedding_config.json": {
                    "tokenizer_class": "x_code.X",
                    "update_embeddings": False,
                    "max_seq_length": 8,
                },
                "x_code.py": CODE,
            },
            [{"idx": 0, "name": "0", "path": "0_W", "type": f"{FAMILY}.WordEmbeddings"}],
        ),
    ),
    bad(
        "sentences-router",
        "Router imports each type it lists",
        lambda: sentences(
            {
                "router_config.json": {"types": {"0": "x_code.X"}, "structure": {"query": ["0"]}, "parameters": {}},
                "x_code.py": CODE,
            },
            [{"idx": 0, "name": "0", "path": "", "type": f"{FAMILY}.Router"}],
        ),
    ),
    bad("sentences-pickled-dense", UNPICKLES, lambda: sentences({"2_Dense/pytorch_model.bin": EVIL})),
    # twins
    twin("peft-lora", "PEFT", lambda: lora()),
    twin(
        "peft-auto-mapping",
        "PEFT",
        lambda: lora(
            None,
            auto_mapping={
                "base_model_class": "ViTForImageClassification",
                "parent_library": "transformers.models.vit.modeling_vit",
            },
        ),
    ),
    twin(
        "peft-prompt",
        "PEFT",
        lambda: lora(
            None,
            peft_type="PROMPT_TUNING",
            prompt_tuning_init="TEXT",
            prompt_tuning_init_text="Classify:",
            tokenizer_name_or_path="bigscience/bloomz-560m",
            num_virtual_tokens=8,
            tokenizer_kwargs=None,
        ),
    ),
    twin(
        "peft-base-on-a-cluster",
        "PEFT, of the base that the user names",
        lambda: lora(None, base_model_name_or_path="/data/models/vit-base"),
    ),
    twin(
        "timm-with-address",
        "timm",
        lambda: timm(
            None,
            {
                "url": "",
                "hf_hub_id": "timm/resnet18.a1_in1k",
                "source": "hf-hub",
                "origin_url": "https://github.com/huggingface/pytorch-image-models",
                "paper_ids": "arXiv:2110.00476",
            },
        ),
    ),
    twin("timm-model-args", "timm", lambda: timm(None, None, model_args={"img_size": 224, "drop_path_rate": 0.1})),
    twin(
        "clip-of-timm",
        "open_clip",
        lambda: open_clip(
            None,
            {"timm_model_name": "vit_base_patch16_siglip_224", "timm_model_pretrained": False, "timm_pool": "map"},
            {"hf_tokenizer_name": "timm/ViT-B-16-SigLIP", "tokenizer_kwargs": {"clean": "canonicalize"}},
        ),
    ),
    twin(
        "diffusers-stable",
        "diffusers",
        lambda: diffusion(
            None,
            _class_name="StableDiffusionPipeline",
            feature_extractor=["transformers", "CLIPImageProcessor"],
            safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"],
            text_encoder=["transformers", "CLIPTextModel"],
            tokenizer=["transformers", "CLIPTokenizer"],
            image_encoder=[None, None],
        ),
    ),
    twin(
        "diffusers-name-or-path", "diffusers", lambda: diffusion(None, _name_or_path="runwayml/stable-diffusion-v1-5")
    ),
    twin("sentences", "sentence-transformers", lambda: sentences()),
    twin(
        "sentences-new-names",
        "sentence-transformers",
        lambda: sentences(
            None,
            [
                FIRST,
                {
                    "idx": 1,
                    "name": "1",
                    "path": "1_Pooling",
                    "type": "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
                },
            ],
        ),
    ),
    twin(
        "sentences-identity",
        "sentence-transformers",
        lambda: sentences({"2_Dense/config.json": _dense("torch.nn.modules.linear.Identity")}),
    ),
)
