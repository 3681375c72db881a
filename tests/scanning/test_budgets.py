"""What one file may cost: work is counted over all its parts, whatever they are nested in, and never done twice.

Nothing here looks at a clock: the tests count opcodes, bytes, values and calls.
"""

from __future__ import annotations

import ast
import io
import json
import struct
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hubclean.errors import BudgetError
from hubclean.scanning.configs import asking
from hubclean.scanning.engine import scan
from hubclean.scanning.formats import names, npy, safetensors_header, strict_json, zip_directory, zip_members
from hubclean.scanning.formats.templates import template_faults
from hubclean.scanning.formats.templating import expressions
from hubclean.scanning.formats.zip_members import read_zip
from hubclean.scanning.pickles import walk
from hubclean.scanning.pickles.streams import read_pickles
from hubclean.scanning.scanners import config_code
from hubclean.scanning.sources import BytesSource
from support.pickled import PLAIN, stream, torch_zip
from support.scanned_files import judge, safetensors, written

LONG = stream(b"](" + b"N" * 400 + b"e")


def zipped(members: dict[str, bytes]) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return body.getvalue()


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Where every opcode lay that was read."""
    read: list[int] = []
    plain = walk.read_ops

    def counting(data: bytes, start: int, size: int) -> Any:
        for op in plain(data, start, size):
            read.append(op[0])
            yield op

    monkeypatch.setattr(walk, "read_ops", counting)
    return read


def test_opcodes_are_counted_over_all_streams(monkeypatch: pytest.MonkeyPatch, counted: list[int]) -> None:
    monkeypatch.setattr(walk, "MOST_OPCODES", 1000)
    found = read_pickles(BytesSource(LONG * 5))
    assert "HC-PKL-007" in {row.rule for row in found.problems}
    assert (len(found.walks), found.opcodes, len(counted)) == (3, 1000, 1001)
    assert not any(row.rule == "HC-PKL-007" for row in read_pickles(BytesSource(LONG * 2)).problems)


def test_a_stream_that_is_read_in_parts_is_walked_once(counted: list[int]) -> None:
    body = stream(b"(" + (b"X" + struct.pack("<I", 50_000) + bytes(50_000)) * 40 + b"t")
    found = read_pickles(BytesSource(body))
    assert found.walks[0].complete
    assert found.opcodes == len(counted) == len(set(counted)) == 44
    assert found.problems == []


def test_what_lies_on_the_border_of_two_parts_is_read_whole() -> None:
    for shift in range(12):
        start = b"\x80\x02(" + b"X" + struct.pack("<I", (256 << 10) - 40 + shift) + bytes((256 << 10) - 40 + shift)
        found = read_pickles(BytesSource(start + b"cos\nsystem\n" + b"X\x01\x00\x00\x00a\x85R" + b"t."))
        assert {row.rule for row in found.problems} == {"HC-PKL-001"}, shift
        assert found.walks[0].complete


def test_opcodes_are_counted_over_all_members_and_nested_zips(
    monkeypatch: pytest.MonkeyPatch, counted: list[int]
) -> None:
    monkeypatch.setattr(walk, "MOST_OPCODES", 2000)
    flat = read_zip(BytesSource(zipped({f"{at}.pkl": LONG for at in range(20)})))
    assert "HC-PKL-007" in {row.rule for row in flat.problems}
    assert len([at for at in counted if at > 1]) < 2100 + 20 * 20
    counted.clear()
    inner = zipped({f"{at}.pkl": LONG for at in range(4)})
    nested = read_zip(BytesSource(zipped({f"{at}.zip": inner for at in range(4)})))
    assert "HC-PKL-007" in {row.rule for row in nested.problems}
    few = read_zip(BytesSource(zipped({f"{at}.pkl": LONG for at in range(4)})))
    assert "HC-PKL-007" not in {row.rule for row in few.problems}


def test_unpacked_bytes_are_counted_over_all_members(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(zip_members, "MOST_UNPACKED", 10 * len(LONG))
    read: list[int] = []
    plain = zip_members.member_content

    def counting(*given: Any) -> bytes:
        read.append(len(plain(*given)))
        return plain(*given)

    monkeypatch.setattr(zip_members, "member_content", counting)
    body = zipped({f"{at}.zip": zipped({f"{at}.pkl": LONG for at in range(5)}) for at in range(6)})
    report = scan(written(tmp_path / "repo", {"a.bin": body}))
    assert report.files[0].state == "unchecked"
    assert "beyond the" in report.files[0].reason
    assert sum(size for size in read if size != names.HEAD) < 30 * len(LONG)


def test_members_are_counted_over_nested_zips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_members, "MOST_READ", 12)
    inner = zipped({f"{at}.txt": b"plain text" for at in range(5)})
    found = read_zip(BytesSource(zipped({f"{at}.zip": inner for at in range(5)})))
    assert any("more than 12 members" in reason for reason in found.unchecked)
    assert found.plain <= 12
    monkeypatch.setattr(zip_members, "MOST_READ", 400)
    monkeypatch.setattr(zip_members, "MOST_MEMBERS", 20)
    found = read_zip(BytesSource(zipped({f"{at}.zip": inner for at in range(5)})))
    assert any("not opened" in reason for reason in found.unchecked)


def test_array_headers_are_counted_over_all_members(monkeypatch: pytest.MonkeyPatch) -> None:
    text = repr({"descr": "<f4", "fortran_order": False, "shape": (1,)}).encode().ljust(246)
    array = b"\x93NUMPY\x01\x00" + struct.pack("<H", 246) + text + bytes(4)
    monkeypatch.setattr(zip_members, "MOST_DESCRIBED", 5 * 256)
    five = read_zip(BytesSource(zipped({f"{at}.npy": array for at in range(5)})))
    assert (five.unchecked, five.problems) == ([], [])
    six = read_zip(BytesSource(zipped({f"{at}.npy": array for at in range(6)})))
    assert ["array headers" in reason for reason in six.unchecked] == [True]


def test_a_type_longer_than_numpy_writes_one_is_not_matched() -> None:
    text = repr({"descr": "1" * 60_000, "fortran_order": False, "shape": (1,)}).encode()
    header = npy.read_array_header(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text)
    assert header.odd == "a type of 60000 letters"


def test_json_of_too_many_values_is_not_parsed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("hubclean.scanning.formats.strict_json.MOST_VALUES", 100)
    monkeypatch.setattr("hubclean.scanning.formats.strict_json.read_json.__defaults__", (100,))
    few = json.dumps({"a": [1] * 95}).encode()
    assert strict_json.values_in(few) <= 100
    assert scan(written(tmp_path / "few", {"config.json": few})).exit_code == 0
    monkeypatch.setattr(strict_json.json, "loads", lambda *_, **__: pytest.fail("it was parsed"))
    for body in (b"[" + b"{}," * 200 + b"1]", b'{"a":[' + b"1," * 200 + b"1]}", b"[" * 200 + b"]" * 200):
        report = scan(written(tmp_path / "many", {"config.json": body}))
        assert (report.files[0].state, report.exit_code) == ("unchecked", 2)
        assert "more than 100 values" in report.files[0].reason


def test_long_keys_are_not_carried_to_every_value(tmp_path: Path) -> None:
    body = json.dumps({"k" * 100_000: {"_attn_implementation": ["a/b"], "j" * 100_000: ["x/y"] * 50}}).encode()
    paths = [path for path, _ in config_code.walk_config(json.loads(body))]
    assert max(len(key) for path in paths for key in path) == 256
    findings, _ = judge("config-code", tmp_path, {"config.json": body})
    assert [row.rule for row in findings] == ["HC-CFG-002"]
    assert len(findings[0].what) < 400


def test_a_value_is_written_out_only_as_far_as_it_is_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(asking.json, "dumps", lambda *_, **__: pytest.fail("written out whole"))
    body = b'{"auto_map": {"a": [' + b"1," * 5000 + b"1]}}"
    findings, _ = judge("config-code", tmp_path, {"config.json": body})
    assert findings[0].what.startswith('auto_map is {"a": [1, 1, 1')


def many(tensors: int) -> bytes:
    rows = {str(at): {"dtype": "F32", "shape": [1], "data_offsets": [4 * at, 4 * at + 4]} for at in range(tensors)}
    return safetensors(rows, bytes(4 * tensors))


def test_tensors_are_counted_over_a_repo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(safetensors_header, "MOST_TENSORS", 10)
    assert scan(written(tmp_path / "ten", {"a.safetensors": many(10)})).exit_code == 0
    with pytest.raises(BudgetError, match="more values"):
        safetensors_header.parse_header(many(20)[: -4 * 20], len(many(20)))
    report = scan(written(tmp_path / "two", {"a.safetensors": many(6), "b.safetensors": many(6)}))
    assert [file.state for file in report.files] == ["ok", "unchecked"]
    assert report.exit_code == 2


def test_a_header_is_judged_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    judged: Counter[int] = Counter()
    plain = safetensors_header.parse_header

    def counting(head: bytes, size: int) -> Any:
        judged[size] += 1
        return plain(head, size)

    monkeypatch.setattr(safetensors_header, "parse_header", counting)
    files = {"model.safetensors": many(1), "other.safetensors": many(2), "pytorch_model.bin": torch_zip(PLAIN)}
    scan(written(tmp_path / "repo", files))
    assert set(judged.values()) == {1}
    assert len(judged) == 2


def test_an_index_is_gone_through_once() -> None:
    class Shards(dict[str, str]):
        times = 0

        def items(self) -> Any:
            self.times += 1
            return super().items()

    shards = Shards({f"t{at}": f"{at % 50}.safetensors" for at in range(200)})
    present = {f"{at}.safetensors" for at in range(50)}
    held = {f"{at}.safetensors": [f"t{row}" for row in range(200) if row % 50 == at] for at in range(50)}
    assert safetensors_header.index_problems(shards, held, present) == ()
    assert shards.times == 1
    held["7.safetensors"] = ["t7"]
    assert "lacks" in safetensors_header.index_problems(shards, held, present)[0]


def test_python_too_long_to_parse_is_named_all_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    parsed: list[int] = []
    plain = ast.parse

    def parse(source: bytes, *given: Any, **named: Any) -> Any:
        parsed.append(len(source))
        return plain(source, *given, **named)

    monkeypatch.setattr(ast, "parse", parse)
    findings, _ = judge("python-files", tmp_path, {"a.py": b"x = [" + b"1," * 200_000 + b"]"})
    assert [row.rule for row in findings] == ["HC-PY-001"]
    assert "too many to parse" in findings[0].what
    assert 400_006 not in parsed


def test_what_a_template_costs_is_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(expressions, "MOST_STEPS", 500)
    assert list(template_faults("{{ a.b }}" * 100)) == []
    assert "too long" in " ".join(template_faults("{{ a.b }}" * 600))
    for hidden in ("{{ a[b[c['_x']]] }}", "{{ a['_' ~ 'x'] }}", "{{ a[0]['__y'] }}"):
        findings, _ = judge("chat-templates", tmp_path, {"t.jinja": hidden.encode()})
        assert findings, hidden
    findings, _ = judge("chat-templates", tmp_path, {"t.jinja": b"{{ '_x' }}{{ a['x'] }}"})
    assert findings == []


def test_the_plan_of_the_first_read_lies_inside_the_file() -> None:
    body = bytearray(torch_zip(PLAIN))
    central = body.rindex(zip_directory.CENTRAL, 0, len(body))
    for offset in (0, 5, 1 << 20, 0xFFFFFFFF):
        for place in (body.index(zip_directory.CENTRAL), central):
            bent = bytearray(body)
            bent[place + 42 : place + 46] = struct.pack("<I", offset)
            end = bent.rindex(b"PK\x05\x06")
            for begin in (0, 10, len(body), 1 << 20, 0xFFFFFFF0):
                bent[end + 16 : end + 20] = struct.pack("<I", begin)
                assert 0 <= zip_directory.planned_head(bytes(bent), len(bent)) <= len(bent)
