"""Configs of other libraries that import, open or fetch what they name."""

from __future__ import annotations

from typing import Any

from benchmarks.scan.hostile.cases import Content, bad, twin
from benchmarks.scan.hostile.ordinary import CARD, Repo, diffusion, lora, open_clip, sentences, vit, weights
from benchmarks.scan.hostile.pickle_bytes import WEIGHTS, torch_zip

PIPELINE = """version: 3.1.0
pipeline:
  name: {}
  params:
    segmentation: pyannote/segmentation-3.0
    embedding: pyannote/wespeaker-voxceleb-resnet34-LM
{}params:
  clustering:
    method: centroid
    threshold: 0.7045654963945799
"""
SPACY = """[paths]
train = null
vectors = null

[nlp]
lang = "en"
pipeline = ["tok2vec","ner"]

[components]

[components.ner]
{}
"""
TRITON = """name: "classifier"
platform: "onnxruntime_onnx"
max_batch_size: 8
input [ {{ name: "pixel_values" data_type: TYPE_FP32 dims: [ 3, 16, 16 ] }} ]
output [ {{ name: "logits" data_type: TYPE_FP32 dims: [ 2 ] }} ]
{}"""


def torch_repo(library: str, **files: Content) -> Repo:
    """Weights of torch and other files; ``__`` in a name stands for the dot."""
    repo: Repo = {"pytorch_model.bin": torch_zip(WEIGHTS), "README.md": CARD.format(library)}
    return repo | {path.replace("__", "."): content for path, content in files.items()}


def speech(characters: str) -> Repo:
    """A VITS voice of Coqui TTS."""
    config: dict[str, Any] = {
        "model": "vits", "run_name": "vits_ljspeech", "audio": {"sample_rate": 22050}, "use_phonemes": True,
        "phonemizer": "espeak", "text_cleaner": "english_cleaners",
        "characters": {"characters_class": characters, "pad": "_", "characters": "abcdef", "punctuations": "!'(),-"},
        "datasets": [{"name": "ljspeech", "path": "/data/LJSpeech-1.1/", "meta_file_train": "metadata.csv"}],
    }  # fmt: skip
    return torch_repo("coqui", config__json=config)


def words(tokenizer: str) -> Repo:
    """sentence-transformers on word vectors."""
    modules = [
        {"idx": 0, "name": "0", "path": "0_WordEmbeddings", "type": "sentence_transformers.models.WordEmbeddings"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    held = {"tokenizer_class": tokenizer, "update_embeddings": False, "max_seq_length": 1000000}
    whitespace = {"vocab": ["the", "cat"], "stop_words": ["a"], "do_lower_case": False}
    return sentences({
        "0_WordEmbeddings/wordembedding_config.json": held, "0_WordEmbeddings/model.safetensors": weights(),
        "0_WordEmbeddings/whitespacetokenizer_config.json": whitespace}, modules)  # fmt: skip


CASES = [
    bad(
        "class-of-a-pipeline",
        "pyannote.audio 2 and 3: Pipeline.from_pretrained imports the dotted name and calls it with the params",
        lambda: torch_repo("pyannote-audio", config__yaml=PIPELINE.format("shutil.rmtree", "")),
    ),
    bad(
        "preprocessor-of-a-pipeline",
        "the same for each of preprocessors",
        lambda: torch_repo(
            "pyannote-audio",
            config__yaml=PIPELINE.format("pyannote.audio.pipelines.SpeakerDiarization", "").replace(
                "params:\n  clustering",
                "preprocessors:\n  audio:\n    name: subprocess.check_output\n    params:\n"
                "      args: ['true']\nparams:\n  clustering",
            ),
        ),
    ),
    bad(
        "source-of-a-component",
        "spaCy 3: load builds a component from another pipeline, by a path",
        lambda: torch_repo(
            "spacy",
            config__cfg=SPACY.format('source = "../../var/tmp/pipeline"'),
            meta__json={"lang": "en", "name": "pipeline", "version": "1.0.0"},
        ),
    ),
    bad(
        "characters",
        "Coqui TTS: TTSTokenizer.init_from_config imports the class of the characters, any module",
        lambda: speech("antigravity.Characters"),
    ),
    bad(
        "tokenizer-of-words",
        "sentence-transformers 2 to 5: WordEmbeddings.load imports the class of its tokenizer, any module",
        lambda: words("antigravity.WhitespaceTokenizer"),
    ),
    bad(
        "module-outside",
        "sentence-transformers: a module's folder outside the repo is loaded from a local copy",
        lambda: sentences(
            modules=[
                {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
                {
                    "idx": 1,
                    "name": "1",
                    "path": "2_Dense/../../../var/tmp/dense",
                    "type": "sentence_transformers.models.Dense",
                },
            ]
        ),
    ),
    bad(
        "pipeline-of-the-repo",
        "diffusers: a list as _class_name makes the first of it a module of the repo, which is "
        "run (before 0.20 without asking)",
        lambda: diffusion(
            {"quick_pipeline.py": "import os\n\nos.system('true')\n"}, _class_name=["quick_pipeline", "QuickPipeline"]
        ),
    ),
    bad(
        "words-outside",
        "open_clip 2.24 and later: tokenizer_kwargs go to SimpleTokenizer, which opens bpe_path",
        lambda: open_clip(text={"tokenizer_kwargs": {"bpe_path": "../../../var/tmp/words.gz"}}),
    ),
    bad(
        "remote-tokenizer",
        "open_clip: tokenizer_kwargs go to AutoTokenizer of another repo, its code is run",
        lambda: open_clip(
            text={"hf_tokenizer_name": "someone/tokenizer", "tokenizer_kwargs": {"trust_remote_code": True}}
        ),
    ),
    bad(
        "library-of-operators",
        "Triton: the ONNX Runtime backend loads the native library that the model's config names",
        lambda: vit(
            {
                "triton/classifier/config.pbtxt": TRITON.format(
                    'model_operations { op_library_filename: "../../../../var/tmp/libops.so" }\n'
                )
            }
        ),
    ),
    bad(
        "model-of-triton",
        "Triton: default_model_filename joined to the version's folder opens a model outside",
        lambda: vit(
            {
                "triton/classifier/config.pbtxt": TRITON.format(
                    'default_model_filename: "../../../../var/tmp/model.onnx"\n'
                )
            }
        ),
    ),
    bad(
        "adapter-of-a-map",
        "PEFT's MultitaskPromptTuning: torch.load of a state outside the repo",
        lambda: lora(
            peft_type="MULTITASK_PROMPT_TUNING",
            task_type="SEQ_CLS",
            num_virtual_tokens=8,
            prompt_tuning_init="ONLY_SOURCE_SHARED",
            prompt_tuning_init_state_dict_path="../../../var/tmp/state.bin",
        ),
    ),
    twin(
        "diarization",
        "pyannote.audio",
        lambda: torch_repo(
            "pyannote-audio",
            config__yaml=PIPELINE.format(
                "pyannote.audio.pipelines.SpeakerDiarization", "    embedding_exclude_overlap: true\n"
            ),
        ),
    ),
    twin("voice", "Coqui TTS", lambda: speech("TTS.tts.models.vits.VitsCharacters")),
    twin(
        "tokens-of-open-clip",
        "open_clip: an encoder's usual tokenizer",
        lambda: open_clip(
            text={"hf_tokenizer_name": "timm/ViT-B-16-SigLIP", "tokenizer_kwargs": {"clean": "canonicalize"}}
        ),
    ),
    twin(
        "word-vectors",
        "sentence-transformers",
        lambda: words("sentence_transformers.models.tokenizer.WhitespaceTokenizer.WhitespaceTokenizer"),
    ),
    twin(
        "served",
        "Triton",
        lambda: vit(
            {
                "triton/classifier/config.pbtxt": TRITON.format(
                    "instance_group [ { count: 1 kind: KIND_GPU } ]\ndynamic_batching { }\n"
                )
            }
        ),
    ),
]
