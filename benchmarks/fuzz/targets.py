"""What is fuzzed: one function of bytes for every parser. It returns, or raises what the parser does not declare.

A check that failed inside a scanner shows as "not checked"; here it counts as a crash.
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from hubclean.cli.text.scan import render_scan
from hubclean.errors import BudgetError, FormatError, TransportError
from hubclean.escaping import printable
from hubclean.hub.repos import LocalRepo, RepoEntry
from hubclean.records import FileVerdict, RepoRef, ScanReport
from hubclean.registry import methods
from hubclean.scanning import budget
from hubclean.scanning.compression.lz4_frames import MAGIC, frame_blocks
from hubclean.scanning.configs.requirements import foreign_sources
from hubclean.scanning.cyclonedx import cyclonedx
from hubclean.scanning.document import ScanDocument, target_scan
from hubclean.scanning.engine import reader_of, scan
from hubclean.scanning.formats import (
    content,
    names,
    npy,
    pickle_sniff,
    safetensors_header,
    strict_json,
    torchscript,
    zip_directory,
)
from hubclean.scanning.formats.graphs.coreml_model import read_coreml
from hubclean.scanning.formats.graphs.gguf import read_gguf
from hubclean.scanning.formats.graphs.onnx_model import read_onnx
from hubclean.scanning.formats.graphs.openvino_ir import read_ir, root_of
from hubclean.scanning.formats.graphs.tflite_model import read_tflite
from hubclean.scanning.formats.hdf5.findings import judge_hdf5
from hubclean.scanning.formats.msgpack import read_msgpack
from hubclean.scanning.formats.packing import tar
from hubclean.scanning.formats.tensorflow import bundle, keras_config, text_graphs, tfrecord
from hubclean.scanning.formats.tensorflow import graphs as saved_graphs
from hubclean.scanning.formats.tokenizing import sentencepiece, vocabulary
from hubclean.scanning.formats.zip_found import ZipFile
from hubclean.scanning.formats.zip_members import read_zip
from hubclean.scanning.pickles import state_dict
from hubclean.scanning.pickles.streams import PickleFile, read_pickles
from hubclean.scanning.pickles.torch_tensors import RecordError, tensors
from hubclean.scanning.sarif import sarif
from hubclean.scanning.sources import BytesSource

NAMES = (
    "pytorch_model.bin", "model.safetensors", "config.json", "a.npy", "a.npz", "model.pkl", "tokenizer_config.json",
    "chat_template.jinja", "modeling.py", "model.safetensors.index.json", "blob", "notes.md", "c.yaml",
    "model_index.json", "model.onnx", "m.gguf", "m.tflite", "m.mlmodel", "m.xml",
    "model_index.json", "model.h5", "model.keras", "saved_model.pb", "graph.pbtxt", "model.ckpt.index", "a.tfevents",
)  # fmt: skip
_FAILED = ("the check failed", "broke off")
_FOLDER = Path(tempfile.mkdtemp(prefix="hubclean-fuzz-"))


class Parts:
    """A file that is read in parts, as from a Hub, and whose last bytes may be out of reach."""

    def __init__(self, data: bytes) -> None:
        self.size, self._data = len(data), data

    def at(self, start: int, stop: int) -> bytes:
        if not 0 <= start <= stop <= self.size:
            raise AssertionError(f"bytes {start}..{stop} of {self.size} are asked for")
        if start > 60_000:
            raise TransportError("out of reach")
        return self._data[start:stop]


class OneFile:
    """A repo of one file in memory."""

    def __init__(self, path: str, data: bytes) -> None:
        self.ref, self.requests, self.bytes_read = RepoRef("org/fuzzed", None, "local"), 0, 0
        self.entry = RepoEntry(path, len(data))
        self.alone, self.hub_security = False, None
        self._data = data

    def files(self) -> tuple[RepoEntry, ...]:
        return (self.entry,)

    def read(self, path: str, limit: int) -> bytes:
        return self._data

    def read_range(self, path: str, start: int, stop: int) -> bytes:
        assert 0 <= start <= stop <= len(self._data)
        return self._data[start:stop]


def pickles(data: bytes) -> None:
    """A raw pickle, and what a tensor reader would take from it."""
    found = read_pickles(BytesSource(data))
    assert found.walks
    _weights(found)
    in_parts = read_pickles(Parts(data))
    if not in_parts.unchecked:
        assert in_parts.problems == found.problems, "read in parts it is judged otherwise"


def legacy(data: bytes) -> None:
    """Torch's legacy format: what comes behind its magic number."""
    from support.pickled import MAGIC, number, stream

    pickles(stream(number(MAGIC)) + stream(number(1001)) + data)


def _weights(found: PickleFile) -> None:
    with contextlib.suppress(RecordError, FormatError):
        list(tensors(found.root))
        state_dict.state_dict(found.root)


def archives(data: bytes) -> None:
    """A zip: directory, local headers, members; the plan of the first read; the same read in parts."""
    _zip(data)
    zip_directory.has_end_record(data)
    assert 0 <= zip_directory.planned_head(data[-65536:], len(data)) <= len(data)
    with contextlib.suppress(TransportError):
        read_zip(Parts(data))


def members(data: bytes) -> None:
    """The members of a sound zip: the first bytes say how the rest is divided and named."""
    body, place = io.BytesIO(), 4
    ways = data[:4].ljust(4, b"\0")
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED if ways[0] & 1 else zipfile.ZIP_STORED) as archive:
        for number, size in enumerate(ways):
            name = ("data.pkl", "data/0", "a.npy", "x.zip", "version", "constants.pkl")[(ways[0] + number) % 6]
            archive.writestr(f"m/{name}", data[place : place + 8 * size] if number < 3 else data[place:])
            place += 8 * size
    _zip(body.getvalue())


def _zip(data: bytes) -> None:
    found: ZipFile = read_zip(BytesSource(data))
    if found.pickle is not None:
        _weights(found.pickle)


def arrays(data: bytes) -> None:
    """A NumPy header, version and length included."""
    for body in (data, npy.MAGIC + b"\x01\0" + min(len(data), 65535).to_bytes(2, "little") + data):
        try:
            header = npy.read_array_header(body)
        except npy.BrokenHeader:
            continue
        assert header.start <= len(body)
    _scanner("arrays", "a.npy", data)


def safetensors(data: bytes) -> None:
    """A header by itself and with its length in front."""
    for body in (data, len(data).to_bytes(8, "little") + data):
        for size in (len(body), len(body) + 4):
            try:
                head = body[: safetensors_header.header_stop(body[:8], size)]
                found = safetensors_header.parse_header(head, size)
            except (FormatError, BudgetError):
                continue
            assert all(row.start <= row.stop <= size for row in found.tensors)
    _scanner("safetensors-header", "model.safetensors", data)


def index(data: bytes) -> None:
    """An index of shards against headers that hold some of its tensors."""
    try:
        shards = safetensors_header.parse_index(data)
    except FormatError:
        return
    held = dict.fromkeys(list(shards.values())[:3], list(shards)[:2])
    safetensors_header.index_problems(shards, held, set(list(shards.values())[1:]))


def configs(data: bytes) -> None:
    """JSON as a config, an index of components and a tokenizer's, with templates inside."""
    with contextlib.suppress(strict_json.JsonProblem):
        strict_json.read_json(data)
    for path in ("config.json", "model_index.json", "modules.json"):
        _scanner("config-code", path, data)
    _scanner("chat-templates", "tokenizer_config.json", data)


def yamls(data: bytes) -> None:
    """Events of YAML, and what its tags and targets ask for."""
    _scanner("yaml-files", "c.yaml", data)


def templates(data: bytes) -> None:
    """A template file."""
    _scanner("chat-templates", "chat_template.jinja", data)


def python(data: bytes) -> None:
    """A Python file, by its syntax tree."""
    _scanner("python-files", "modeling.py", data)


def sniffing(data: bytes) -> None:
    """What a file is, by its first bytes and by its name."""
    head = data[: names.HEAD]
    assert content.sniff(head, len(data)) == content.sniff(head, len(data))
    pickle_sniff.is_pickle(head, len(data), named=True)
    text = data.decode("utf-8", "replace")
    names.suffix(text)
    assert "\x1b" not in printable(text)


def graphs(data: bytes) -> None:
    """Models of other runtimes: ONNX, GGUF, TFLite, Core ML, OpenVINO, each read whole and in parts."""
    for read in (read_onnx, read_gguf, read_tflite, read_coreml):
        with contextlib.suppress(FormatError, BudgetError):
            read(BytesSource(data))
        with contextlib.suppress(FormatError, BudgetError, TransportError):
            read(Parts(data))
    root_of(data)
    with contextlib.suppress(FormatError, BudgetError):
        read_ir(data)
    for name, path in (
        ("onnx", "m.onnx"),
        ("coreml", "m.mlmodel"),
        ("gguf", "m"),
        ("tflite", "m"),
        ("openvino", "m.xml"),
    ):
        _scanner(name, path, data)


def hdf5(data: bytes) -> None:
    """An HDF5 file, whole and in parts, and what its attributes have a loader run."""
    judge_hdf5(BytesSource(data), "model.h5")
    with contextlib.suppress(TransportError):
        judge_hdf5(Parts(b"\x89HDF\r\n\x1a\n" + data), "model.h5")
    _scanner("hdf5", "model.h5", data)


def tensorflow(data: bytes) -> None:
    """Graphs by every name, the index of a checkpoint, records, protobuf text, TensorFlow.js, Keras's configs."""
    source = BytesSource(data)
    for path in ("saved_model.pb", "keras_metadata.pb", "fingerprint.pb", "frozen.pb", "a.meta"):
        saved_graphs.read_graph(source, path)
    bundle.read_bundle(source)
    tfrecord.read_records(source)
    text_graphs.read_text_graph(data.decode("utf-8", "replace"))
    keras_config.keras_problems(data, None, "config")
    for name, path in (("saved-models", "a.pb"), ("tfevents", "a.tfevents"), ("tfjs", "model.json")):
        _scanner(name, path, data)


def _scanner(name: str, path: str, data: bytes) -> None:
    repo = OneFile(path, data)
    for row in methods("scanners")[name]().scan(reader_of(repo, repo.files()), repo.files()):
        if isinstance(row, FileVerdict):
            assert not any(words in row.reason for words in _FAILED), row.reason


def msgpacks(data: bytes) -> None:
    """MessagePack, whole and in parts."""
    read_msgpack(BytesSource(data))
    with contextlib.suppress(TransportError):
        read_msgpack(Parts(data))
    _scanner("msgpack", "flax_model.msgpack", data)


def tokenizers(data: bytes) -> None:
    """A SentencePiece model, and JSON condensed."""
    with contextlib.suppress(sentencepiece.BrokenModel):
        sentencepiece.read_sentencepiece(data)
    with contextlib.suppress(vocabulary.BrokenText):
        vocabulary.condensed(data, 1 << 20)
    _scanner("tokenizers", "spiece.model", data)


def scripts(data: bytes) -> None:
    """The code and the bytecode of TorchScript."""
    list(torchscript.code_problems(data))
    list(torchscript.bytecode_problems(data))


def packed(data: bytes) -> None:
    """A tar, whole and in parts; streams of every kind, as they are and as the content of one."""
    tar.read_tar(BytesSource(data))
    with contextlib.suppress(TransportError):
        tar.read_tar(Parts(data))
    for body in (data, MAGIC + data):
        with contextlib.suppress(FormatError, BudgetError):
            assert all(0 < stop <= len(body) + 4 for _, stop in frame_blocks(body, 0))
    for path in ("a.tar", "a.gz", "m.pkl", "a.tgz"):
        _scanner("packed", path, data)
    _scanner("packed", "m.pkl", zlib.compress(data))


def requirements(data: bytes) -> None:
    """A list of requirements; what it shows is an address of one line."""
    assert all(row.shown and "\n" not in row.shown for row in foreign_sources(data))
    _scanner("requirements", "requirements.txt", data)


def tables(data: bytes) -> None:
    """Tables by both ends, skops archives by their schema."""
    _scanner("tables", "a.parquet", data)
    _scanner("tables", "a.arrow", b"ARROW1" + data + b"ARROW1")
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("schema.json", data)
    _scanner("skops", "m.skops", body.getvalue())


def whole_scan(data: bytes) -> None:
    """A folder with one file, whose name the first byte chooses: verdict, exit code and every output."""
    path = _FOLDER / NAMES[data[0] % len(NAMES) if data else 0]
    path.write_bytes(data[1:])
    try:
        report = scan(LocalRepo(_FOLDER))
        alone = scan(path)
    finally:
        path.unlink()
    for found in (report, alone):
        _consistent(found)


def _consistent(report: ScanReport) -> None:
    (file,) = report.files
    assert not any(words in file.reason for words in _FAILED), file.reason
    assert file.state != "unchecked" or report.exit_code != 0
    document = ScanDocument(report.gate, (), (), report.exit_code, (target_scan("fuzzed", report),))
    for log in (sarif(document), cyclonedx(document)):
        json.dumps(log, allow_nan=False).encode()
    assert "\x1b" not in render_scan(report)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "pickle": pickles,
    "legacy": legacy,
    "zip": archives,
    "members": members,
    "array": arrays,
    "safetensors": safetensors,
    "index": index,
    "config": configs,
    "yaml": yamls,
    "template": templates,
    "python": python,
    "graph": graphs,
    "hdf5": hdf5,
    "tensorflow": tensorflow,
    "sniff": sniffing,
    "msgpack": msgpacks,
    "tokenizer": tokenizers,
    "script": scripts,
    "packed": packed,
    "requirement": requirements,
    "table": tables,
    "scan": whole_scan,
}


def counted(name: str, data: bytes) -> int:
    """Run a target and count its operations.

    Raises:
        AssertionError: they are more than a file of so many bytes, with what was unpacked of it, may take.
    """
    with budget.counted() as meter:
        TARGETS[name](data)
    most = budget.allowed(len(data) + meter.size)
    assert meter.used <= most, f"{meter.used:,} operations for {len(data):,} bytes, where {most:,} are allowed"
    return meter.used
