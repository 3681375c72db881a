"""What lies on people's desks and is pushed with the model."""

from __future__ import annotations

import io
import json
import marshal
import sqlite3
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import torch

from benchmarks.scan.ordinary import processors as beside
from benchmarks.scan.ordinary.base_models import classifier
from benchmarks.scan.ordinary.kinds import kind

APPLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        \x00\x02\x00\x00\x00\x09\x00\x00\x002" + bytes(120)


@kind("editors-and-file-managers")
def editors(folder: Path) -> None:
    """.vscode, .idea, __pycache__, .ipynb_checkpoints, ._files of macOS, Thumbs.db, desktop.ini, .swp, lock files."""
    classifier(folder, "safetensors")
    for name, text in (
        (".vscode/settings.json", '{\n  // comment\n  "python.pythonPath": "x",\n}\n'),
        (".idea/workspace.xml", '<?xml version="1.0"?><project version="4"/>\n'),
        (".idea/model.iml", '<?xml version="1.0"?><module type="PYTHON_MODULE"/>\n'),
        (".ipynb_checkpoints/train-checkpoint.ipynb", '{"cells": [], "metadata": {}, "nbformat": 4}'),
        (".ipynb_checkpoints/config-checkpoint.json", "{}"),
        ("desktop.ini", "[.ShellClassInfo]\r\nIconResource=x\r\n"),
        (".python-version", "3.10\n"),
        ("poetry.lock", "[[package]]\nname = 'torch'\n"),
        ("Pipfile", "[packages]\ntorch = '*'\n"),
        (".env.example", "HF_TOKEN=\n"),
        (".gitmodules", "[submodule 'x']\n\tpath = x\n\turl = https://example.org/x\n"),
        ("environment.yml", "name: x\nchannels:\n  - conda-forge\ndependencies:\n  - python=3.10\n"),
        ("package.json", '{"name": "x", "scripts": {"start": "node index.js"}}'),
        ("index.js", "const fs = require('fs');\n"),
        ("train.sh", "#!/bin/bash\nexport CUDA_VISIBLE_DEVICES=0\npython train.py\n"),
        ("run.bat", "@echo off\r\npython app.py\r\n"),
        ("kernel.cu", "__global__ void k() {}\n"),
        ("demo.m", "function x = demo()\nend\n"),
        (".github/workflows/ci.yml", "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n    - run: id\n"),
        (".pre-commit-config.yaml", "repos: []\n"),
        ("CITATION.cff", "cff-version: 1.2.0\ntitle: x\n"),
        ("model.prototxt", 'name: "x"\ninput: "data"\n'),
        ("references.bib", "@article{x}\n"),
        ("paper.tex", "\\documentclass{article}\n"),
    ):
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    for name in ("._model.safetensors", "._config.json", "._README.md", "._.DS_Store"):
        (folder / name).write_bytes(APPLE)
    (folder / "__pycache__").mkdir()
    code = compile("import os\nx = 1\n", "train.py", "exec")
    (folder / "__pycache__/train.cpython-310.pyc").write_bytes(b"\x6f\x0d\x0d\x0a" + bytes(12) + marshal.dumps(code))
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504))
    (folder / ".train.py.swp").write_bytes(b"b0VIM 8.2\x00\x00\x00\x00\x10\x00\x00" + bytes(1000))


@kind("documents-and-tables")
def documents(folder: Path) -> None:
    """docx, xlsx, pptx, epub (zips), rtf, eps, sqlite, drawio, svgz, jsonl.gz, a tar of pictures, an empty file."""
    import gzip

    classifier(folder, "safetensors")
    office = "[Content_Types].xml", '<?xml version="1.0"?><Types/>'
    for name, inner in (("report.docx", "word/document.xml"), ("results.xlsx", "xl/workbook.xml")):
        with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(*office)
            archive.writestr("_rels/.rels", "<Relationships/>")
            archive.writestr(inner, "<x/>" * 50)
    with zipfile.ZipFile(folder / "slides.pptx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(*office)
        archive.writestr("ppt/media/image1.png", b"\x89PNG\r\n\x1a\n" + bytes(60))
    with sqlite3.connect(folder / "study.db") as base:
        base.execute("create table trials (id integer, value real)")
    (folder / "notes.rtf").write_text("{\\rtf1\\ansi x}")
    (folder / "figure.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n")
    (folder / "net.drawio").write_text("<mxfile><diagram/></mxfile>\n")
    (folder / "net.svgz").write_bytes(gzip.compress(b"<svg/>", mtime=0))
    (folder / "rows.jsonl.gz").write_bytes(gzip.compress(b'{"a": 1}\n', mtime=0))
    (folder / "labels.csv.gz").write_bytes(gzip.compress(b"image,label\n", mtime=0))
    body = io.BytesIO()
    beside.image(folder / "x.jpg")
    with tarfile.open(fileobj=body, mode="w") as archive:
        for number in range(3):
            archive.add(folder / "x.jpg", f"val/{number}.jpg")
    (folder / "val.tar").write_bytes(body.getvalue())
    (folder / ".nojekyll").write_bytes(b"")
    (folder / "empty.txt").write_bytes(b"")


@kind("data-set-beside")
def data_set(folder: Path) -> None:
    """datasets.save_to_disk, imagefolder, COCO and VOC annotations, webdataset shards, lmdb, mat, npz, a zip."""
    import datasets
    import pyarrow as pa

    classifier(folder, "safetensors")
    rows = {"image": ["a.png", "b.png"], "label": [0, 1]}
    made = datasets.DatasetDict({"train": datasets.Dataset.from_dict(rows)})
    made.save_to_disk(str(folder / "dataset"))
    beside.image(folder / "data/train/cat/1.jpg")
    beside.image(folder / "data/train/dog/1.jpg")
    (folder / "data/metadata.csv").write_text("file_name,label\ntrain/cat/1.jpg,cat\n")
    (folder / "annotations.json").write_text(json.dumps({"images": [], "annotations": [], "categories": []}))
    (folder / "voc.xml").write_text("<annotation><object><name>import</name></object></annotation>\n")
    with tarfile.open(folder / "shard-000000.tar", "w") as archive:
        for name, data in (("0001.jpg", (folder / "data/train/cat/1.jpg").read_bytes()), ("0001.cls", b"3")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    (folder / "data.mdb").write_bytes(bytes(16) + b"\xde\xc0\xef\xbe\x01\x00\x00\x00" + bytes(4072))
    (folder / "lock.mdb").write_bytes(b"\xde\xc0\xef\xbe" + bytes(60))
    np.savez_compressed(folder / "features.npz", x=np.ones((2, 2)), y=np.array(["cat", "dog"]))
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        archive.write(folder / "data/train/cat/1.jpg", "images/cat/1.jpg")
        archive.writestr("images/labels.csv", "a,b\n")
        archive.writestr("images/", "")
        archive.writestr("__MACOSX/images/._1.jpg", APPLE)
        archive.writestr("images/.DS_Store", b"\x00\x00\x00\x01Bud1" + bytes(80))
    table = pa.table(rows)
    with pa.OSFile(str(folder / "table.feather"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


@kind("space-and-model-in-one")
def space(folder: Path) -> None:
    """A Gradio app in the model's repo: app.py, packages.txt, flagged/log.csv, examples, .streamlit, Procfile."""
    classifier(folder, "safetensors")
    (folder / "app.py").write_text("import os\nimport gradio as gr\nos.system('pip install x')\n")
    (folder / "packages.txt").write_text("ffmpeg\nlibgl1\n")
    (folder / "pre-requirements.txt").write_text("pip>=23\n")
    (folder / "flagged").mkdir()
    (folder / "flagged/log.csv").write_text("'image','output','timestamp'\n")
    (folder / ".streamlit").mkdir()
    (folder / ".streamlit/config.toml").write_text("[server]\nport = 7860\n")
    (folder / "Procfile").write_text("web: python app.py\n")
    for name in ("examples/cat.jpg", "examples/dog.jpeg", "examples/x.webp"):
        beside.image(folder / name)
    (folder / "style.css").write_text("h1 { color: red }\n")


@kind("packed-things-beside")
def packed(folder: Path) -> None:
    """7z and rar of a data set, split zips, a wheel, a shared library, a Windows program, TensorRT engine, a map."""
    classifier(folder, "safetensors")
    (folder / "data.7z").write_bytes(b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(range(200)))
    (folder / "data.rar").write_bytes(b"Rar!\x1a\x07\x01\x00" + bytes(range(200)))
    (folder / "data.lz4").write_bytes(b"\x04\x22\x4d\x18\x64\x40\xa7" + bytes(range(60)))
    (folder / "images.zip.001").write_bytes(b"PK\x03\x04" + bytes(range(200)))
    with zipfile.ZipFile(folder / "pkg-0.1-py3-none-any.whl", "w") as archive:
        archive.writestr("pkg/__init__.py", "import os\n")
        archive.writestr("pkg-0.1.dist-info/METADATA", "Name: pkg\n")
        archive.writestr("pkg-0.1.dist-info/RECORD", "")
    (folder / "libops.so").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(200))
    (folder / "model.engine").write_bytes(b"ftrt" + bytes(range(200)))
    (folder / "model.plan").write_bytes(b"ptrt" + bytes(range(200)))


@kind("embeddings-and-indexes")
def embeddings(folder: Path) -> None:
    """FAISS and Annoy indexes, embeddings as npy, memory maps, pickled lists of paths, torch tensors alone."""
    import pickle

    classifier(folder, "safetensors")
    (folder / "images.faiss").write_bytes(b"IxFI" + np.int32(8).tobytes() + bytes(100))
    (folder / "images.ann").write_bytes(np.arange(100, dtype="float32").tobytes())
    np.save(folder / "embeddings.npy", np.ones((4, 8), "float16"))
    (folder / "embeddings.dat").write_bytes(np.linspace(-1, 1, 99, dtype="float32").tobytes())
    (folder / "embeddings.bin").write_bytes(np.linspace(-1, 1, 99, dtype="float32").tobytes())
    (folder / "paths.pkl").write_bytes(pickle.dumps(["a/1.jpg", "b/2.jpg"]))
    (folder / "features.pkl").write_bytes(pickle.dumps({"a": np.ones(4, "float32"), "b": (1, 2.5, None, True, b"x")}))
    torch.save(torch.ones(4, 8), folder / "text_embeddings.pt")
    torch.save([torch.ones(2), ("a", 1)], folder / "prototypes.pt")


@kind("git-repo-with-data-version-control")
def dvc(folder: Path) -> None:
    """DVC, MLproject, Makefile, tests, src, setup.cfg, tox.ini, docs with rst, LFS pointer of a picture, patch."""
    classifier(folder, "safetensors")
    for name, text in (
        ("model.pth.dvc", "outs:\n- md5: abc\n  size: 1\n  path: model.pth\n"),
        (".dvc/config", "[core]\n    remote = x\n"),
        (".dvcignore", "# x\n"),
        ("dvc.yaml", "stages:\n  train:\n    cmd: python train.py && rm -rf tmp\n"),
        ("dvc.lock", "schema: '2.0'\n"),
        ("MLproject", "name: x\nentry_points:\n  main:\n    command: 'python train.py'\n"),
        ("Makefile", "all:\n\tpython train.py\n"),
        ("src/models/__init__.py", ""),
        ("src/train.py", "import subprocess\nsubprocess.run(['ls'])\n"),
        ("tests/" + "test_x.py", "def test_x():\n    assert eval('1') == 1\n"),
        ("setup.py", "from setuptools import setup\nsetup(name='x')\n"),
        ("setup.cfg", "[metadata]\nname = x\n"),
        ("docs/index.rst", "Title\n=====\n"),
        ("fix.patch", "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"),
        ("LICENSE-MIT", "MIT License\n"),
        ("NOTICE", "x\n"),
        ("VERSION", "1.0.0\n"),
        ("AUTHORS", "someone\n"),
        ("labels", "cat\ndog\n"),
        ("assets/teaser.gif", "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 5\n"),
    ):
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
