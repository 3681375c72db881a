"""The folder must be what its audit says, before anything is asked of the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hubclean.errors import PublishError
from hubclean.hub.publish import push
from support.audited import OUTPUTS, WEIGHTS, write_audit
from support.hub_server import HubServer


class TestFolder:
    """The folder must be what its audit says, before anything is asked of the Hub."""

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (lambda f: (f / "model.safetensors").write_bytes(WEIGHTS[:-1] + b"!"), "'model.safetensors' is not the"),
            (lambda f: (f / "config.json").write_bytes(b"{}"), "'config.json' is not the file"),
            (lambda f: (f / "config.json").unlink(), "'config.json' is in the audit but not"),
            (lambda f: (f / "extra.txt").write_bytes(b"x"), "'extra.txt' is not in the audit"),
            (lambda f: (f / "sub").mkdir() or (f / "sub" / ".env").write_bytes(b"x"), "'sub/.env' is not in"),
            (lambda f: (f / "README.md").unlink(), "README.md is missing"),
            (lambda f: (f / "hubclean/audit.json").unlink(), "hubclean/audit.json is missing"),
            (lambda f: (f / "hubclean/audit.json").write_bytes(b"{"), "cannot be read"),
            (lambda f: (f / "hubclean/audit.json").write_bytes(b"{}"), "cannot be read"),
            (lambda f: (f / "hubclean/audit.json").write_bytes(b"[" * 100_000), "cannot be read"),
            (lambda f: (f / "link").symlink_to("/etc/passwd"), "'link' is not in the audit"),
            (lambda f: (f / "gone").symlink_to("nowhere"), "'gone' is not in the audit"),
        ],
    )
    def test_changes(self, hub: HubServer, folder: Path, change: Any, says: str) -> None:
        change(folder)
        with pytest.raises(PublishError, match=says):
            push(folder, "org/new", token=hub.write_token)
        assert hub.log == []

    @pytest.mark.parametrize(
        ("path", "data"),
        [("pytorch_model.bin", b"x"), ("modeling.py", b"x"), ("weights", b"\x80\x04K\x01."), ("a.dat", b"PK\x03\x04")],
    )
    def test_pickles_and_code_even_if_listed(self, hub: HubServer, folder: Path, path: str, data: bytes) -> None:
        (folder / path).write_bytes(data)
        write_audit(folder, OUTPUTS | {path: data})
        with pytest.raises(PublishError, match="pickle or code"):
            push(folder, "org/new", token=hub.write_token)

    def test_links_even_if_listed(self, hub: HubServer, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "secret.json").write_bytes(b"{}")
        (folder / "link.json").symlink_to(tmp_path / "secret.json")
        write_audit(folder, OUTPUTS | {"link.json": b"{}"})
        with pytest.raises(PublishError, match="is a link"):
            push(folder, "org/new", token=hub.write_token)

    def test_a_card_that_is_a_link(self, hub: HubServer, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("secret")
        (folder / "README.md").unlink()
        (folder / "README.md").symlink_to(tmp_path / "secret")
        with pytest.raises(PublishError, match="is a link"):
            push(folder, "org/new", token=hub.write_token)

    def test_paths_outside_the_folder(self, hub: HubServer, folder: Path) -> None:
        (folder.parent / "outside.json").write_bytes(b"{}")
        write_audit(folder, OUTPUTS | {"../outside.json": b"{}"})
        with pytest.raises(PublishError, match="not in the folder"):
            push(folder, "org/new", token=hub.write_token)

    def test_no_weights(self, hub: HubServer, folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        write_audit(folder, {path: data for path, data in OUTPUTS.items() if path != "model.safetensors"})
        with pytest.raises(PublishError, match="no safetensors"):
            push(folder, "org/new", token=hub.write_token)

    @pytest.mark.parametrize("file", ["README.md", "hubclean/audit.json"])
    def test_a_card_of_another_audit(self, hub: HubServer, folder: Path, file: str) -> None:
        text = (folder / file).read_text()
        old, new = ("sha256 `", "sha256 `0") if file == "README.md" else ('"seconds": 1.0', '"seconds": 2.0')
        assert old in text
        (folder / file).write_text(text.replace(old, new))
        with pytest.raises(PublishError, match=r"README\.md states another sha256 of hubclean/audit\.json"):
            push(folder, "org/new", token=hub.write_token)
        assert hub.log == []

    def test_no_folder(self, hub: HubServer, tmp_path: Path) -> None:
        with pytest.raises(PublishError, match="not a folder"):
            push(tmp_path / "none", "org/new", token=hub.write_token)
