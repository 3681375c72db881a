"""Small files of Flax, SentencePiece, joblib, skops, Arrow and TorchScript, made by the real libraries.

python benchmarks/scan/generate/packed_formats.py numpy|torch FOLDER

``numpy`` needs flax, jax, msgpack, msgpack-numpy, sentencepiece, joblib, skops and pyarrow; ``torch`` needs torch and
 torchvision. What lies in a folder ``bad`` calls ``os.system("id")`` or opens a file; nothing here loads it.
"""

from __future__ import annotations

import os
import random
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

_PATHS = re.compile(rb"/[\w./-]*/(?=[\w.-]+\.py)")


class Evil:
    """Calls a command where it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("id",)


def arrays(folder: Path) -> None:
    """Flax, msgpack-numpy, joblib, skops, Arrow."""
    import joblib
    import msgpack
    import msgpack_numpy
    import numpy as np
    from flax import serialization

    made = np.random.default_rng(0)
    values = {
        "a": made.standard_normal((20, 7)).astype("f4"),
        "f": np.asfortranarray(made.standard_normal((4, 5))),
        "i": np.arange(5),
        "e": np.zeros((0, 3)),
        "b": np.array([True]),
        "n": np.float32(3),
    }
    folders = {name: folder / name for name in ("msgpack", "joblib", "skops", "arrow")}
    for place in folders.values():
        (place / "bad").mkdir(parents=True, exist_ok=True)
    plain = {**values, "c": 1 + 2j, "none": None, "text": "x" * 300, "neg": -5, "big": 2**40, "d": {"0": 1.5}}
    (folders["msgpack"] / "flax.msgpack").write_bytes(serialization.msgpack_serialize(plain))
    for name, content in (("msgpack_numpy.msgpack", values), ("bad/x.msgpack", np.array([Evil()], dtype=object))):
        (folders["msgpack"] / name).write_bytes(msgpack.packb(content, default=msgpack_numpy.encode))
    texts = {"names": np.array(["cat", "doggy"]), "objects": np.array(["x", None, 3], dtype=object)}
    for name, compress in (("plain", 0), ("zlib", 3), ("gzip", ("gzip", 3)), ("bz2", ("bz2", 3)), ("xz", ("xz", 3))):
        joblib.dump({**values, **texts}, folders["joblib"] / f"{name}.joblib", compress=compress)
        joblib.dump({**values, "z": Evil()}, folders["joblib"] / "bad" / f"{name}.joblib", compress=compress)
    joblib.dump(np.array([Evil()], dtype=object), folders["joblib"] / "bad" / "nested.pkl")
    _skops(folders["skops"], values["a"])
    _arrow(folders["arrow"])


def _skops(folder: Path, rows: Any) -> None:
    import numpy as np
    import skops.io
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    for name, function in (("log", np.log1p), ("bad/system", os.system)):
        model = make_pipeline(FunctionTransformer(function), LogisticRegression())
        if name == "log":
            model.fit(abs(rows), rows[:, 0] > 0)
        skops.io.dump(model, folder / f"{name}.skops")


def _arrow(folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.feather
    import pyarrow.parquet

    keys = {"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": b"\x80\x04N."}
    odd = pa.schema([pa.field("x", pa.int64(), metadata=keys)])
    for place, table in (
        (folder, pa.table({"image": [b"x" * 50] * 3, "label": [1, 2, 3]})),
        (folder / "bad", pa.table([pa.array([1])], schema=odd)),
    ):
        pa.parquet.write_table(table, place / "a.parquet")
        pa.feather.write_feather(table, place / "b.feather")
        with pa.ipc.new_stream(place / "c.arrow", table.schema) as stream:
            stream.write_table(table)


def pieces(folder: Path) -> None:
    """SentencePiece models."""
    import sentencepiece

    random.seed(0)
    words = ["".join(random.choices("abcdefghijklmnop", k=random.randint(2, 9))) for _ in range(300)]
    lines = [" ".join(random.choices(words, k=8)) for _ in range(800)]
    folder.mkdir(parents=True, exist_ok=True)
    for kind, rule in (("unigram", "identity"), ("bpe", "nfkc"), ("char", "identity")):
        with (folder / f"{kind}.model").open("wb") as out:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(lines),
                model_writer=out,
                vocab_size=120 if kind != "char" else 30,
                model_type=kind,
                hard_vocab_limit=False,
                normalization_rule_name=rule,
                minloglevel=5,
            )


def scripts(folder: Path) -> None:
    """TorchScript: scripted, traced, frozen, quantized, for the lite interpreter; and what reads or writes files."""
    import torch
    import torchvision

    from benchmarks.scan.generate import script_modules as modules

    (folder / "bad").mkdir(parents=True, exist_ok=True)
    net = modules.Net().eval()
    torch.jit.script(net).save(folder / "script.pt")
    torch.jit.trace(net, torch.zeros(1, 3, 8, 8)).save(folder / "trace.pt")
    torch.jit.freeze(torch.jit.script(net)).save(folder / "frozen.pt")
    torch.jit.script(net)._save_for_lite_interpreter(str(folder / "lite.ptl"))
    torch.jit.script(modules.Boxes()).save(folder / "nms.pt")
    torch.jit.script(torch.nn.LSTM(3, 4)).save(folder / "lstm.pt")
    for name in ("Saves", "Maps", "Reads", "Writes"):
        script = torch.jit.script(getattr(modules, name)())
        script.save(folder / "bad" / f"{name.lower()}.pt")
        script._save_for_lite_interpreter(str(folder / "bad" / f"{name.lower()}.ptl"))
    print("torchvision", torchvision.__version__)
    for path in [*folder.glob("*.pt*"), *folder.glob("bad/*.pt*")]:
        _without_paths(path)


def _without_paths(path: Path) -> None:
    """Replace the folders that torch notes for debugging by as many dots."""
    with zipfile.ZipFile(path) as archive:
        rows = [(info, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(path, "w") as archive:
        for info, body in rows:
            if info.filename.endswith(("debug_pkl", "bytecode.pkl", "mobile_debug_handles.pkl")):
                body = _PATHS.sub(lambda match: b"." * len(match.group()), body)
            fresh = zipfile.ZipInfo(info.filename, (1980, 1, 1, 0, 0, 0))
            archive.writestr(fresh, body, zipfile.ZIP_DEFLATED if "/code/" in info.filename else zipfile.ZIP_STORED)


if __name__ == "__main__":
    place = Path(sys.argv[2])
    if sys.argv[1] == "numpy":
        arrays(place)
        pieces(place / "sentencepiece")
    else:
        scripts(place / "torchscript")
