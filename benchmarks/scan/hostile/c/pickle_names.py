"""Pickles whose names are classes that act when they are made, beside sound weights, and states that only look odd."""

from __future__ import annotations

import struct
from collections.abc import Callable

from benchmarks.scan.hostile.cases import bad, twin
from benchmarks.scan.hostile.ordinary import Repo, sentences, vit
from benchmarks.scan.hostile.pickle_bytes import (
    APPENDS,
    BUILD,
    EMPTY_LIST,
    EMPTY_TUPLE,
    MARK,
    NONE,
    call,
    dtype,
    group,
    name,
    number,
    raw,
    table,
    tensor,
    text,
    torch_zip,
    whole,
)

NEWOBJ = b"\x81"
NOWHERE = "/var/tmp/hubclean-case"
SKLEARN = "---\nlibrary_name: sklearn\ntags:\n- tabular-classification\n---\n\n# Model\n"


def real(value: float) -> bytes:
    """BINFLOAT."""
    return b"G" + struct.pack(">d", value)


def listed(*values: bytes) -> bytes:
    """A list."""
    return EMPTY_LIST + MARK + b"".join(values) + APPENDS


def old_bytes(data: bytes) -> bytes:
    """Bytes in protocol 2."""
    return call(name("_codecs", "encode"), text(data.decode("latin1")), text("latin1"))


def array(data: bytes, shape: tuple[int, ...], kind: bytes, written: Callable[[bytes], bytes] = raw) -> bytes:
    """A numpy array as numpy pickles it."""
    first = (name("numpy", "ndarray"), group(number(0)), written(b"b"))
    empty = call(name("numpy.core.multiarray", "_reconstruct"), *first)
    return empty + group(number(1), group(*map(number, shape)), kind, b"\x89", written(data)) + BUILD


def objects(*values: bytes) -> bytes:
    """A numpy array of Python objects."""
    empty = call(name("numpy.core.multiarray", "_reconstruct"), name("numpy", "ndarray"), group(number(0)), raw(b"b"))
    state = group(number(1), group(number(len(values))), dtype("O8", "|"), b"\x89", listed(*values))
    return empty + state + BUILD


def made(module: str, kind: str, **state: bytes) -> bytes:
    """An object made by ``__new__`` with its attributes."""
    return name(module, kind) + EMPTY_TUPLE + NEWOBJ + table(**state) + BUILD


def beside(path: str, value: bytes, **more: bytes) -> Repo:
    """A ViT with a torch zip of a dict at a path."""
    return vit({path: torch_zip(table(value=value, **more))})


def sklearn(body: bytes, path: str = "model.pkl") -> Repo:
    """A repo with one estimator."""
    return {path: whole(body, 4), "README.md": SKLEARN}


def classifier(supports: tuple[int, int]) -> bytes:
    """A fitted SVC of two vectors; ``supports`` is how many each class claims."""
    numbers = array(struct.pack("<4d", 0, 1, 1, 0), (2, 2), dtype("f8"))
    return made(
        "sklearn.svm._classes",
        "SVC",
        kernel=text("rbf"),
        C=real(1.0),
        gamma=text("scale"),
        probability=b"\x89",
        shape_fit_=group(number(2), number(2)),
        _gamma=real(2.0),
        _sparse=b"\x89",
        classes_=array(struct.pack("<2q", 0, 1), (2,), dtype("i8")),
        support_=array(struct.pack("<2i", 0, 1), (2,), dtype("i4")),
        support_vectors_=numbers,
        _n_support=array(struct.pack("<2i", *supports), (2,), dtype("i4")),
        dual_coef_=array(struct.pack("<2d", -1, 1), (1, 2), dtype("f8")),
        _dual_coef_=array(struct.pack("<2d", -1, 1), (1, 2), dtype("f8")),
        intercept_=array(bytes(8), (1,), dtype("f8")),
        _intercept_=array(bytes(8), (1,), dtype("f8")),
        _sklearn_version=text("0.23.2"),
    )


def enum_walk() -> bytes:
    """From an enum of transformers by getattr to its module's globals, its builtins, ``eval``."""
    take = name("builtins", "getattr")
    function = call(take, name("transformers.trainer_utils", "IntervalStrategy"), text("_missing_"))
    inner = call(take, call(take, function, text("__func__")), text("__globals__"))
    builtins = call(call(take, inner, text("get")), text("__builtins__"))
    return call(call(call(take, builtins, text("get")), text("eval")), text("1 + 1"))


def adam() -> bytes:
    """What AdamW's state_dict is."""
    group_ = table(
        lr=real(5e-5), betas=group(real(0.9), real(0.999)), eps=real(1e-8), weight_decay=real(0.0), amsgrad=b"\x89",
        foreach=NONE, maximize=b"\x89", capturable=b"\x89", differentiable=b"\x89", fused=NONE,
        initial_lr=real(5e-5), params=listed(number(0)),
    )  # fmt: skip
    held = table(step=tensor("1", ()), exp_avg=tensor("0"), exp_avg_sq=tensor("2"))
    return table(state=b"}" + number(0) + held + b"s", param_groups=listed(group_))


def rng() -> bytes:
    """What the Trainer saves of the random generators."""
    numpy = group(
        text("MT19937"), array(bytes(4 * 624), (624,), dtype("u4"), old_bytes), number(624), number(0), real(0.0)
    )
    python = group(number(3), group(*(number(2**31 + index) for index in range(625))), NONE)
    return table(python=python, numpy=numpy, cpu=tensor("0", (16,), "ByteStorage"))


CASES = [
    bad(
        "database-file",
        "torch.load(weights_only=False) of the training arguments, as the Trainer's users do: "
        "sqlite3.Connection creates a file anywhere",
        lambda: beside("training_args.bin", call(name("sqlite3", "Connection"), text(NOWHERE + ".db"))),
    ),
    bad(
        "mapped-file",
        "torch.load before 2.6 (Trainer up to 4.45, on resume): numpy.memmap with w+ empties a file",
        lambda: beside(
            "optimizer.pt", call(name("numpy", "memmap"), text(NOWHERE), text("u1"), text("w+"), number(0), number(8))
        ),
    ),
    bad(
        "store-file",
        "transformers before 5.0 loads rng_state.pth without weights_only (CVE-2026-1839): "
        "torch.distributed.FileStore writes a file",
        lambda: beside(
            "checkpoint-500/rng_state.pth", call(name("torch.distributed", "FileStore"), text(NOWHERE), number(1))
        ),
    ),
    bad(
        "connects",
        "torch.load before 2.6 on resume: ftplib.FTP with a host connects when it is made",
        lambda: beside("scheduler.pt", call(name("ftplib", "FTP"), text("files.example.net"))),
    ),
    bad(
        "other-repo-loaded",
        "SetFit reads its head with joblib.load: sentence_transformers.CrossEncoder loads another repo's weights",
        lambda: sentences(
            {
                "model_head.pkl": whole(
                    call(
                        name("sentence_transformers.cross_encoder.CrossEncoder", "CrossEncoder"), text("someone/else")
                    ),
                    4,
                )
            }
        ),
    ),
    bad(
        "support-counts",
        "scikit-learn up to 0.23.2 (CVE-2020-28975): libsvm reads past its arrays, as many support "
        "vectors as _n_support claims",
        lambda: sklearn(classifier((1_000_000, 1))),
    ),
    bad(
        "name-of-python-2",
        "pickle of protocol 2 maps commands to subprocess: getoutput runs a command; torch.load before 2.6 on resume",
        lambda: vit({"optimizer.pt": whole(call(name("commands", "getoutput"), text("true")))}),
    ),
    bad(
        "data-set-fetched",
        "torch.load(weights_only=False): torchvision's MNIST with download=True fetches and unpacks "
        "archives when it is made",
        lambda: beside(
            "training_args.bin",
            call(name("torchvision.datasets.mnist", "MNIST"), text(NOWHERE), b"\x88", NONE, NONE, b"\x88"),
        ),
    ),
    bad(
        "walk-from-an-enum",
        "torch.load(weights_only=False): getattr on an enum of transformers, over its method's globals, to eval",
        lambda: beside("training_args.bin", enum_walk()),
    ),
    bad(
        "clone",
        "torch.load(weights_only=False) with huggingface_hub before 1.0: Repository clones another repo by git",
        lambda: beside(
            "training_args.bin",
            call(
                name("huggingface_hub.repository", "Repository"),
                text(NOWHERE),
                text("https://huggingface.co/someone/else"),
            ),
        ),
    ),
    bad(
        "log-file",
        "huggingface_sb3's users unpickle replay buffers: logging.FileHandler with w empties a file, by INST",
        lambda: vit({"replay_buffer.pkl": f"(S'{NOWHERE}.log'\nS'w'\nilogging\nFileHandler\n.".encode()}),
    ),
    bad(
        "library-loaded",
        "accelerate's load_state unpickles custom_checkpoint_0.pkl before 1.0: ctypes.CDLL loads a native library",
        lambda: beside("custom_checkpoint_0.pkl", call(name("ctypes", "CDLL"), text("libm.so.6"))),
    ),
    bad(
        "vocabulary",
        "transformers up to 4.35 unpickles vocab.pkl of Transfo-XL: pandas' HDFStore with w makes a file",
        lambda: vit(
            {"vocab.pkl": whole(call(name("pandas.io.pytables", "HDFStore"), text(NOWHERE), text("w")), 4)},
            model_type="transfo-xl",
            architectures=["TransfoXLLMHeadModel"],
        ),
    ),
    twin(
        "regression",
        "joblib or pickle, with scikit-learn installed",
        lambda: sklearn(
            made(
                "sklearn.linear_model._logistic",
                "LogisticRegression",
                penalty=text("l2"),
                C=real(1.0),
                classes_=array(struct.pack("<2q", 0, 1), (2,), dtype("i8")),
                coef_=array(bytes(24), (1, 3), dtype("f8")),
                intercept_=array(bytes(8), (1,), dtype("f8")),
                n_iter_=array(struct.pack("<i", 7), (1,), dtype("i4")),
                n_features_in_=number(3),
                _sklearn_version=text("1.5.0"),
            )
        ),
    ),
    twin(
        "label-encoder",
        "pickle, beside a ViT: names of classes in an array of objects",
        lambda: vit(
            {
                "label_encoder.pkl": whole(
                    made(
                        "sklearn.preprocessing._label",
                        "LabelEncoder",
                        classes_=objects(text("cat"), text("dog")),
                        _sklearn_version=text("1.5.0"),
                    ),
                    4,
                )
            }
        ),
    ),
    twin(
        "adam",
        "the Trainer, on resume",
        lambda: vit(
            {"checkpoint-500/optimizer.pt": torch_zip(adam(), storages={"0": bytes(24), "1": bytes(4), "2": bytes(24)})}
        ),
    ),
    twin(
        "random-state",
        "the Trainer, on resume",
        lambda: vit({"checkpoint-500/rng_state.pth": torch_zip(rng(), storages={"0": bytes(16)})}),
    ),
]
