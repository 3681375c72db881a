"""Trouble of this machine on the way to a Hub: a proxy, certificates, the disk. One sentence, with the name of it."""

from __future__ import annotations

import errno
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from huggingface_hub import close_session, constants, get_session

from hubclean.cli.main import main
from hubclean.errors import HubcleanError, OutputError
from hubclean.hub import hub_repo, transport
from hubclean.hub.client_errors import hub_error
from hubclean.hub.client_watch import watched
from hubclean.hub.hub_repo import HubRepo
from support.hub_repo import CONFIG, FILES, WEIGHTS
from support.hub_server import HubServer


@pytest.fixture
def new_session() -> Iterator[None]:
    """A client that reads the environment as the test has set it."""
    close_session()
    yield
    close_session()


def scanned(hub: HubServer) -> str:
    """What a scan says that cannot reach the Hub."""
    hub.create("org/model", FILES)
    done = CliRunner().invoke(main, ["scan", "org/model"])
    assert (done.exit_code, done.output.count("\n")) == (2, 1), done.output
    return done.output


@pytest.mark.usefixtures("new_session")
@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:9", "ALL_PROXY names a SOCKS proxy, for which a package is missing: pip"),
        ("https_proxy", "socks5h://127.0.0.1:9", "https_proxy names a SOCKS proxy"),
        ("ALL_PROXY", "gopher://127.0.0.1:9", "failed: "),
        ("SSL_CERT_FILE", "/none/ca.pem", "SSL_CERT_FILE names '/none/ca.pem', from which no certificate can be"),
        ("SSL_CERT_FILE", "/", "SSL_CERT_FILE names '/'"),
        ("SSL_CERT_FILE", __file__, "SSL_CERT_FILE names "),
    ],
)
def test_settings_that_lead_nowhere(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    if value.startswith("socks"):
        try:
            import socksio  # noqa: F401
        except ImportError:
            pass
        else:
            pytest.skip("the package is there")
    slept: list[float] = []
    monkeypatch.setattr(transport.time, "sleep", slept.append)
    monkeypatch.setenv(name, value)
    assert says in scanned(hub)
    if "names" in says:
        assert slept == []  # no second attempt mends it
        with pytest.raises(HubcleanError, match="names"), watched(hub.url):
            get_session()


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (PermissionError(13, "Permission denied", "/data/x"), "'/data/x' cannot be read or written: Permission denied"),
        (FileNotFoundError(2, "No such file", "/a\x1b[31m"), r"'/a\\x1b[31m' cannot be read"),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "a file in 'CACHE' cannot be read or written: No space left",
        ),
        (OSError(errno.EROFS, "Read-only file system", "CACHE/models--a--b"), "HF_HUB_CACHE names another"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "HF_HUB_CACHE names another"),
    ],
)
def test_the_disk(error: OSError, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", "CACHE")
    known = hub_error(error, "org/model")
    assert isinstance(known, OutputError)
    assert says in str(known)


def test_a_full_disk_while_fetching(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.create("org/model", FILES)

    def full(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(hub_repo, "hf_hub_download", full)
    with pytest.raises(OutputError, match=r"a file in .*hub-cache.*No space left"):
        HubRepo("org/model").fetch(["config.json"])


def test_an_unknown_authority_is_one_sentence() -> None:
    error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
    assert "CERTIFICATE_VERIFY_FAILED" in str(hub_error(error, "org/model"))


def test_a_mirror_below_a_path(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.prefix = "/hf/mirror"
    monkeypatch.setattr(constants, "ENDPOINT", hub.url + hub.prefix)
    form = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(hub.url, hub.url + hub.prefix)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", form)  # what HF_ENDPOINT does when it is imported
    monkeypatch.setenv("HF_ENDPOINT", f"{hub.url}/hf/mirror/")
    sha = hub.create("org/model", FILES)
    repo = HubRepo("org/model")
    assert repo.read("config.json", 100) == CONFIG
    assert repo.read_range("model.safetensors", 0, 8) == WEIGHTS[:8]
    assert (repo.fetch(["config.json"]) / "config.json").read_bytes() == CONFIG
    for path in ("org/model", "org/model/tree/main", f"org/model/commit/{sha}"):
        done = CliRunner().invoke(main, ["scan", f"{hub.url}/hf/mirror/{path}"])
        assert f"org/model@{sha}" in done.output
    for path in ("org/model", "hf/org/model", "hf/mirrored/org/model"):
        done = CliRunner().invoke(main, ["scan", f"{hub.url}/{path}"])
        assert "is not an address of the Hub at" in done.output
    assert not any(row.path.startswith("/outside") for row in hub.log)


def test_a_push_to_a_mirror_below_a_path(hub: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hubclean.hub.publish import push

    hub.prefix = "/mirror"
    monkeypatch.setattr(constants, "ENDPOINT", hub.url + hub.prefix)
    hub.create("org/model", {"config.json": b"1"})
    assert push(folder, "org/model", token=hub.write_token).commit == hub.repo("org/model").refs["main"]
