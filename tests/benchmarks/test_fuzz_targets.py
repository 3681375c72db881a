"""The fuzzer's targets on its own seeds and on bent ones: every parser of the scan, in the suite, without atheris."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.fuzz import targets
from benchmarks.fuzz.seeds import SEEDS, WORDS
from benchmarks.fuzz.targets import TARGETS
from hubclean.records import FileVerdict


@st.composite
def bent(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A seed with parts cut out, written over, doubled, or words put in."""
    body = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(body)))
        stop = min(len(body), start + draw(st.integers(0, 12)))
        other = draw(st.sampled_from(WORDS) | st.binary(max_size=8) | st.just(body[start : start + 64] * 2))
        body = body[:start] + other + body[stop:]
    return body


def test_every_target_has_seeds() -> None:
    assert SEEDS.keys() == TARGETS.keys()
    assert all(SEEDS.values())


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_what_is_bent_from_them_raise_nothing(name: str) -> None:
    for body in SEEDS[name]:
        targets.counted(name, body)

    @settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(bent(SEEDS[name]))
    def judged(body: bytes) -> None:
        targets.counted(name, body)

    judged()


def test_a_check_that_fails_counts_as_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def scan(self, repo: object, files: object) -> list[FileVerdict]:
            return [FileVerdict("a", 1, "unchecked", "the check failed on it: KeyError: 1")]

    monkeypatch.setattr(targets, "methods", lambda _: dict.fromkeys(("arrays", "python-files"), Broken))
    for name in ("array", "python"):
        with pytest.raises(AssertionError, match="the check failed"):
            TARGETS[name](b"x")


@pytest.mark.parametrize(
    ("name", "module", "attribute"),
    [
        ("pickle", "hubclean.scanning.pickles.streams", "Walker"),
        ("zip", "hubclean.scanning.formats.zip_members", "structure"),
        ("safetensors", "hubclean.scanning.formats.safetensors_header", "read_json"),
        ("index", "hubclean.scanning.formats.safetensors_header", "index_problems"),
        ("config", "hubclean.scanning.formats.strict_json", "read_json"),
        ("sniff", "hubclean.scanning.formats.content", "is_pickle"),
        ("scan", "hubclean.scanning.engine", "Reader"),
    ],
)
def test_an_error_nobody_declared_is_not_swallowed(
    name: str, module: str, attribute: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> Callable[[], None]:
        raise KeyError("undeclared")

    monkeypatch.setattr(f"{module}.{attribute}", broken)
    raised = 0
    for body in SEEDS[name]:
        try:
            targets.counted(name, body)
        except KeyError:
            raised += 1
    assert raised
