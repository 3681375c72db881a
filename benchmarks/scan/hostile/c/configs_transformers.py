"""Configs of transformers and of the libraries that read the same files."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.scan.hostile.cases import bad, twin
from benchmarks.scan.hostile.file_bytes import zipped
from benchmarks.scan.hostile.ordinary import PREPROCESSOR, Repo, chat, vit, vit_bin
from benchmarks.scan.hostile.pickle_bytes import WEIGHTS, torch_zip

KERNEL = "someone/fast-attention"
PROGRAM = zipped({"model/archive_format": "pt2", "model/models/model.json": "{}", "model/version": "7"})


def spec(context: Any) -> str:
    """What torch's treespec_dumps writes for an output of one node of transformers."""
    leaf: dict[str, Any] = {"type": None, "context": None, "children_spec": []}
    node = {"type": "transformers.cache_utils:StaticCache", "context": json.dumps(context), "children_spec": [leaf]}
    return json.dumps([1, node])


def export(file: str = "model.pt2", context: Any = None) -> Repo:
    """A model as transformers' exporters save it."""
    described = {
        "architecture": "ViTForImageClassification",
        "packages": {"torch": "2.15.0"},
        "export_dtype": "float32",
        "export_device": "cpu",
        "in_constants": {},
        "out_spec": spec(context or {"_t": "seq", "p": "builtins:tuple", "v": []}),
    }
    manifest = {
        "schema_version": 1,
        "export_format": "dynamo",
        "components": {"model": {"file": file, "metadata": described}},
    }
    files: Repo = {"export.json": manifest}
    return vit(files | ({file: PROGRAM} if file == "model.pt2" else {}))


def swapped() -> str:
    """A config in which a field that every ViT has becomes the kernel; the map stands first."""
    held = json.loads(json.dumps(vit()["config.json"]))
    return json.dumps(
        {"attribute_map": {"hidden_act": "_attn_implementation_internal"}} | held | {"hidden_act": KERNEL}
    )


def twice() -> str:
    """A preprocessor's config that names its code twice: the last one holds."""
    held = json.dumps(PREPROCESSOR)[:-1]
    return held + ', "auto_map": null, "auto_map": {"AutoImageProcessor": "someone/else--proc.Proc"}}'


def rag(**more: Any) -> Repo:
    """A RAG model, as its config is saved."""
    return vit(model_type="rag", architectures=["RagSequenceForGeneration"], n_docs=5, retrieval_vector_size=768,
               question_encoder={"model_type": "dpr"}, generator={"model_type": "bart"}, **more)  # fmt: skip


def llava(tower: str) -> Repo:
    """A checkpoint of the original LLaVA."""
    return vit(model_type="llava_llama", architectures=["LlavaLlamaForCausalLM"], mm_vision_tower=tower,
               mm_vision_select_layer=-2, mm_projector_type="mlp2x_gelu", tune_mm_mlp_adapter=False)  # fmt: skip


CASES = [
    bad(
        "export-spec",
        "transformers 5.23: the exporter's runner reads out_spec, whose context makes an object of any "
        "path, os.system('true'), when the outputs are put together",
        lambda: export(context={"_t": "seq", "p": "os:system", "v": ["true"]}),
    ),
    bad(
        "export-spec-of-a-class",
        "the same by a mapping: subprocess.Popen gets a dict whose keys are the command",
        lambda: export(context={"_t": "map", "p": "subprocess:Popen", "v": {"true": None}}),
    ),
    bad(
        "export-outside",
        "transformers 5.23: ExportedModel.from_pretrained opens the program by a path that leaves",
        lambda: export("../../var/tmp/model.pt2"),
    ),
    bad(
        "dataset-of-the-retriever",
        "RagRetriever up to 4.57: load_dataset runs the script of another repo (datasets before 2.20 without asking)",
        lambda: rag(
            index_name="exact", dataset="someone/wiki_dpr", dataset_split="train", index_path=None, passages_path=None
        ),
    ),
    bad(
        "kernel-of-a-part",
        "transformers 4.56 to 5.2: attn_implementation as a dict sets a part's kernel, code of the Hub is run",
        lambda: chat(
            {
                "config.json": {
                    "architectures": ["LlavaForConditionalGeneration"],
                    "model_type": "llava",
                    "text_config": {"model_type": "llama", "hidden_size": 8, "vocab_size": 32},
                    "vision_config": {"model_type": "clip_vision_model", "hidden_size": 8, "image_size": 16},
                    "attn_implementation": {"": "sdpa", "vision_config": KERNEL},
                }
            }
        ),
    ),
    bad(
        "field-renamed-to-kernel",
        "transformers 4.56 to 5.2: the instance's attribute_map turns hidden_act into the kernel (CVE-2026-4372)",
        lambda: vit({"config.json": swapped()}),
    ),
    bad(
        "tokenizer-outside",
        "transformers 5: a tokenizer without tokenizer.json opens gguf_file, joined to the repo",
        lambda: chat(gguf_file="../../../var/tmp/tokenizer.gguf", tokenizer_class="PreTrainedTokenizerFast"),
    ),
    bad(
        "tower-outside",
        "LLaVA 1.5: an absolute path that is there is loaded as the vision tower",
        lambda: llava("/var/tmp/clip-tower"),
    ),
    bad(
        "code-named-twice",
        "AutoImageProcessor with trust_remote_code: Python's JSON keeps the last of two equal keys",
        lambda: vit({"preprocessor_config.json": twice()}),
    ),
    bad(
        "model-file",
        "mlx-lm 0.26 and later: load_model runs the Python file that model_file names, without asking",
        lambda: vit(
            {"fast_vit.py": "import os\n\nos.system('true')\n"},
            model_file="fast_vit.py",
            quantization={"group_size": 64, "bits": 4},
        ),
    ),
    bad(
        "offload-outside",
        "sentence-transformers 3.1 and later hand model_args to from_pretrained: transformers 4 "
        "writes the weights of a .bin into offload_folder",
        lambda: vit_bin(
            torch_zip(WEIGHTS),
            {
                "modules.json": [
                    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
                ],
                "sentence_bert_config.json": {
                    "max_seq_length": 128,
                    "model_args": {"device_map": {"": "disk"}, "offload_folder": "../../../var/tmp/offload"},
                },
            },
        ),
    ),
    twin("tower", "LLaVA 1.5 loads its usual tower", lambda: llava("openai/clip-vit-large-patch14-336")),
    twin(
        "best-checkpoint",
        "the Trainer, on resume: a path of the machine that trained",
        lambda: vit(
            {
                "trainer_state.json": {
                    "best_metric": 0.97,
                    "best_model_checkpoint": "/content/vit-base/checkpoint-500",
                    "epoch": 3.0,
                    "global_step": 500,
                    "is_local_process_zero": True,
                    "log_history": [],
                }
            }
        ),
    ),
    twin(
        "map-of-old-tokens",
        "AutoTokenizer: caches of whoever saved it, as transformers 4.20 wrote them",
        lambda: chat(
            special_tokens_map_file="/root/.cache/huggingface/transformers/9d18.a11e",
            name_or_path="/content/out",
            tokenizer_file=None,
        ),
    ),
    twin(
        "two-attentions",
        "AutoModel: implementations of transformers itself, by part",
        lambda: chat(
            {
                "config.json": {
                    "architectures": ["LlavaForConditionalGeneration"],
                    "model_type": "llava",
                    "text_config": {"model_type": "llama", "_attn_implementation_autoset": True},
                    "vision_config": {"model_type": "clip_vision_model", "attn_implementation": "sdpa"},
                    "quantization_config": {
                        "quant_method": "bitsandbytes",
                        "load_in_4bit": True,
                        "bnb_4bit_compute_dtype": "bfloat16",
                    },
                }
            }
        ),
    ),
]
