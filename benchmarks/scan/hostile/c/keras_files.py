"""HDF5 and Keras files: what is deserialized beside the layers."""

from __future__ import annotations

import json

from benchmarks.scan.hostile.cases import bad, twin
from benchmarks.scan.hostile.hdf5_bytes import Group, hdf5
from benchmarks.scan.hostile.keras_bytes import DENSE, function, keras, layer, old, old_model, sequential
from benchmarks.scan.hostile.ordinary import CARD, vit

OLD_DENSE = {"class_name": "Dense", "config": {"name": "dense", "units": 2, "activation": "softmax"}}
TRAINING = {"loss": function("os", "system"), "metrics": ["accuracy"], "optimizer_config": {
    "class_name": "Adam", "config": {"learning_rate": 0.001}}}  # fmt: skip

CASES = [
    bad(
        "attribute-is-unpickled",
        "PyTables, and pandas.read_hdf: an attribute that ends with a dot goes to pickle.loads",
        lambda: vit(
            {"features.h5": hdf5(Group({"TITLE": "table", "note": "cos\nsystem\n(S'true'\ntR."}, {"table": 6}))}
        ),
    ),
    bad(
        "loss-of-another-module",
        "Keras 3.0 to 3.8 compiles a legacy file with the loss that training_config names, of any module",
        lambda: {
            "model.h5": old(old_model(OLD_DENSE), training_config=json.dumps(TRAINING)),
            "README.md": CARD.format("keras"),
        },
    ),
    bad(
        "layer-in-a-wrapper",
        "Keras 3.0 to 3.13: TFSMLayer in a wrapper loads a SavedModel from a path outside",
        lambda: {
            "model.keras": keras(
                sequential(
                    layer(
                        "TimeDistributed",
                        {"layer": layer("TFSMLayer", {"filepath": "/var/tmp/saved", "call_endpoint": "serve"})},
                    ),
                    DENSE,
                )
            ),
            "README.md": CARD.format("keras"),
        },
    ),
    twin(
        "attribute-ends-with-a-dot",
        "pandas, h5py",
        lambda: vit(
            {"features.h5": hdf5(Group({"note": "Features of the last layer. Made on one GPU."}, {"table": 6}))}
        ),
    ),
]
