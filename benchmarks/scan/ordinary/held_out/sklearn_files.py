"""Label encoders, arrays of names, estimators and tables that lie beside a classifier or are the model."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scan.ordinary import processors as beside
from benchmarks.scan.ordinary.base_models import classifier
from benchmarks.scan.ordinary.kinds import kind


@kind("label-encoders-beside")
def encoders(folder: Path) -> None:
    """label_encoder.pkl, scaler.joblib, pca.pkl of scikit-learn; classes.npy of objects; class_names.pkl."""
    import joblib
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import LabelEncoder, StandardScaler

    classifier(folder, "safetensors")
    encoder = LabelEncoder().fit(["cat", "dog", "import os"])
    (folder / "label_encoder.pkl").write_bytes(pickle.dumps(encoder))
    np.save(folder / "classes.npy", encoder.classes_)
    np.save(folder / "class_names.npy", np.array(["cat", "a longer name"], dtype=object), allow_pickle=True)
    (folder / "class_names.pkl").write_bytes(pickle.dumps({0: "cat", 1: "dog"}))
    joblib.dump(StandardScaler().fit(np.eye(3)), folder / "scaler.joblib")
    joblib.dump(PCA(2).fit(np.eye(4)), folder / "pca.pkl", compress=True)
    joblib.dump({"names": ["cat"], "x": np.ones(3)}, folder / "plain.joblib")


@kind("probe-on-clip", "-", (0, 1, 2))
def probes(folder: Path) -> None:
    """A pipeline of scikit-learn as the model itself: by policy a finding until it is allowed."""
    import joblib

    joblib.dump(pipeline(), folder / "sklearn_model.joblib")
    beside.card(folder, library="sklearn")


def pipeline() -> Any:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    data, names = np.random.default_rng(0).normal(size=(12, 4)), [0, 1, 2] * 4
    forest = RandomForestClassifier(3, random_state=0).fit(data, names)
    neighbours = KNeighborsClassifier(2, algorithm="kd_tree").fit(data, names)
    return {"pipe": make_pipeline(StandardScaler(), SVC()).fit(data, names), "forest": forest, "knn": neighbours}


@kind("pickled-tables-beside")
def tables(folder: Path) -> None:
    """pandas' to_pickle, to_hdf-like HDF5 with a user block, a pickled history of Keras, defaultdicts of metrics."""
    from collections import OrderedDict, defaultdict

    import h5py
    import pandas as pd

    classifier(folder, "safetensors")
    pd.DataFrame({"image": ["a.png", "b.png"], "label": [0, 1]}).to_pickle(folder / "train.pkl")
    with h5py.File(folder / "features.h5", "w", userblock_size=512) as file:
        file["x"] = np.ones((4, 4))
    with h5py.File(folder / "matlab73.mat", "w", userblock_size=512) as file:
        file["x"] = np.ones((4, 4))
    with (folder / "matlab73.mat").open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Jan 01".ljust(124) + b"\x00\x02IM")
    history: Any = defaultdict(list)
    history["loss"] += [0.5, 0.4]
    (folder / "history.pkl").write_bytes(pickle.dumps(history))
    (folder / "trainHistoryDict").write_bytes(pickle.dumps({"loss": [0.5], "acc": [np.float32(0.9)]}))
    (folder / "best_params.pickle").write_bytes(pickle.dumps(OrderedDict(lr=0.1), protocol=0))
