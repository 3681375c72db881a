"""Shared by all tests: no socket but loopback, a fresh Hugging Face home, and a Hub on loopback.

The client reads its environment when it is first imported, so all of it is set while this file is: before a test
module, and before the conftest of a folder.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import ROOT
from support.hub_server import HubServer

try:
    from hypothesis import HealthCheck, settings
except ImportError:  # a venv without it runs the tests that need none
    pass
else:  # by default an example may take 200 ms on the clock, which it does not hold while other work runs
    settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("any machine")

LOOPBACK = "127.0.0.1,127.0.0.2,::1,localhost"
HOME = tempfile.mkdtemp(prefix="hubclean-tests-")
HUB = HubServer().start()
for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN_PATH"):
    os.environ.pop(name, None)
os.environ |= {
    "HF_ENDPOINT": HUB.url,
    "HF_HOME": HOME,
    "HUBCLEAN_CACHE": "",  # no verdict of one test for another
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_XET": "1",
    "NO_PROXY": LOOPBACK,
    "no_proxy": LOOPBACK,
}


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Close the outside: pytest-socket reads the option after this."""
    config.option.allow_hosts = LOOPBACK
    config.option.allow_unix_socket = True


def pytest_unconfigure(config: pytest.Config) -> None:
    HUB.stop()
    shutil.rmtree(HOME, ignore_errors=True)


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hub cache for this test alone."""
    from huggingface_hub import constants

    cache = tmp_path / "hub-cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    return cache


@pytest.fixture
def hub(fresh_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """An empty Hub, answered by the real client of this process (``HF_ENDPOINT``), with an empty cache.

    Retries of hubclean's own reader do not wait.
    """
    from hubclean.hub import transport
    from hubclean.hub.pacing import PACE

    monkeypatch.setattr(transport, "FIRST_WAIT", 0.001)
    PACE.forget()
    HUB.clear()
    yield HUB
    HUB.clear()


@pytest.fixture
def xet(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """The same Hub with Xet, and Xet switched on in the client: what most users run."""
    hf_xet = pytest.importorskip("hf_xet")
    if not hasattr(hf_xet, "XetSession"):
        pytest.skip("this hf_xet has no XetSession to fill the local store with")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    with hub.with_xet(tmp_path / "xet-store"):
        yield hub


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of shared models and images: ``$HUBCLEAN_SHARED``, else ``../shared/data`` beside the checkout."""
    place = Path(os.environ.get("HUBCLEAN_SHARED") or ROOT.parent / "shared" / "data")
    if not place.is_dir():
        pytest.skip(f"no shared data at {place}; set HUBCLEAN_SHARED to run this test")
    return place
