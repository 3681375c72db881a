"""Files that are two things, or another thing than their reader's name for them."""

from __future__ import annotations

from benchmarks.scan.hostile.cases import bad, twin
from benchmarks.scan.hostile.file_bytes import tarred
from benchmarks.scan.hostile.hdf5_bytes import Group, hdf5
from benchmarks.scan.hostile.ordinary import vit, vit_bin
from benchmarks.scan.hostile.pickle_bytes import EVIL, name, number, text, whole

BIG = hdf5(Group({"layer_names": "dense"}, {"dense": 6}), EVIL + bytes(512 - len(EVIL)))
MATLAB = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Jan  1 10:00:00 2024 HDF5 schema 1.00 ."

CASES = [
    bad(
        "skops-that-is-none",
        "skops before 0.12 (CVE-2025-54886): Card.get_model gives a file that is no zip to joblib",
        lambda: {"model.skops": EVIL, "README.md": "---\nlibrary_name: sklearn\n---\n"},
    ),
    bad(
        "block-in-front",
        "torch.load before 2.6 unpickles the block in front of an HDF5 file as its magic number",
        lambda: vit_bin(BIG),
    ),
    bad(
        "tar-of-old-torch",
        "torch.load(weights_only=False) still reads tars of torch 0.1: it unpickles their members",
        lambda: vit_bin(
            tarred({"sys_info": whole(b"}"), "pickle": EVIL, "storages": whole(number(0)), "tensors": whole(number(0))})
        ),
    ),
    bad(
        "picture-that-is-none",
        "torch.load before 2.6 in an example of the card: the preview is a pickle",
        lambda: vit(
            {
                "preview.png": whole(name("builtins", "eval") + b"(" + text("1 + 1") + b"tR"),
                "README.md": "```python\ntorch.load('preview.png')\n```\n",
            }
        ),
    ),
    twin(
        "table-of-matlab",
        "scipy, h5py: a block of text in front is what MATLAB writes",
        lambda: vit({"imagenet_labels.mat": hdf5(Group({}, {"labels": 6}), MATLAB + b" " * (512 - len(MATLAB)))}),
    ),
]
