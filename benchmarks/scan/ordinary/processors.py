"""What stands beside weights: image processors, tokenizers, model cards, git files, as the libraries write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

GITATTRIBUTES = "".join(
    f"{pattern} filter=lfs diff=lfs merge=lfs -text\n"
    for pattern in (
        *(f"*.{ending}" for ending in ["7z", "arrow", "bin", "bz2", "ckpt", "ftz", "gz", "h5", "joblib"]),
        "*.lfs.*",
        *(
            f"*.{ending}"
            for ending in [
                "mlmodel",
                "model",
                "msgpack",
                "npy",
                "npz",
                "onnx",
                "ot",
                "parquet",
                "pb",
                "pickle",
                "pkl",
                "pt",
                "pth",
                "rar",
            ]
        ),
        *("*.safetensors", "saved_model/**/*", "*.tar.*", "*.tar", "*.tflite", "*.tgz", "*.wasm", "*.xz", "*.zip"),
        *("*.zst", "*tfevents*"),
    )
)
WORDS = [
    "a",
    "photo",
    "of",
    "the",
    "cat",
    "dog",
    "tench",
    "goldfish",
    "shark",
    "hen",
    "ostrich",
    "on",
    "in",
    "with",
    "and",
    "sitting",
    "tree",
    "car",
]


def card(folder: Path, tag: str = "image-classification", library: str = "transformers", **extra: Any) -> None:
    """README.md with its metadata, and .gitattributes as the Hub makes it."""
    meta = {"license": "apache-2.0", "library_name": library, "tags": ["vision", tag], "datasets": ["imagenet-1k"]}
    lines = [f"{key}: {json.dumps(value)}" for key, value in (meta | extra).items()]
    code = "```python\nfrom transformers import pipeline\nimport torch, os\n"
    code += "classifier = pipeline('image-classification')\n```"
    (folder / "README.md").write_text("---\n" + "\n".join(lines) + f"\n---\n\n# Model\n\nHow to use it:\n\n{code}\n")
    (folder / ".gitattributes").write_text(GITATTRIBUTES)


def image_processor(folder: Path, name: str = "ViTImageProcessor", size: Any = None, **options: Any) -> None:
    """preprocessor_config.json by the class's own ``save_pretrained``."""
    import transformers

    given = {"size": size or {"height": 32, "width": 32}, **options}
    getattr(transformers, name)(**given).save_pretrained(folder)
    written = folder / "preprocessor_config.json"
    if not written.exists():  # transformers 5 may call it processor_config.json
        (folder / "processor_config.json").rename(written)


def clip_tokenizer(folder: Path) -> None:
    """A byte pair tokenizer: vocab.json, merges.txt, tokenizer.json, tokenizer_config.json, special_tokens_map.json."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    special = ["<|startoftext|>", "<|endoftext|>"]
    tokenizer = Tokenizer(models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        end_of_word_suffix="</w>",
    )
    tokenizer.train_from_iterator([" ".join(WORDS), "import os system eval exec getattr"] * 20, trainer)
    fast(folder, tokenizer, "CLIPTokenizer", bos_token=special[0], eos_token=special[1], pad_token=special[1])
    tokenizer.model.save(str(folder))


def fast(folder: Path, tokenizer: Any, name: str, **special: str) -> None:
    """A tokenizer of the library ``tokenizers`` as ``save_pretrained`` writes it, with the older files beside."""
    from transformers import PreTrainedTokenizerFast

    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=77, **special).save_pretrained(folder)
    place = folder / "tokenizer_config.json"
    config = json.loads(place.read_text()) | {"tokenizer_class": name}
    place.write_text(json.dumps(config, indent=2))
    rows = {
        key: {"content": value, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
        for key, value in special.items()
    }
    (folder / "special_tokens_map.json").write_text(json.dumps(rows, indent=2))
    (folder / "added_tokens.json").write_text(json.dumps({value: 590 + n for n, value in enumerate(special.values())}))


def large_tokenizer(folder: Path, tokens: int = 256_000) -> None:
    """A tokenizer.json as long as Gemma's, which SigLIP 2 and PaliGemma carry: above every budget for one file."""
    vocab = {"<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3}
    pairs = [f"{n:02x}" for n in range(256)]
    merges: list[list[str]] = []
    level = [f"▁{word}" for word in WORDS]
    for token in (*level, *pairs):
        vocab[token] = len(vocab)
    while len(vocab) < tokens:  # every token of a level with every pair, until there are enough
        merges += [[token, pair] for token in level for pair in pairs][: tokens - len(vocab)]
        level = [token + pair for token in level for pair in pairs][: tokens - len(vocab)]
        vocab |= {token: n for n, token in enumerate(level, len(vocab))}
    model = {"type": "BPE", "dropout": None, "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True}
    added = [
        {
            "id": n,
            "content": word,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for n, word in enumerate(["<pad>", "<eos>", "<bos>", "<unk>"])
    ]
    text = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {"type": "ByteFallback"},
        "model": {**model, "vocab": vocab, "merges": merges},
    }
    (folder / "tokenizer.json").write_text(json.dumps(text, indent=2, ensure_ascii=False))
    config = {"tokenizer_class": "GemmaTokenizer", "pad_token": "<pad>", "eos_token": "<eos>", "model_max_length": 64}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2))
    (folder / "special_tokens_map.json").write_text(json.dumps({"pad_token": "<pad>", "eos_token": "<eos>"}))


def sentencepiece(folder: Path, name: str = "spiece.model", size: int = 200) -> None:
    """A sentencepiece model, trained by its own library."""
    import io

    import sentencepiece as spm

    body = io.BytesIO()
    lines = [" ".join(WORDS[n % 7 :] + WORDS[: n % 11]) + f" number {n} of many {n * 7919}" for n in range(2000)]
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=body, vocab_size=size, hard_vocab_limit=False, minloglevel=2
    )
    (folder / name).write_bytes(body.getvalue())


def image(place: Path, size: int = 32) -> None:
    """A picture in the format that its name says."""
    from PIL import Image

    place.parent.mkdir(parents=True, exist_ok=True)
    Image.linear_gradient("L").resize((size, size)).convert("RGB").save(place)
