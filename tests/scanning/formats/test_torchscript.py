"""TorchScript's code, word by word: operators that reach files, however they are spelled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubclean.scanning.formats.torchscript import bytecode_problems, code_problems
from support.pickled import stream, text


def rules(line: str) -> set[str]:
    return {row.rule for row in code_problems(f"def forward(self, x):\n  {line}\n".encode())}


@pytest.mark.parametrize(
    "line",
    [
        "torch.save(x, 'a')",
        "torch . save(x, 'a')",
        "torch.\\\n  save(x, 'a')",
        "(torch.  # no\n  from_file('a'))",
        "t = torch\n  t.add(x, x)",
        "o = ops\n  o.image.read_file('a')",
        "o = ops.image\n  o.decode_png(x)",
        "(x).save('a')",
        "ops.image.write_file('a', x)",
        "getattr(torch, 'save')(x, 'a')",
        'getattr(x, "\\x73ave")("a")',
        "getattr(x, 'save')('a')",
        "open('a')",
    ],
)
def test_calls_that_reach_files(line: str) -> None:
    assert "HC-TS-001" in rules(line)


@pytest.mark.parametrize("line", ["ops.my_lib.f(x)", "__torch__.torch.classes.tensorrt.Engine(x)", "a = 'no end"])
def test_what_comes_from_outside(line: str) -> None:
    assert rules(line) == {"HC-TS-002"}


@pytest.mark.parametrize(
    "line",
    [
        "x0 = torch.add(torch.size(x)[0], 1)  # torch.save",
        "_0 = 'saves the file, or torch.save'",
        'a = getattr(self.layers, "0")',
        "b = ops.prim.NumToTensor(x); c = ops.torchvision.nms(x, x, 0.5)",
        "__torch__.torch.classes.quantized.LinearPackedParamsBase",
        "return (self.head).forward(x, )",
    ],
)
def test_what_plain_models_hold(line: str) -> None:
    assert rules(line) == set()


def test_bytecode_names_its_operators() -> None:
    assert {row.rule for row in bytecode_problems(stream(text("aten::save") + b"q\x01"))} == {"HC-TS-001"}
    assert {row.rule for row in bytecode_problems(stream(text("my_lib::f")))} == {"HC-TS-002"}
    assert not list(bytecode_problems(stream(text("aten::add") + text("prim::ListConstruct"))))


@given(st.binary(max_size=300))
def test_any_bytes_are_read(body: bytes) -> None:
    assert len(list(code_problems(body))) <= 41
