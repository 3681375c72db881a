"""A scan ends by its deadline, whatever a server does; what was not judged by then is not checked."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any

import pytest

import hubclean
from hubclean.errors import DeadlineError, HubcleanError, OptionError
from hubclean.hub import deadline, transport
from hubclean.hub.hub_repo import HubRepo
from hubclean.hub.repos import LocalRepo
from hubclean.scanning.engine import scan
from hubclean.scanning.scanners.yaml_files import YamlFiles
from support.hub_server import HubServer
from support.scanned_files import written


class Clock:
    """A clock that goes on when it is told to, in place of the machine's."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(deadline, "time", made)
    return made


def test_the_earlier_of_two_holds(clock: Clock) -> None:
    assert deadline.left() == math.inf
    with deadline.within(10):
        with deadline.within(20):
            assert deadline.left() == 10
        with deadline.within(3):
            clock.now += 4
            with pytest.raises(DeadlineError, match=r"the 3 s of the whole scan .* --deadline SECONDS"):
                deadline.check()
        assert deadline.left() == 6
        deadline.check()
    assert deadline.left() == math.inf


@pytest.mark.parametrize("seconds", [0, -1, math.nan, True, "9"])
def test_no_time_is_refused(tmp_path: Path, seconds: Any) -> None:
    with pytest.raises(OptionError, match="number of seconds above 0"):
        hubclean.scan(written(tmp_path, {"a.txt": b"a"}), deadline=seconds)


def test_who_never_answers_is_left_to_itself() -> None:
    over = threading.Event()
    try:
        with deadline.within(0.05), pytest.raises(DeadlineError):
            deadline.bounded(over.wait)
    finally:
        over.set()
    with deadline.within(60):
        assert deadline.bounded(lambda: deadline.left() <= 60)  # the thread knows it too
        with pytest.raises(KeyError):
            deadline.bounded(lambda: {}[1])


def test_files_not_judged_in_time_are_not_checked(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last scanner takes all the time: what was found before stands, all that it did not reach is not checked."""
    plain = YamlFiles.scan

    def slow(*given: Any) -> Any:
        clock.now += 1000
        return plain(*given)

    monkeypatch.setattr(YamlFiles, "scan", slow)
    folder = written(tmp_path, {"a.yaml": b"a: 1", "b.pkl": b"cos\nsystem\n(S'id'\ntR."})
    report = scan(LocalRepo(folder), deadline=900.0)
    assert {row.path: row.state for row in report.files} == {"a.yaml": "unchecked", "b.pkl": "finding"}
    assert "900 s of the whole scan" in report.files[0].reason
    assert report.exit_code == 1
    (folder / "b.pkl").unlink()
    assert scan(LocalRepo(folder), deadline=900.0).exit_code == 2


class TestOnAHub:
    def test_a_listing_in_time_and_files_too_late(self, hub: HubServer, clock: Clock) -> None:
        hub.create("org/model", {"config.json": b"{}", "a.txt": b"text"})
        repo = HubRepo("org/model")
        clock.now += 1

        class Late(HubRepo):
            def read(self, path: str, limit: int) -> bytes:
                clock.now += 100
                return repo.read(path, limit)

        report = scan(Late("org/model"), deadline=50.0)
        assert {row.state for row in report.files} == {"unchecked"}
        assert report.exit_code == 2

    def test_waits_that_would_pass_it_are_not_begun(
        self, hub: HubServer, monkeypatch: pytest.MonkeyPatch, clock: Clock
    ) -> None:
        hub.create("org/model", {"config.json": b"{}"})
        repo = HubRepo("org/model")
        slept: list[float] = []
        monkeypatch.setattr(transport.time, "sleep", slept.append)
        hub.fault("status", path="*/resolve/*", status=429, value=30)
        with deadline.within(20), pytest.raises(HubcleanError, match="no more requests before"):
            repo.read("config.json", 10)
        assert (slept, len(hub.asked(contains="/resolve/"))) == ([], 1)

    def test_a_redirect_is_not_followed_when_it_is_over(self, hub: HubServer, clock: Clock) -> None:
        hub.create("org/model", {"model.safetensors": bytes(100)})
        repo = HubRepo("org/model")
        hub.fault("call", path="*/resolve/*", where="hub", action=lambda: setattr(clock, "now", 5000.0))
        with deadline.within(60), pytest.raises(DeadlineError):
            repo.read_range("model.safetensors", 0, 8)
        assert hub.asked(where="cdn") == []
