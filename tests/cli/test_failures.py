"""Whatever goes wrong ends in one escaped sentence, exit code 2, and no half-written folder."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from hubclean.cli.main import main
from hubclean.cli.text import errors
from hubclean.errors import OutputError
from hubclean.whole_folder import check_free, whole_folder
from support import ROOT
from support.work import HANGS

HOSTILE = "\x1b]0;owned\x07\u202e\nline"


def run(shell: str, cwd: Path, stdout: int = subprocess.PIPE, **env: str) -> subprocess.CompletedProcess[str]:
    command = shell.replace("HUBCLEAN", f"{sys.executable} -m hubclean")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **env}
    words, out = ["bash", "-c", command], {"stdout": stdout, "stderr": subprocess.PIPE}
    return subprocess.run(words, cwd=cwd, env=environment, text=True, timeout=HANGS, **out)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "模型").mkdir()
    (tmp_path / "模型" / "config.json").write_text('{"architecture": "resnet18"}')
    return tmp_path


@pytest.fixture
def streams() -> Iterator[None]:
    factory, shown = logging.getLogRecordFactory(), warnings.formatwarning
    errors.harmless_streams()
    yield
    logging.setLogRecordFactory(factory)
    warnings.formatwarning = shown


def test_a_closed_stdout_changes_no_verdict(model: Path) -> None:
    done = run("HUBCLEAN scan 模型 >&-", model)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_undelivered_result_is_no_verdict(model: Path) -> None:
    done = run("HUBCLEAN scan 模型 > /dev/full", model)
    assert done.returncode == 2
    assert done.stderr == "hubclean: a file or stream cannot be read or written: No space left on device\n"
    reads, writes = os.pipe()
    os.close(reads)  # nobody reads, from the first byte on
    try:
        done = run("HUBCLEAN methods", model, stdout=writes)
    finally:
        os.close(writes)
    assert (done.returncode, done.stderr) == (2, "")


def test_a_narrow_encoding_breaks_nothing(model: Path) -> None:
    done = run("HUBCLEAN scan 模型", model, PYTHONIOENCODING="latin-1", PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr
    assert "origin: \\u6a21\\u578b" in done.stdout


@pytest.mark.usefixtures("streams")
def test_what_libraries_log_and_warn_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("some.library")
    handler = logging.StreamHandler(sys.stderr)
    logger.addHandler(handler)
    logger.warning("you passed %s", HOSTILE)
    logger.removeHandler(handler)
    assert capsys.readouterr().err == "you passed \\x1b]0;owned\\x07\\u202e\\nline\n"
    shown = warnings.formatwarning(UserWarning(HOSTILE), UserWarning, "file.py", 3)
    assert shown == "UserWarning: \\x1b]0;owned\\x07\\u202e\\nline\n"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MemoryError(), "not enough memory"),
        (PermissionError(13, "Permission denied", HOSTILE), "written: '\\x1b]0"),
        (KeyboardInterrupt(), "interrupted"),
        (ZeroDivisionError(HOSTILE), "broke off without a verdict: ZeroDivisionError: \\x1b]0;owned"),
    ],
)
def test_every_failure_is_told_and_is_2(error: BaseException, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object) -> None:
        raise error

    monkeypatch.setattr("hubclean.registry.describe_methods", breaks)
    result = CliRunner().invoke(main, ["methods"])
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stdout == ""
    assert "\x1b" not in result.stderr
    assert ("Traceback" in result.stderr) == isinstance(error, ZeroDivisionError)


def test_places_that_cannot_hold_the_folder_are_refused_first(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "to-nothing").symlink_to(tmp_path / "nothing")
    (tmp_path / "to-empty").symlink_to(tmp_path / "empty")
    for name in ("to-nothing", "to-empty"):
        with pytest.raises(OutputError, match="exists already"):
            check_free(tmp_path / name)
    with (
        pytest.raises(OutputError, match="cannot be written: File name too long"),
        whole_folder(tmp_path / ("x" * 300)),
    ):
        pass
    with whole_folder(tmp_path / ("x" * 250)) as place:
        (place / "a").write_text("b")
    assert (tmp_path / ("x" * 250) / "a").read_text() == "b"


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    def fill() -> None:
        with whole_folder(tmp_path / "out") as place:
            (place / "a").write_text("b")
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="out cannot be written: No space left"):
        fill()
    assert list(tmp_path.iterdir()) == []
