"""What a killed run leaves behind is removed by the next one: its own alone, and only when nobody works on it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from hubclean.cli.main import main
from hubclean.errors import OutputError
from hubclean.whole_folder import remove_abandoned, whole_folder
from support import ROOT
from support.work import HANGS

FILLING = """
import sys
from pathlib import Path
from hubclean.whole_folder import whole_folder
with whole_folder(Path(sys.argv[1])) as place:
    (place / "model.safetensors").write_bytes(b"weights")
    print(place, flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def filling(out: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process in the midst of its work, and its hidden folder; it is killed at the end."""
    words = [sys.executable, "-c", FILLING, str(out)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, env=env, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


def test_the_folder_of_a_killed_process_is_removed_and_of_a_living_one_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with filling(tmp_path / "model") as (process, hidden):
        with whole_folder(tmp_path / "model"):
            assert (hidden / "model.safetensors").is_file()
        (tmp_path / "model").rmdir()
        assert "removed" not in caplog.text
    assert (hidden / "model.safetensors").is_file()
    with whole_folder(tmp_path / "model") as place:
        (place / "a").write_text("b")
    assert [row.name for row in tmp_path.iterdir()] == ["model"]
    assert f"removed {hidden}" in caplog.text
    assert f"process {process.pid}" in caplog.text


def test_a_terminated_command_cleans_up_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def terminated(*_: object) -> None:
        with whole_folder(tmp_path / "out"):
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Event().wait(HANGS)

    monkeypatch.setattr("hubclean.registry.describe_methods", terminated)
    done = CliRunner().invoke(main, ["methods"])
    assert (done.exit_code, done.output) == (2, "hubclean: interrupted; nothing was left half-written\n")
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_on_a_disk_without_locks_nothing_is_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(*_: object) -> None:
        raise OSError(37, "No locks available")

    with monkeypatch.context() as patch:
        patch.setattr("fcntl.flock", without)
        with whole_folder(tmp_path / "out") as place:
            assert remove_abandoned(tmp_path) == []
            patch.undo()
            assert remove_abandoned(tmp_path) == []
            assert place.is_dir()
    assert [row.name for row in tmp_path.iterdir()] == ["out"]


def locked(parent: Path, name: str = ".model.partial-abcd1234", text: str | None = None) -> Path:
    """A hidden folder as a killed process leaves it."""
    said = {"kind": "hubclean partial folder", "host": socket.gethostname(), "process": 1, "began": "2026"}
    (parent / name).mkdir()
    (parent / name / "weights").write_bytes(b"w")
    (parent / f"{name}.lock").write_text(json.dumps(said) if text is None else text)
    return parent / name


def test_the_form_of_a_folder_left_behind(tmp_path: Path) -> None:
    place = locked(tmp_path)
    assert remove_abandoned(tmp_path) == [place]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".model.partial-abcd1234", ""),
        (".model.partial-abcd1234", "{}"),
        (".model.partial-abcd1234", "[]"),
        (".model.partial-abcd1234", "[" * 999),
        (".model.partial-abcd1234", '{"kind": "hubclean partial folder", "host": "elsewhere", "process": 1}'),
        (".model.partial-abcd1234", '{"kind": "another program"}'),
        (".model.partial-abc", None),
        ("model.partial-abcd1234", None),
        (".model.partial-abcd1234.old", None),
    ],
)
def test_what_is_not_surely_ours_stays(tmp_path: Path, name: str, text: str | None) -> None:
    place = locked(tmp_path, name, text)
    assert remove_abandoned(tmp_path) == []
    assert (place / "weights").is_file()


def test_links_and_folders_without_a_lock_stay(tmp_path: Path) -> None:
    target = locked(tmp_path, "mine")
    (tmp_path / "mine.lock").rename(tmp_path / ".a.partial-abcd1234.lock")
    (tmp_path / ".a.partial-abcd1234").symlink_to(target)
    (tmp_path / ".b.partial-abcd1234").mkdir()
    (tmp_path / ".c.partial-abcd1234").mkdir()
    (tmp_path / ".c.partial-abcd1234.lock").symlink_to(tmp_path / ".b.partial-abcd1234")
    os.mkfifo(tmp_path / ".d.partial-abcd1234.lock")
    assert remove_abandoned(tmp_path) == []
    assert (target / "weights").is_file()
    assert (tmp_path / ".b.partial-abcd1234").is_dir()
    assert (tmp_path / ".c.partial-abcd1234").is_dir()


def test_after_success_and_after_an_error_nothing_is_left(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "a"):
        pass
    with pytest.raises(ZeroDivisionError), whole_folder(tmp_path / "b"):
        raise ZeroDivisionError
    with pytest.raises(OutputError), whole_folder(tmp_path / "c" / ("x" * 300)):
        pass
    assert sorted(row.name for row in tmp_path.rglob("*")) == ["a", "c"]
