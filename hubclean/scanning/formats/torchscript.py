"""TorchScript's code: which operators the serialized Python of a ``torch.jit`` archive calls.

``torch.load`` hands such an archive to ``torch.jit.load``, in spite of ``weights_only=True`` before 2.6. Its
language has no imports and no Python builtins; what reaches files are operators. Sources: ``import_source.cpp``,
``python_print.cpp`` and ``lexer.h`` of ``torch/csrc/jit``; schemas of torch 2.15 and torchvision that take a path.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from hubclean.scanning.budget import spend
from hubclean.scanning.pickles.opcodes import BrokenStream, NeedMore, read_ops
from hubclean.scanning.rules import Problem

LONGEST_CODE = 16 << 20  # bytes of code in one archive
_MOST_TOLD = 40
# Operators that read or write files, run Python or reach other machines, by their last name.
_FILES = frozenset(
    [
        "save",
        "from_file",
        "read_file",
        "write_file",
        "load_audio_file",
        "apply_effects_file",
        "sox_io_load_audio_file",
        "sox_io_save_audio_file",
        "load_tensor",
        "PythonOp",
        "_record_function_enter_with_file",
        "rpc_async",
        "rpc_sync",
        "rpc_remote",
        "remote_call",
        "py_function",
        "run_and_save_rng_state",
        "download",
    ]
)
_PLAIN_TEXT = """
aten prim prims quantized _quantized prepacked quantized_decomposed mkldnn mkldnn_prepacked mkl onednn xnnpack sparse
profiler static_runtime metal metal_prepack vulkan vulkan_prepack tensorexpr cuda image torchvision torchaudio
torchtext caffe2 _caffe2 _test onnx rngprims fbgemm mps coreml_placeholder
"""
_PLAIN = frozenset(_PLAIN_TEXT.split()) - {"_test", "coreml_placeholder", "torchaudio", "caffe2", "_caffe2"}
_CLASSES = frozenset(
    ["quantized", "xnnpack", "mkldnn", "rnn", "sparse", "prepacked", "metal", "vulkan", "onednn", "profiler"]
)
_TOKEN = re.compile(
    rb"[ \t\r\n\\]++|#[^\n]*+"
    rb"|\"\"\"(?:[^\"\\]|\\[\x00-\xff]|\"(?!\"\"))*+\"\"\"|'''(?:[^'\\]|\\[\x00-\xff]|'(?!''))*+'''"
    rb"|(?P<text>\"(?:[^\"\\\n]|\\[\x00-\xff])*+\"|'(?:[^'\\\n]|\\[\x00-\xff])*+')|(?P<word>[A-Za-z_]\w*+)"
    rb"|(?P<other>[^A-Za-z_\"'#])"
)
_QUALIFIED = re.compile(r"[A-Za-z_]\w{0,63}+::[\w.]{1,64}+")


def code_problems(source: bytes) -> Iterator[Problem]:
    """What a file under ``code/`` calls that weights need not call, one problem a name; the place is in that file."""
    told: set[str] = set()
    for what, rule, offset in _seen(source):
        if what not in told and len(told) < _MOST_TOLD:
            told.add(what)
            yield Problem(rule, what, offset)


def bytecode_problems(body: bytes) -> Iterator[Problem]:
    """The same for ``bytecode.pkl`` of the lite interpreter, whose operators are texts: ``aten::add``."""
    told: set[str] = set()
    for text, offset in _texts(body):
        space, colons, name = text.partition("::")
        if not colons or text in told or len(told) > _MOST_TOLD or not _QUALIFIED.fullmatch(text):
            continue
        told.add(text)
        if name in _FILES:
            yield Problem("HC-TS-001", _files(f"{space}::{name}"), offset)
        elif space not in _PLAIN:
            yield Problem("HC-TS-002", f"calls {space}::{name}, an operator from outside torch", offset)


def reaches_files(operator: str) -> bool:
    """Whether an operator, by its last name, reads or writes files, runs Python or reaches other machines."""
    return operator in _FILES


def is_of_torch(space: str) -> bool:
    """Whether a namespace of operators is torch's own, or torchvision's."""
    return space in _PLAIN


def _texts(body: bytes) -> Iterator[tuple[str, int]]:
    """Every text of a pickle, as far as its opcodes can be told."""
    try:
        for offset, _, argument, _ in read_ops(body, 0, len(body)):
            if isinstance(argument, str):
                yield argument, offset
    except (BrokenStream, NeedMore):
        return  # its walk says so


def _files(name: str) -> str:
    return f"calls {name}: it reads or writes files, runs Python, or reaches other machines"


def _words(source: bytes) -> Iterator[tuple[str, str, int]]:
    """Words, texts and signs without blanks and comments: kind, text, place."""
    at = 0
    for match in _TOKEN.finditer(source):
        if match.start() != at:
            break
        at = match.end()
        spend()
        if match.lastgroup:
            yield match.lastgroup, match.group().decode("utf-8", "replace"), match.start()
    if at < len(source):
        yield "broken", "", at


def _seen(source: bytes) -> Iterator[tuple[str, str, int]]:
    """What is told, its rule, its place."""
    path: list[str] = []  # the dotted name so far; a sign that is no dot ends it
    dotted = False
    begin = 0
    looked_up = False  # inside getattr(...), whose text names a member
    for kind, text, at in _words(source):
        if kind == "word" and dotted:
            path.append(text)
            dotted = False
            if text in _FILES:
                yield _files(".".join(path)), "HC-TS-001", at
            continue
        if kind == "other" and text == "." and not dotted:
            dotted = True
            path = path or ["(...)"]
            continue
        yield from _name(path, begin)
        path, dotted = [], False
        if kind == "word":
            path, begin = [text], at
            looked_up = looked_up or text in ("getattr", "hasattr", "setattr")
            if text in ("import", "from", "exec", "eval", "open", "__import__", "compile"):
                yield from _import(text, at)
        elif kind == "text" and looked_up:
            if "\\" in text or text[1:-1] in _FILES:
                yield f"looks up a member by {text[:60]}", "HC-TS-001", at
        elif text in (")", "\n"):
            looked_up = False
        elif kind == "broken":
            yield "code with a text that does not end: readers may see other code", "HC-TS-002", at
    yield from _name(path, begin)


def _import(word: str, at: int) -> Iterator[tuple[str, str, int]]:
    if word not in ("import", "from"):
        yield f"calls {word}, which TorchScript never writes", "HC-TS-001", at


def _name(path: list[str], at: int) -> Iterator[tuple[str, str, int]]:
    """What is odd about one dotted name."""
    if not path:
        return
    if path[0] == "ops":
        if len(path) < 3:
            yield "hands on the operators as a value: what is called is hidden", "HC-TS-001", at
        elif path[1] not in _PLAIN:
            yield f"calls {'.'.join(path[:3])[:100]}, an operator from outside torch and torchvision", "HC-TS-002", at
    elif path == ["torch"]:
        yield "hands on torch as a value: what is called is hidden", "HC-TS-001", at
    elif path[:3] == ["__torch__", "torch", "classes"] and (len(path) < 5 or path[3] not in _CLASSES):
        yield f"uses {'.'.join(path)[:100]}, a class from outside torch", "HC-TS-002", at
