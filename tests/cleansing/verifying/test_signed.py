"""Signed with a key file, and checked with another: real keys, and what OpenSSF model-signing itself says."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import hubclean
from hubclean.cleansing.verifying.report import Check, VerifyReport
from hubclean.cli.main import main
from hubclean.errors import OptionError
from hubclean.hub.signing import sign_folder
from support.hub_server import HubServer
from support.stated import Cleansed

pytest.importorskip("model_signing", reason="the extra `sign` is not installed")
ec = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ec")
SIGNATURE, KIND = "model.sig", b"application/vnd.in-toto+json"


def key_pair(place: Path, made: Any = None) -> tuple[Path, Path]:
    """A private and a public key as PEM files."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    private = made or ec.generate_private_key(ec.SECP256R1())
    place.mkdir()
    (place / "key.pem").write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (place / "key.pub").write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return place / "key.pem", place / "key.pub"


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return key_pair(tmp_path / "keys")


def signature(report: VerifyReport) -> Check:
    return next(row for row in report.checks if row.name == "signature")


@pytest.mark.parametrize("curve", ["SECP256R1", "SECP384R1", "SECP521R1"])
def test_what_was_signed_holds_for_us_and_for_model_signing(cleansed: Cleansed, tmp_path: Path, curve: str) -> None:
    from model_signing import hashing, verifying

    private, public = key_pair(tmp_path / "keys", ec.generate_private_key(getattr(ec, curve)()))
    sign_folder(cleansed.out, private)
    report = hubclean.verify(cleansed.out, base=cleansed.base, key=public)
    assert (report.exit_code, signature(report).state) == (0, "as stated"), report.checks
    assert not any(text.startswith("who wrote it") for text in report.not_checked)
    ignored = hashing.Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=True)
    theirs = verifying.Config().use_elliptic_key_verifier(public_key=public).set_hashing_config(ignored)
    theirs.verify(cleansed.out, cleansed.out / SIGNATURE)
    assert [place.name for place in cleansed.out.glob(".*")] == []


def test_published_with_its_signature(cleansed: Cleansed, hub: HubServer, keys: tuple[Path, Path]) -> None:
    report = hubclean.push(cleansed.out, "alice/model", token=hub.write_token, sign=keys[0], force=True)
    assert SIGNATURE in [row.path for row in report.files]
    hub.log.clear()
    without = hubclean.verify("alice/model", base=cleansed.base)
    assert without.exit_code == 0
    assert without.not_checked[-1].startswith("who wrote it: model.sig was not checked")
    sent = sum(row.sent for row in hub.asked("GET", ".safetensors"))
    found = hubclean.verify("alice/model", base=cleansed.base, key=keys[1])
    assert (found.exit_code, signature(found).state) == (0, "as stated"), found.checks
    assert sum(row.sent for row in hub.asked("GET", ".safetensors")) == 2 * sent, "no weights for the signature"
    hub.commit("alice/model", {"README.md": b"# mine"})
    (place,) = signature(hubclean.verify("alice/model", base=cleansed.base, key=keys[1])).places
    assert (place.path, "signed is" in place.what) == ("README.md", True)


def flipped(made: Cleansed) -> str:
    body = bytearray((made.out / "model.safetensors").read_bytes())
    body[-1] ^= 1
    (made.out / "model.safetensors").write_bytes(body)
    return "model.safetensors"


def added(made: Cleansed) -> str:
    (made.out / "notes.md").write_text("x")
    return "notes.md"


def removed(made: Cleansed) -> str:
    (made.out / "LICENSE").unlink()
    return "LICENSE"


def unsigned(made: Cleansed) -> str:
    (made.out / SIGNATURE).unlink()
    return SIGNATURE


def rewritten(made: Cleansed) -> str:
    """The hash of a file exchanged in what was signed."""
    bundle = json.loads((made.out / SIGNATURE).read_text())
    payload = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    payload["predicate"]["resources"][0]["digest"] = "0" * 64
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()
    (made.out / SIGNATURE).write_text(json.dumps(bundle))
    return SIGNATURE


@pytest.mark.parametrize("change", [flipped, added, removed, unsigned, rewritten])
def test_changed_after_it_was_signed(
    cleansed: Cleansed, keys: tuple[Path, Path], change: Callable[[Cleansed], str]
) -> None:
    sign_folder(cleansed.out, keys[0])
    path = change(cleansed)
    report = hubclean.verify(cleansed.out, base=cleansed.base, key=keys[1])
    assert (report.exit_code, [row.path for row in signature(report).places]) == (1, [path])


def test_signed_by_somebody_else(cleansed: Cleansed, keys: tuple[Path, Path], tmp_path: Path) -> None:
    other, _ = key_pair(tmp_path / "other")
    sign_folder(cleansed.out, other)
    words = ["verify", str(cleansed.out), "--base", str(cleansed.base), "--key", str(keys[1])]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 1
    assert "\n  model.sig: was not made with this key, or was changed since" in done.output


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"[" * 100_000,
        b'{"dsseEnvelope": []}',
        b'{"dsseEnvelope": {"payloadType": "x", "signatures": []}}',
        b'{"dsseEnvelope": {"payload": "!", "payloadType": "%s", "signatures": [{"sig": 3}]}}' % KIND,
        b'{"dsseEnvelope": {"payload": "", "payloadType": "%s", "signatures": [{"sig": ""}]}}' % KIND,
    ],
)
def test_bundles_that_are_none(cleansed: Cleansed, keys: tuple[Path, Path], text: bytes) -> None:
    (cleansed.out / SIGNATURE).write_bytes(text)
    report = hubclean.verify(cleansed.out, base=cleansed.base, key=keys[1])
    assert (report.exit_code, [row.path for row in signature(report).places]) == (1, [SIGNATURE])


def test_keys_that_are_none(cleansed: Cleansed, keys: tuple[Path, Path], tmp_path: Path, hub: HubServer) -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa

    private, public = key_pair(tmp_path / "rsa", rsa.generate_private_key(65537, 2048))
    (tmp_path / "none.pem").write_bytes(b"no key")
    for key in (private, tmp_path / "none.pem", tmp_path / "missing.pem", keys[1]):
        with pytest.raises(OptionError, match=r"is no private key|cannot be read"):
            hubclean.push(cleansed.out, "alice/model", token=hub.write_token, sign=key, force=True)
    assert hub.log == []
    assert sorted(place.name for place in cleansed.out.iterdir()) == sorted(
        ["LICENSE", "README.md", "config.json", "hubclean", "model.safetensors"]
    )
    sign_folder(cleansed.out, keys[0])
    for key in (public, tmp_path / "none.pem"):
        report = hubclean.verify(cleansed.out, base=cleansed.base, key=key)
        assert (report.exit_code, signature(report).state) == (2, "undecided")
