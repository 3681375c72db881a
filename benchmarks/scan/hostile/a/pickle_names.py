"""Pickles: which names are called. Also classes whose constructor opens, connects or runs."""

from __future__ import annotations

import marshal

from benchmarks.scan.hostile.cases import Case, bad, twin
from benchmarks.scan.hostile.ordinary import vit, vit_bin
from benchmarks.scan.hostile.pickle_bytes import (
    WEIGHTS,
    call,
    group,
    name,
    number,
    raw,
    stacked,
    table,
    text,
    torch_zip,
    whole,
)


def _weights(label: str, body: bytes, does: str) -> Case:
    """In the weights that a loader opens."""
    return bad(label, f"torch.load(weights_only=False): {does}", lambda: vit_bin(torch_zip(body + b"0" + WEIGHTS)))


def _state(label: str, body: bytes, does: str, path: str = "optimizer.pt") -> Case:
    """In a file beside safetensors weights: the owner's script, resuming, or the Trainer before 4.46 loads it."""
    return bad(
        label, f"pickle.load or torch.load(weights_only=False) of it: {does}", lambda: vit({path: whole(body, 4)})
    )


def _get(what: bytes, attribute: str) -> bytes:
    return call(name("builtins", "getattr"), what, text(attribute))


CODE = raw(marshal.dumps(compile("0", "case", "eval")))
ENUM = _get(name("transformers.trainer_utils", "IntervalStrategy"), "__repr__")
MODULES = _get(call(_get(_get(ENUM, "__globals__"), "get"), text("sys")), "modules")
OF_ENUM = call(_get(MODULES, "get"), text("os"))


CASES: tuple[Case, ...] = (
    _weights(
        "posix-spawn", call(name("os", "posix_spawn"), text("/bin/true"), b"](" + text("true") + b"e", b"}"), "spawns"
    ),
    _weights("pty-spawn", call(stacked("pty", "spawn"), text("true")), "runs a command in a terminal"),
    _weights("run-path", call(stacked("runpy", "run_path"), text("train.py")), "runs a Python file"),
    _weights("fork-exec", call(name("_posixsubprocess", "fork_exec")), "starts a process, below subprocess"),
    _weights(
        "ctypes-library", call(name("ctypes", "CDLL"), text("./libx.so")), "maps a library and runs its constructors"
    ),
    _weights("torch-library", call(stacked("torch", "ops.load_library"), text("./libx.so")), "the same through torch"),
    _weights(
        "inline-extension",
        call(name("torch.utils.cpp_extension", "load_inline"), text("x"), text("int f();")),
        "compiles and loads C++",
    ),
    _weights(
        "marshalled-function",
        call(call(name("types", "FunctionType"), call(name("marshal", "loads"), CODE), b"}")),
        "makes a function of code and calls it",
    ),
    _weights(
        "remote-model", call(stacked("transformers", "AutoModel.from_pretrained"), text("x/y")), "loads another repo"
    ),
    _weights(
        "dynamic-module",
        call(name("transformers.dynamic_module_utils", "get_class_from_dynamic_module"), text("m.X"), text("x/y")),
        "imports code of another repo",
    ),
    _weights(
        "evaluated-by-torch", call(name("torch._dynamo.guards", "eval"), text("0")), "builtins.eval by another module"
    ),
    _weights(
        "methodcaller",
        call(
            call(name("operator", "methodcaller"), text("system"), text("true")),
            call(name("importlib", "import_module"), text("os")),
        ),
        "os.system",
    ),
    _weights(
        "reduce-getattr",
        call(
            call(
                name("functools", "reduce"),
                name("builtins", "getattr"),
                group(call(name("builtins", "__import__"), text("os")), text("system")),
            ),
            text("true"),
        ),
        "os.system",
    ),
    _weights(
        "os-behind-an-enum",
        call(_get(OF_ENUM, "system"), text("true")),
        "getattr of getattr from a listed enum: reaches sys.modules['os'].system",
    ),
    _state("doctest-script", call(name("doctest", "debug_script"), text("0")), "executes the text under pdb"),
    _state("profile-run", call(name("cProfile", "run"), text("0")), "executes the text"),
    _state("timeit", call(name("timeit", "timeit"), text("0")), "executes the text"),
    _state("numpy-documents", call(name("numpy.testing", "rundocs"), text("train.py")), "runs a file"),
    _state("import-only", call(name("importlib", "import_module"), text("train")), "imports and so runs train.py"),
    _state("locate", call(name("pydoc", "locate"), text("train.main")), "imports train.py"),
    _state("rmtree", call(name("shutil", "rmtree"), text("/tmp/case-that-is-not-there")), "deletes a folder"),
    _state(
        "write-text",
        call(stacked("pathlib", "Path.write_text"), call(name("pathlib", "PosixPath"), text("/tmp/x")), text("x")),
        "writes a file",
    ),
    _state(
        "url-to-file", call(name("urllib.request", "urlretrieve"), text("http://127.0.0.1:9/x")), "fetches to a file"
    ),
    # classes: the constructor acts
    _state("class-ftp", call(name("ftplib", "FTP"), text("127.0.0.1")), "connects to a host"),
    _state("class-file-handler", call(name("logging", "FileHandler"), text("/tmp/x")), "creates a file"),
    _state("class-file-io", call(name("io", "FileIO"), text("/tmp/x"), text("w")), "empties a file"),
    _state("class-zip-file", call(name("zipfile", "ZipFile"), text("/tmp/x"), text("w")), "overwrites a file"),
    _state(
        "class-memmap",
        call(name("numpy", "memmap"), text("/tmp/x"), text("u1"), text("w+"), number(0), number(9)),
        "overwrites a file",
    ),
    _state(
        "class-package-importer", call(name("torch.package", "PackageImporter"), text("x.pt")), "opens a file of code"
    ),
    _state(
        "class-client",
        call(name("multiprocessing.connection", "Client"), group(text("127.0.0.1"), number(9))),
        "connects, and then unpickles what the other end sends",
    ),
    _state(
        "class-summary-writer", call(name("torch.utils.tensorboard", "SummaryWriter"), text("/tmp/x")), "makes files"
    ),
    _state(
        "class-pool",
        call(name("multiprocessing.pool", "Pool"), number(1), name("os", "system"), group(text("true"))),
        "starts a process that runs the initializer",
    ),
    _state(
        "class-gzip-file", call(name("gzip", "GzipFile"), text("/tmp/x"), text("wb")), "overwrites a file", "scaler.pt"
    ),
    _state(
        "dill-function",
        call(name("dill._dill", "_create_function"), call(name("dill._dill", "_create_code"), CODE), b"}"),
        "makes a function; dill's own files call it by REDUCE",
        "model_utils.pkl",
    ),
    _state(
        "cloudpickle-import",
        call(name("cloudpickle.cloudpickle", "subimport"), text("train")),
        "imports train.py",
        "reward.pkl",
    ),
    # twins: names that ordinary states hold
    twin("numpy-scalar-in-state", "torch.load", lambda: vit({"trainer_state.pt": torch_zip(table(best=_scalar()))})),
    twin(
        "enum-in-state",
        "torch.load(weights_only=False)",
        lambda: vit(
            {
                "training_args.bin": torch_zip(
                    table(strategy=call(name("transformers.trainer_utils", "IntervalStrategy"), text("epoch")))
                )
            }
        ),
    ),
    twin(
        "scheduler-state",
        "torch.load",
        lambda: vit(
            {
                "scheduler.pt": torch_zip(
                    table(last_epoch=number(3), base_lrs=b"](" + b"G" + bytes(8) + b"e", _step_count=number(4)),
                    storages={},
                )
            }
        ),
    ),
    twin(
        "counter",
        "pickle.load",
        lambda: vit({"counts.pkl": whole(call(name("collections", "Counter"), table(cat=number(3))), 4)}),
    ),
    twin(
        "defaultdict-of-lists",
        "pickle.load",
        lambda: vit({"log.pkl": whole(call(name("collections", "defaultdict"), name("builtins", "list")), 4)}),
    ),
    twin(
        "own-class-never-opened",
        "the author's script",
        lambda: vit(
            {
                "exp.pkl": whole(
                    call(
                        name("copyreg", "_reconstructor"), name("__main__", "Config"), name("builtins", "object"), b"N"
                    )
                    + table(lr=number(1))
                    + b"b"
                )
            }
        ),
    ),
    twin(
        "the-word-system", "pickle.load", lambda: vit({"words.pkl": whole(table(os=text("system"), cmd=text("exec")))})
    ),
)


def _scalar() -> bytes:
    dtype = call(name("numpy", "dtype"), text("f8"), b"\x89", b"\x88") + group(
        number(3), text("<"), b"N", b"N", b"N", number(-1), number(-1), number(0)
    )
    return call(
        name("numpy.core.multiarray", "scalar"),
        dtype + b"b",
        call(name("_codecs", "encode"), text("\0" * 8), text("latin1")),
    )
