"""Zips of torch beyond state dicts: TorchScript, exports, packages."""

from __future__ import annotations

from benchmarks.scan.hostile.cases import bad, twin
from benchmarks.scan.hostile.file_bytes import zipped
from benchmarks.scan.hostile.ordinary import vit, vit_bin
from benchmarks.scan.hostile.pickle_bytes import EMPTY_TUPLE, SYSTEM, WEIGHTS, name, table, torch_zip, whole

ELF = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00\x3e\x00\x01\x00\x00\x00" + bytes(64)
SCRIPT = """class Net(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  def forward(self: __torch__.Net,
    x: Tensor) -> Tensor:
    y = torch.from_file("/var/tmp/hubclean-case", True, 8, dtype=6, layout=None, device=torch.device("cpu"))
    return torch.add(x, y)
"""


def script(source: str) -> bytes:
    """A TorchScript archive of one module."""
    held = name("__torch__", "Net") + EMPTY_TUPLE + b"\x81" + table(training=b"\x88") + b"b"
    return zipped({"net/data.pkl": whole(held), "net/code/__torch__.py": source, "net/constants.pkl": whole(b")"),
                   "net/version": "3\n"}, 0)  # fmt: skip


CASES = [
    bad(
        "script-maps-a-file",
        "torch.jit.load: from_file, shared, makes a file and writes to it when the model runs",
        lambda: vit({"traced.pt": script(SCRIPT)}),
    ),
    bad(
        "inputs-of-an-export",
        "torch 2.1 to 2.5: torch.export.load gives the example inputs to torch.load, unguarded",
        lambda: vit(
            {
                "model.pt2": zipped(
                    {
                        "version": "5",
                        "serialized_exported_program.json": "{}",
                        "serialized_state_dict.pt": torch_zip(WEIGHTS),
                        "serialized_example_inputs.pt": torch_zip(SYSTEM),
                    },
                    0,
                )
            }
        ),
    ),
    bad(
        "library-of-an-export",
        "torch.export's AOTInductor: aoti_load_package loads the library in the archive",
        lambda: vit(
            {
                "model.pt2": zipped(
                    {
                        "model/archive_format": "pt2",
                        "model/version": "7",
                        "model/data/aotinductor/model/c1.wrapper.so": ELF,
                    },
                    0,
                )
            }
        ),
    ),
    bad(
        "package",
        "torch.package's PackageImporter runs the Python in the archive to unpickle the model",
        lambda: vit(
            {
                "model.pt": zipped(
                    {
                        "net/.data/python_version": "3.11",
                        "net/.data/extern_modules": "torch\n",
                        "net/own.py": "import os\n\nos.system('true')\n",
                        "net/model/model.pkl": whole(name("own", "Net") + b")\x81"),
                        "net/version": "6\n",
                    },
                    0,
                )
            }
        ),
    ),
    twin(
        "records-of-new-torch",
        "torch 2.7: what torch.save writes since then",
        lambda: vit_bin(
            torch_zip(
                WEIGHTS,
                {
                    ".format_version": b"1",
                    ".storage_alignment": b"64",
                    ".data/serialization_id": b"0636067" + b"1" * 33,
                },
            )
        ),
    ),
]
