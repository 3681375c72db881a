"""Which names a pickle may refer to: the reviewed list of ``allowed_names.json``, exact pairs of module and name.

The short list of dangerous modules here never lets anything pass: it words findings and raises their severity, and it
names what no one may allow by hand.
"""

from __future__ import annotations

import _compat_pickle
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from hubclean.errors import OptionError
from hubclean.escaping import printable

# Modules that run code, commands or loaders, reach network or files, or look up any name: as a whole, with submodules.
_MODULES_TEXT = """
os posix nt ntpath posixpath nturl2path sys subprocess _posixsubprocess pty popen2 commands importlib imp _imp
_frozen_importlib _frozen_importlib_external runpy pkgutil zipimport code codeop codecs _io io fileinput shutil
tempfile pathlib glob socket _socket socketserver ssl http httplib urllib urllib2 urllib3 requests httpx aiohttp
ftplib smtplib imaplib poplib nntplib telnetlib xmlrpc webbrowser asyncio multiprocessing concurrent threading _thread
thread signal ctypes _ctypes cffi mmap pip ensurepip venv setuptools distutils _distutils_hack pickle cPickle _pickle
cloudpickle dill joblib shelve marshal types new functools _functools operator _operator inspect pydoc pydoc_data pdb
bdb cProfile profile pstats timeit trace idlelib lib2to3 test unittest doctest logging uuid mailcap platform
_aix_support _osx_support _pyrepl pyrepl sysconfig site gc faulthandler builtins __builtin__ _interpreters
_xxsubinterpreters interpreters ast string typing weakref atexit contextlib readline curses turtle sqlite3 dbm zipfile
tarfile getpass linecache tokenize IPython pandas.io huggingface_hub fickling picklescan modelscan gzip bz2 lzma
mailbox netrc wsgiref cgi cgitb filecmp wave aifc sunau sndhdr imghdr termios tty winreg _winreg _winapi msvcrt
winsound pipes tkinter Tkinter compileall py_compile modulefinder zipapp symtable gettext plistlib selectors select
xml.sax xml.dom pyexpat antigravity __main__ nose pytest _pytest py torch.hub torch.jit torch.utils torch.package
torch._dynamo torch._inductor torch.fx torch.distributed.rpc torch.distributed.run torch.distributed.launch
torch.distributed.elastic torch.multiprocessing torch.serialization torch.load torch.storage torch.ops torch._ops
torch.cpp_extension numpy.f2py numpy.testing numpy.distutils numpy.ctypeslib numpy.lib numpy.load numpy.loads
numpy.save numpy.compat keras.utils tensorflow.io
"""
_MODULES = frozenset(_MODULES_TEXT.split())
_CALLS = frozenset(
    (module, name)
    for module, names in {
        "torch": "load save compile classes ops",
        "numpy": "load loads save savez savetxt fromfile memmap genfromtxt loadtxt DataSource vectorize",
        "collections": "namedtuple",
        "copyreg": "pickle constructor add_extension",
        "copy_reg": "pickle constructor add_extension",
        "site": "main",
    }.items()
    for name in names.split()
)
_HARMLESS = frozenset(
    [("types", "SimpleNamespace"), ("uuid", "UUID"), ("string", "Template"), ("weakref", "ref")]
    + [
        ("pathlib", name)
        for name in ["Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath"]
    ]
)
_HARMLESS_BUILTINS_TEXT = """
bool bytearray bytes complex dict float frozenset int list object range set slice str tuple type unicode long
xrange buffer basestring NotImplemented Ellipsis
"""
_LOOKED_UP_TEXT = "os posix nt sys subprocess builtins importlib shutil pty socket runpy pickle ctypes"
_LOOKED_UP = frozenset(_LOOKED_UP_TEXT.split())
_HARMLESS_BUILTINS = frozenset(_HARMLESS_BUILTINS_TEXT.split())


@cache
def allowed_names() -> frozenset[tuple[str, str]]:
    """The pairs that may be referred to."""
    return frozenset((module, name) for module, name in _document()["names"])


@cache
def _document() -> dict[str, list[list[str]]]:
    document: dict[str, list[list[str]]] = json.loads((Path(__file__).parent / "allowed_names.json").read_text("utf-8"))
    return document


def source() -> str:
    """Where the list comes from, for reports: ``torch 2.15.0, numpy 2.4.6``."""
    return f"torch {_document()['torch']}, numpy {_document()['numpy']}"


def resolved(module: str, name: str) -> tuple[str, str]:
    """The name under which Python 3 looks up one written by Python 2."""
    if (module, name) in _compat_pickle.NAME_MAPPING:
        return _compat_pickle.NAME_MAPPING[module, name]
    return _compat_pickle.IMPORT_MAPPING.get(module, module), name


def is_allowed(module: str, name: str, protocol: int) -> bool:
    """Whether both torch, which always translates Python 2's names, and Python, which does so below protocol 3, find a
    listed name."""
    seen = {resolved(module, name)} | ({(module, name)} if protocol >= 3 else set())
    return seen <= allowed_names()


def is_dangerous(module: str, name: str) -> bool:
    """Whether a name runs code, commands, network or files, or finds others that do. No one may allow such a name."""
    return any(_is_dangerous(*pair) for pair in {(module, name), resolved(module, name)})


def check_names(names: Iterable[str]) -> frozenset[str]:
    """The names that a user lets pass: exact ``module.Name``.

    Raises:
        OptionError: a wildcard or other sign, no module, or a name that no one may allow.
    """
    for path in names:
        parts = path.split(".")
        if len(parts) < 2 or not all(part.isidentifier() and part.isascii() for part in parts):
            raise OptionError(f"{printable(path)!r} is no exact name like timm.models.resnet.ResNet")
        # A dotted name may be looked up inside a module: ``a`` and ``os.system`` is what ``a`` imported.
        inner = set(parts[1:-1]) & _LOOKED_UP or any(part.startswith("__") for part in parts[1:])
        if inner or is_dangerous(".".join(parts[:-1]), parts[-1]):
            raise OptionError(f"{printable(path)!r} can run code or reach files or network: it can never be allowed")
    return frozenset(names)


def _is_dangerous(module: str, name: str) -> bool:
    if (module, name) in allowed_names() | _HARMLESS:
        return False
    if module == "torch.jit._pickle":
        return False  # makes lists and tensors of what it is given
    if module in ("builtins", "__builtin__"):
        return name not in _HARMLESS_BUILTINS
    if (module, name.partition(".")[0]) in _CALLS:
        return True
    parts = f"{module}.{name}".split(".")
    return any(".".join(parts[:count]) in _MODULES for count in range(1, min(len(parts), 12)))
