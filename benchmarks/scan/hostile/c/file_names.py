"""Names that become another file on another system, and files that act by their name."""

from __future__ import annotations

import marshal

from benchmarks.scan.hostile.cases import bad, twin
from benchmarks.scan.hostile.ordinary import VIT, vit

CODE = VIT | {"auto_map": {"AutoModelForImageClassification": "someone/else--modeling.Model"}}
HEAD = "import torch\n\n\ndef head(width: int) -> torch.nn.Module:\n    return torch.nn.Linear(width, 2)\n"
LFS = "[lfs]\n\turl = {}\n\tlocksverify = false\n"


def compiled(source: str, flags: int) -> bytes:
    """A .pyc of Python 3.11; flag 1 says that no source is compared with it."""
    return (
        b"\xa7\x0d\x0d\x0a" + flags.to_bytes(4, "little") + bytes(8) + marshal.dumps(compile(source, "head.py", "exec"))
    )


CASES = [
    bad(
        "dot-at-the-end",
        "Windows drops the dot: a clone or download writes it over config.json, which AutoModel reads",
        lambda: vit({"config.json.": CODE}),
    ),
    bad(
        "stream-of-a-file",
        "NTFS: ::$DATA is the file itself, a download writes it over config.json",
        lambda: vit({"config.json::$DATA": CODE}),
    ),
    bad(
        "short-name",
        "NTFS with 8.3 names: CONFIG~1.JSO is config.json, written over it by a clone",
        lambda: vit({"CONFIG~1.JSO": CODE}),
    ),
    bad(
        "backslashes",
        "a download on Windows takes backslashes for folders: a file is written above the target",
        lambda: vit({"assets\\..\\..\\..\\var\\notes.bat": "@echo off\n"}),
    ),
    bad(
        "other-server",
        "git lfs asks the address in .lfsconfig for the weights when the repo is cloned",
        lambda: vit({".lfsconfig": LFS.format("https://lfs.example.net/someone/vit")}),
    ),
    bad(
        "compiled-differs",
        "Python imports an unchecked .pyc in place of the clean source beside it, in the folder of the repo",
        lambda: vit(
            {"head.py": HEAD, "__pycache__/head.cpython-311.pyc": compiled("import os\nos.system('true')\n", 1)}
        ),
    ),
    bad(
        "shadow-of-a-library",
        "Python run in the repo's folder imports this in place of safetensors, whenever transformers is imported",
        lambda: vit({"safetensors.py": "import os\n\nos.system('true')\n"}),
    ),
    bad(
        "started-with-python",
        "Python with the repo's folder on its path runs usercustomize when it starts",
        lambda: vit({"usercustomize.py": "import subprocess\n\nsubprocess.run(['true'])\n"}),
    ),
    twin(
        "left-over-cache",
        "nobody: pushed with the folder",
        lambda: vit(
            {
                ".cache/huggingface/.gitignore": "*",
                ".cache/huggingface/download/config.json.lock": "",
                ".cache/huggingface/download/config.json.metadata": f"{'0a' * 20}\n{'1b' * 20}\n1718000000.123\n",
            }
        ),
    ),
    twin(
        "compiled-by-accident",
        "nobody: a .pyc of the source beside it, by its time",
        lambda: vit({"head.py": HEAD, "__pycache__/head.cpython-311.pyc": compiled(HEAD, 0)}),
    ),
    twin(
        "names-of-people",
        "nobody: reports with spaces and other scripts",
        lambda: vit(
            {
                "Résultats d'évaluation (v1).md": "# Résultats\n",
                "训练日志.txt": "epoch 1: 0.97\n",
                "checkpoint-500/README.md": "# 500\n",
                ".ipynb_checkpoints/eval-checkpoint.ipynb": {
                    "cells": [],
                    "metadata": {},
                    "nbformat": 4,
                    "nbformat_minor": 5,
                },
            }
        ),
    ),
]
