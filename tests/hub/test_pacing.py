"""What a Hub asks for by Retry-After and RateLimit: obeyed, once for all, and bounded. The clock is made of numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubclean.errors import TransportError
from hubclean.hub import pacing, transport
from hubclean.hub.hub_repo import HubRepo
from hubclean.hub.pacing import PACE, Pace, asked_wait
from hubclean.scanning.engine import scan
from support.hub_repo import FILES
from support.hub_server import HubServer


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now, self.slept = 1000.0, list[float]()

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 3))
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pacing, "time", clock)
    monkeypatch.setattr(transport.time, "sleep", clock.sleep)
    return clock


NOW = "Sun, 29 Nov 2026 20:00:00 GMT"


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (200, {}, None),
        (429, {"Retry-After": "137"}, 137),
        (503, {"Retry-After": " 2.5 "}, 2.5),
        (200, {"Retry-After": "137"}, None),
        (500, {"Retry-After": "137"}, None),
        (429, {"Retry-After": "Sun, 29 Nov 2026 20:02:17 GMT", "Date": NOW}, 137),
        (429, {"Retry-After": "Sun, 29 Nov 2026 19:02:17 GMT", "Date": NOW}, 0),
        (429, {"Retry-After": "tomorrow"}, None),
        (429, {"Retry-After": "-5"}, None),
        (429, {"Retry-After": "1e9"}, None),
        (429, {"Retry-After": "Fri, 99 Foo 2026 99:99:99 GMT"}, None),
        (200, {"RateLimit": '"resolvers";r=0;t=137'}, 137),
        (429, {"RateLimit": '"resolvers";r=0;t=137', "Retry-After": "5"}, 137),
        (429, {"RateLimit": '"resolvers";r=0;t=3', "Retry-After": "5"}, 5),
        (200, {"RateLimit": '"resolvers";r=12;t=137'}, None),
        (200, {"RateLimit": '"api" ; r = 0 ; t = 55'}, 55),
        (200, {"RateLimit": '"api";t=55;r=0'}, 55),
        (200, {"RateLimit": '"burst";r=3;t=1, "daily";r=0;t=200'}, 200),
        (200, {"RateLimit": '"burst";r=0;t=1, "daily";r=0;t=200'}, 200),
        (200, {"RateLimit": '"a,b;r=0";r=0;t=9;pk=:YWJj:'}, 9),
        (200, {"RateLimit": '"api";r=0', "RateLimit-Policy": '"fixed window";"api";q=500;w=300'}, 300),
        (200, {"RateLimit": '"api";r=0', "RateLimit-Policy": '"other";q=500;w=300'}, None),
        (200, {"RateLimit": "default;r=0;t=7"}, 7),
        (200, {"RateLimit": '"api";r=0;t=x'}, None),
        (200, {"RateLimit": '"api;r=0;t=5'}, 5),
        (200, {"RateLimit": ";;;,,,==="}, None),
    ],
)
def test_what_an_answer_asks_for(status: int, headers: dict[str, str], seconds: float | None) -> None:
    assert asked_wait(status, headers) == seconds


@given(st.text(alphabet='"\\;,=rtw019 api', max_size=80), st.text(max_size=40))
def test_any_header_is_read_without_an_error(limit: str, after: str) -> None:
    headers = {"RateLimit": limit, "RateLimit-Policy": limit[::-1], "Retry-After": after, "Date": after[::-1]}
    asked = asked_wait(429, headers)
    assert asked is None or asked >= 0


def test_the_rate_limit_is_waited_for_once_and_files_are_counted_apart(clock: Clock) -> None:
    pace, api, file = Pace(), "https://hub/api/models/a/b", "https://hub/a/b/resolve/main/x"
    pace.note(file, 200, {"RateLimit": '"resolvers";r=0;t=137'})
    pace.wait(api)
    pace.wait("https://cdn/x")
    assert clock.slept == []
    pace.wait(file)
    pace.wait("https://hub/api/resolve-cache/models/a/b/0/x")
    assert clock.slept == [137.0]


def test_a_hub_that_never_leaves_a_request_is_given_up(clock: Clock) -> None:
    pace, url = Pace(), "https://hub/api/models/a/b"

    def ask() -> None:
        pace.wait(url)
        pace.note(url, 200, {"RateLimit": '"api";r=0;t=100'})

    for _ in range(4):
        ask()
    with pytest.raises(TransportError, match=r"before .* UTC \(100 s from now\).*come back"):
        ask()
    assert sum(clock.slept) == pacing.PATIENCE


def test_answers_that_were_on_their_way_cost_no_patience(clock: Clock) -> None:
    pace, url = Pace(), "https://hub/api/models/a/b"
    for _ in range(8):  # as many threads are told the same
        pace.note(url, 429, {"Retry-After": "200"})
        assert pace.agree(url) == pytest.approx(200, abs=1)
        clock.now += 0.05
    pace.wait(url)
    assert sum(clock.slept) <= 200
    pace.note(url, 429, {"Retry-After": "90"})
    pace.wait(url)


def test_patience_comes_back_with_answers(clock: Clock) -> None:
    pace, url = Pace(), "https://hub/api/models/a/b"
    for _ in range(5):
        pace.note(url, 429, {"Retry-After": "250"})
        pace.wait(url)
        for _ in range(100):
            pace.note(url, 200, {})
    assert clock.slept == [250.0] * 5


def test_a_scan_waits_as_the_hub_says_and_goes_on(hub: HubServer, clock: Clock) -> None:
    hub.create("org/model", FILES)
    hub.fault("status", status=429, times=1, path="/api/models/*", headers={"RateLimit": '"api";r=0;t=137'})
    hub.fault("headers", times=1, path="*/resolve/*", headers={"RateLimit": '"resolvers";r=0;t=60'})
    repo = HubRepo("org/model")
    repo.read("config.json", 100)
    repo.read_range("model.safetensors", 0, 8)
    assert clock.slept == [137.0, 60.0]


def test_one_target_too_many_stops_all_of_them(hub: HubServer, clock: Clock) -> None:
    for name in ("a", "b", "c"):
        hub.create(f"org/{name}", FILES)
    hub.fault("status", status=429, value=900, path="/api/models/*")
    for name in ("a", "b", "c"):
        with pytest.raises(TransportError, match="come back then"):
            scan(f"org/{name}")
    assert len(hub.asked(contains="/api/models/")) == 1
    assert clock.slept == []
    hub.faults.clear()
    clock.now += 901
    assert HubRepo("org/b").files()


def test_waits_of_one_request_are_bounded(hub: HubServer, clock: Clock) -> None:
    hub.create("org/model", FILES)
    repo = HubRepo("org/model")
    hub.fault("status", status=429, value=140, where="cdn")
    with pytest.raises(TransportError, match="come back then"):
        repo.read_range("model.safetensors", 0, 8)
    assert clock.slept == [140.0, 140.0]
    PACE.forget()
