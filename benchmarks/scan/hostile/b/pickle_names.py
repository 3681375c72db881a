"""Pickles: more names, and classes whose constructor acts."""

from __future__ import annotations

from benchmarks.scan.hostile.cases import Case, bad, twin
from benchmarks.scan.hostile.ordinary import vit, vit_bin
from benchmarks.scan.hostile.pickle_bytes import (
    WEIGHTS,
    call,
    group,
    name,
    number,
    stacked,
    table,
    text,
    torch_zip,
    whole,
)

FILE = text("/tmp/x")


def _weights(label: str, body: bytes, does: str) -> Case:
    return bad(label, f"torch.load(weights_only=False): {does}", lambda: vit_bin(torch_zip(body + b"0" + WEIGHTS)))


def _state(label: str, body: bytes, does: str, path: str = "rng_state.pth") -> Case:
    return bad(
        label, f"pickle.load or torch.load(weights_only=False) of it: {does}", lambda: vit({path: whole(body, 4)})
    )


CASES: tuple[Case, ...] = (
    _weights(
        "site-folder", call(name("site", "addsitedir"), text(".")), "executes the import lines of .pth files there"
    ),
    _weights("exit-of-the-process", call(name("os", "kill"), number(0), number(15)), "ends the process group"),
    _weights(
        "yaml-unsafe", call(name("yaml", "unsafe_load"), text("!!python/object/apply:os.system ['true']")), "os.system"
    ),
    _weights("joblib-load", call(name("joblib", "load"), text("x.joblib")), "unpickles another file"),
    _weights(
        "dataset-script",
        call(stacked("datasets", "load_dataset"), text("some/repo")),
        "downloads, runs a script before 4.0",
    ),
    _weights(
        "upload",
        call(stacked("huggingface_hub", "upload_folder"), text("x")),
        "sends a folder of the machine to the Hub",
    ),
    _weights(
        "certificate", call(name("ssl", "get_server_certificate"), group(text("127.0.0.1"), number(9))), "connects"
    ),
    _weights(
        "spawn-of-distutils", call(name("distutils.spawn", "spawn"), b"](" + text("true") + b"e"), "runs a command"
    ),
    _weights("script-helper", call(name("test.support.script_helper", "run_python_until_end")), "starts Python"),
    _weights(
        "timm-by-address",
        call(stacked("timm", "create_model"), text("hf-hub:some/repo"), b"\x88"),
        "loads another repo",
    ),
    _state("save-of-torch", call(name("torch", "save"), number(1), FILE), "overwrites a file"),
    _state("save-of-numpy", call(name("numpy", "save"), FILE, number(1)), "overwrites a file"),
    _state("shelf", call(name("shelve", "open"), FILE), "opens, and on use unpickles, a database"),
    _state("input-in-place", call(name("fileinput", "input"), FILE, b"\x88"), "rewrites a file"),
    _state("class-bz2-file", call(name("bz2", "BZ2File"), FILE, text("w")), "overwrites a file"),
    _state("class-lzma-file", call(name("lzma", "LZMAFile"), FILE, text("w")), "overwrites a file"),
    _state("class-tar-file", call(name("tarfile", "TarFile"), FILE, text("w")), "overwrites a file"),
    _state("class-connection-of-sqlite", call(name("sqlite3", "Connection"), FILE), "makes a file"),
    _state("class-smtp", call(name("smtplib", "SMTP"), text("127.0.0.1"), number(9)), "connects"),
    _state("class-imap", call(name("imaplib", "IMAP4"), text("127.0.0.1"), number(9)), "connects"),
    _state(
        "class-temporary-folder",
        call(name("tempfile", "TemporaryDirectory"), b"N", b"N", FILE),
        "makes a folder, deletes it",
    ),
    _state(
        "class-rotating-log",
        call(name("logging.handlers", "RotatingFileHandler"), FILE, text("w")),
        "overwrites a file",
    ),
    _state("class-file-of-h5py", call(name("h5py", "File"), FILE, text("w")), "overwrites a file"),
    _state("class-writer-of-tensorboardx", call(name("tensorboardX", "SummaryWriter"), FILE), "makes files"),
    _state(
        "estimator-with-a-function",
        name("sklearn.preprocessing._function_transformer", "FunctionTransformer")
        + b")\x81"
        + table(func=name("subprocess", "getoutput"), validate=b"\x89")
        + b"b",
        "transform() runs its input as a command",
        "preprocess.pkl",
    ),
    # twins
    twin(
        "estimator",
        "joblib.load",
        lambda: vit(
            {
                "scaler.pkl": whole(
                    name("sklearn.preprocessing._data", "StandardScaler")
                    + b")\x81"
                    + table(with_mean=b"\x88", with_std=b"\x88", copy=b"\x88", _sklearn_version=text("1.5.1"))
                    + b"b",
                    4,
                )
            }
        ),
    ),
    twin(
        "random-states",
        "torch.load",
        lambda: vit(
            {
                "rng_state.pth": torch_zip(
                    table(
                        python=group(number(3), group(number(1), number(2)), b"N"),
                        numpy=group(text("MT19937"), number(4)),
                    )
                )
            }
        ),
    ),
    twin(
        "training-arguments",
        "torch.load(weights_only=False)",
        lambda: vit(
            {
                "training_args.bin": torch_zip(
                    name("transformers.training_args", "TrainingArguments")
                    + b")\x81"
                    + table(
                        output_dir=text("out"),
                        eval_strategy=call(name("transformers.trainer_utils", "IntervalStrategy"), text("steps")),
                    )
                    + b"b"
                )
            }
        ),
    ),
    twin(
        "uuid-and-path",
        "pickle.load",
        lambda: vit({"run.pkl": whole(table(where=call(name("pathlib", "PosixPath"), text("/"), text("x"))))}),
    ),
    twin(
        "encoded-bytes",
        "pickle.load",
        lambda: vit({"blob.pkl": whole(call(name("_codecs", "encode"), text("ab"), text("latin1")))}),
    ),
)
