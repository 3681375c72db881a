"""Guards inside guards and in several threads, and everything as before once they end."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import file_download, hf_hub_download, snapshot_download

import hubclean
from hubclean.errors import (
    UnsafeRepoError,
)
from support.guarded_repos import SAFE, UNCHECKED, UNSAFE
from support.hub_server import HubServer


def bodies() -> list[Any]:
    functions: tuple[Any, ...] = (file_download.hf_hub_download, huggingface_hub.snapshot_download)
    functions = (*functions, file_download.try_to_load_from_cache)
    return [cell.cell_contents for function in functions for cell in function.__closure__]


def test_everything_is_as_before_afterwards(hub: HubServer) -> None:
    hub.create("org/model", UNSAFE)
    before = bodies()
    begun: list[Any] = []

    def use() -> None:
        with hubclean.guard():
            begun.extend(bodies())
            raise KeyError("of the user")

    with pytest.raises(KeyError):
        use()
    assert begun != before
    assert bodies() == before
    with hubclean.guard(), pytest.raises(UnsafeRepoError):
        snapshot_download("org/model")
    assert bodies() == before
    assert hf_hub_download("org/model", "pytorch_model.bin")


def test_nested_guards_must_all_agree_and_the_outer_one_goes_on(hub: HubServer) -> None:
    hub.create("org/model", UNCHECKED)
    lenient, strict = hubclean.guard(allow_unchecked=("*",)), hubclean.guard()
    with lenient:
        assert hf_hub_download("org/model", "config.json")
        with strict, pytest.raises(UnsafeRepoError):
            hf_hub_download("org/model", "config.json")
        assert hf_hub_download("org/model", "config.json")
        hub.create("org/other", UNSAFE)
        with lenient:
            pass
        with pytest.raises(UnsafeRepoError):
            hf_hub_download("org/other", "config.json")
    assert hf_hub_download("org/other", "config.json")
    assert [len(lenient.reports), len(strict.reports)] == [2, 1]


def test_a_lenient_guard_inside_a_strict_one_lets_nothing_more_pass(hub: HubServer) -> None:
    hub.create("org/model", UNCHECKED)
    with hubclean.guard(), hubclean.guard(allow_unchecked=("*",)), pytest.raises(UnsafeRepoError):
        hf_hub_download("org/model", "config.json")


def test_all_guards_judge_the_commit_that_the_first_one_saw(hub: HubServer) -> None:
    sha = hub.create("org/model", SAFE)
    with hubclean.guard(), hubclean.guard() as inner:
        hf_hub_download("org/model", "config.json")
        hub.commit("org/model", UNSAFE)
        with hubclean.guard() as newest:
            assert Path(hf_hub_download("org/model", "model.safetensors")).parent.name == sha
    assert [row.origin.revision for row in (*inner.reports, *newest.reports)] == [sha, sha]


def test_guards_that_end_in_another_order_than_they_began(hub: HubServer) -> None:
    hub.create("org/model", UNSAFE)
    first, second = hubclean.guard(), hubclean.guard()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    with pytest.raises(UnsafeRepoError):
        hf_hub_download("org/model", "config.json")
    second.__exit__(None, None, None)
    assert hf_hub_download("org/model", "config.json")


def test_threads_wait_for_one_scan_of_a_repo(hub: HubServer) -> None:
    hub.create("org/model", SAFE)
    hub.create("org/bad", UNSAFE)
    start = threading.Barrier(8)

    def ask(index: int) -> str:
        start.wait()
        try:
            return hf_hub_download("org/bad" if index % 2 else "org/model", "model.safetensors")
        except UnsafeRepoError:
            return ""

    with hubclean.guard() as guard, ThreadPoolExecutor(8) as pool:
        places = list(pool.map(ask, range(8)))
    assert [bool(place) for place in places] == [True, False] * 4
    assert len(guard.reports) == 2


def test_each_of_two_threads_has_a_guard_of_its_own(hub: HubServer) -> None:
    hub.create("org/model", SAFE)
    hub.create("org/bad", UNSAFE)
    inside, leave = threading.Barrier(2), threading.Event()

    def first() -> None:
        with hubclean.guard():
            inside.wait()
            hf_hub_download("org/model", "config.json")
        leave.set()

    def second() -> None:
        with hubclean.guard():
            inside.wait()
            assert leave.wait(30)
            with pytest.raises(UnsafeRepoError):  # the other thread's leaving does not switch this one off
                hf_hub_download("org/bad", "config.json")

    with ThreadPoolExecutor(2) as pool:
        for job in [pool.submit(first), pool.submit(second)]:
            job.result()
    assert hf_hub_download("org/bad", "config.json")
