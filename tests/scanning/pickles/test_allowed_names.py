"""The list of names: what torch of the pinned version allows and numpy's arrays need, and nothing that runs code."""

from __future__ import annotations

import json

import pytest

from hubclean.scanning.pickles.allowed_names import allowed_names, is_allowed, is_dangerous, source
from support import ROOT
from tools.allowed_names import document


def test_the_file_is_what_the_script_writes() -> None:
    import torch

    kept = json.loads((ROOT / "hubclean" / "scanning" / "pickles" / "allowed_names.json").read_text("utf-8"))
    written = document()
    assert {tuple(row) for row in kept["names"]} == allowed_names()
    if torch.__version__.startswith(kept["torch"]):
        assert kept["names"] == written["names"]
    assert source() == f"torch {kept['torch']}, numpy {kept['numpy']}"


def test_no_listed_name_is_dangerous_or_has_a_dot() -> None:
    for module, name in allowed_names():
        assert not is_dangerous(module, name)
        assert "." not in name
        assert module.split(".")[0] in ("torch", "numpy", "collections", "builtins", "_codecs")
    assert 120 < len(allowed_names()) < 250


DANGEROUS = """
os.system nt.system builtins.eval __builtin__.eval subprocess.Popen torch.utils.collect_env.run commands.getoutput
numpy.testing._private.utils.runstring torch.storage._load_from_bytes torch.load functools.partial _io.FileIO
urllib.urlopen asyncio.unix_events._UnixSubprocessTransport logging.FileHandler pkgutil.resolve_name
"""


@pytest.mark.parametrize("path", DANGEROUS.split())
def test_what_runs_code_is_dangerous(path: str) -> None:
    module, _, name = path.rpartition(".")
    assert is_dangerous(module, name)
    assert not is_allowed(module, name, 2)


@pytest.mark.parametrize(
    ("module", "name"),
    [("timm.models.resnet", "ResNet"), ("argparse", "Namespace"), ("pathlib", "PosixPath"), ("builtins", "list")],
)
def test_a_class_is_unknown_not_dangerous(module: str, name: str) -> None:
    assert not is_dangerous(module, name)
    assert not is_allowed(module, name, 2)


def test_names_of_python_2_count_only_where_readers_translate_them() -> None:
    assert is_allowed("__builtin__", "set", 2)
    assert not is_allowed("__builtin__", "set", 4)
    assert is_allowed("builtins", "set", 4)
