"""Pickles in compressed streams, tars, data sets and texts that a reader opens by itself."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import tarfile
import zlib

import pyarrow

from benchmarks.scan.hostile.cases import bad, twin
from benchmarks.scan.hostile.file_bytes import npy, tarred, zipped
from benchmarks.scan.hostile.ordinary import Repo, vit
from benchmarks.scan.hostile.pickle_bytes import EVIL, WEIGHTS, torch_zip

CLASSES = {"0": "cat", "1": "dog"}


def agent(policy: str) -> bytes:
    """A zip of stable-baselines3; its data are JSON with pickles as base64."""
    data = {
        "policy_class": {":type:": "<class 'abc.ABCMeta'>", ":serialized:": policy, "__module__": "policies"},
        "num_timesteps": 1000, "learning_rate": 0.0003, "gamma": 0.99,
    }  # fmt: skip
    return zipped({"data": json.dumps(data), "pytorch_variables.pth": torch_zip(WEIGHTS),
                   "_stable_baselines3_version": "2.3.2", "system_info.txt": "- Python: 3.11\n"})  # fmt: skip


def zstandard(data: bytes) -> bytes:
    """A frame with one raw block."""
    assert len(data) < 256
    return b"\x28\xb5\x2f\xfd\x20" + bytes([len(data)]) + (1 | len(data) << 3).to_bytes(3, "little") + data


def renamed() -> bytes:
    """A tar whose pax header gives a member another path."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("model_config.yaml")
        info.pax_headers = {"path": "../../../var/tmp/hubclean-case.yaml"}
        info.size = 2
        archive.addfile(info, io.BytesIO(b"{}"))
    return out.getvalue()


def arrow(metadata: dict[bytes, bytes] | None = None) -> bytes:
    """An Arrow file of one column."""
    schema = pyarrow.schema([pyarrow.field("value", pyarrow.int64(), metadata=metadata)])
    out = io.BytesIO()
    with pyarrow.ipc.new_file(out, schema) as writer:
        writer.write_table(pyarrow.table([pyarrow.array([1, 2])], schema=schema))
    return out.getvalue()


def samples(extra: dict[str, bytes]) -> Repo:
    """A ViT with a shard of WebDataset."""
    return vit({"data/train-000000.tar": tarred({"0001.cls": b"1", "0001.json": b'{"w": 16}'} | extra)})


CASES = [
    bad(
        "agent",
        "stable-baselines3's load gives the base64 of data to cloudpickle.loads",
        lambda: {
            "ppo-cart.zip": agent(base64.b64encode(EVIL).decode()),
            "README.md": "---\nlibrary_name: stable-baselines3\n---\n",
        },
    ),
    bad(
        "empty-member-first",
        "pandas.read_pickle: gzip goes on with the next member",
        lambda: vit({"scaler.pkl.gz": gzip.compress(b"", mtime=0) + gzip.compress(EVIL, mtime=0)}),
    ),
    bad(
        "stored-by-zlib",
        "joblib.load knows zlib by its first byte, at level 0 too",
        lambda: vit({"scaler.joblib": zlib.compress(EVIL, 0)}),
    ),
    bad(
        "two-streams-of-bzip2",
        "joblib.load and pandas.read_pickle: bz2 goes on with the next stream",
        lambda: vit({"scaler.pkl.bz2": bz2.compress(EVIL[:4]) + bz2.compress(EVIL[4:])}),
    ),
    bad(
        "raw-block-of-zstandard",
        "pandas.read_pickle unpacks .zst, here of one block as it is",
        lambda: vit({"scaler.pkl.zst": zstandard(EVIL)}),
    ),
    bad(
        "single-member",
        "pandas.read_pickle of .tar.gz unpickles its only member, whatever it is called",
        lambda: vit({"history.pkl.tar.gz": tarred({"history": EVIL}, "w:gz")}),
    ),
    bad("sample-of-a-data-set", "webdataset's decode gives .pyd to pickle.loads", lambda: samples({"0001.pyd": EVIL})),
    bad(
        "path-in-the-pax-header",
        "tarfile.extractall before Python 3.14, as starters of servers use it: the pax header's path is written",
        lambda: vit({"model.tar": renamed()}),
    ),
    bad(
        "type-of-a-column",
        "pyarrow 0.14 to 14.0.0 (CVE-2023-47248): an extension type is unpickled when the file is read",
        lambda: vit(
            {
                "data/embeddings.arrow": arrow(
                    {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": EVIL}
                )
            }
        ),
    ),
    twin("samples", "webdataset", lambda: samples({"0001.jpg": b"\xff\xd8\xff\xe0" + bytes(64) + b"\xff\xd9"})),
    twin(
        "compressed-tables",
        "pandas, numpy",
        lambda: vit(
            {
                "labels.csv.gz": gzip.compress(b"id,label\n0,cat\n1,dog\n", mtime=0),
                "features.npy.bz2": bz2.compress(npy("'<f4'", bytes(8), "(2,)")),
            }
        ),
    ),
    twin(
        "logs",
        "nobody: a tar of logs with long names",
        lambda: vit({"logs.tar.gz": tarred({f"runs/{'x' * 120}/événement.txt": b"epoch 1\n"}, "w:gz")}),
    ),
    twin("columns", "datasets, pandas", lambda: vit({"data/embeddings.arrow": arrow({b"note": b"counts"})})),
]
