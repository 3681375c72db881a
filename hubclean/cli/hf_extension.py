"""``hubclean hf-register``: makes ``hf hubclean ...`` mean ``hubclean ...``, for the ``hf`` command of huggingface_hub.

``hf`` looks for its extensions in folders ``hf-NAME`` under ``~/.local/share/hf/extensions`` (``cli/extensions.py`` of
huggingface_hub): 1.5 and 1.6 run the file ``hf-NAME`` in it, later ones what ``manifest.json`` names, whose fields
differ from release to release. Both are written, the fields as the installed release declares them.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from hubclean.errors import HubcleanError, OutputError
from hubclean.escaping import printable

SCRIPT = "hf-hubclean"
#: Shown as the extension's origin. ``hf extensions update`` asks GitHub for it: with a dot it is no account there, now
#: or ever, so that nobody can have an update installed in hubclean's place.
OWNER = "hubclean.local"
_FILES = ("manifest.json", ".latest_commit", SCRIPT, f"{SCRIPT}.exe")


@dataclasses.dataclass(frozen=True, slots=True)
class Registration:
    """Where the extension is (or was), what it runs, and whether the ``hf`` of this path can be started."""

    folder: str
    runs: str | None
    registered: bool
    hf_found: bool


def register(script: Path | None = None) -> Registration:
    """Let ``hf hubclean`` run this installation; done again, it follows an installation that moved.

    Args:
        script: the console script ``hf-hubclean``; ``None`` for the one of this installation.

    Raises:
        HubcleanError: the installed huggingface_hub has no extensions, or hubclean is not installed, only run.
        OutputError: another extension has the name, or the folder cannot be written.
    """
    script = script or console_script()
    client = _client()
    folder = _folder(client)
    if folder.exists() and not _ours(folder):
        raise OutputError(f"{printable(str(folder))} is another extension: `hf extensions remove hubclean` removes it")
    runs = folder / (f"{SCRIPT}.exe" if os.name == "nt" else SCRIPT)
    manifest = _manifest(client, runs)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        runs.unlink(missing_ok=True)
        if os.name == "nt":
            shutil.copyfile(script, runs)
        else:
            runs.symlink_to(script)
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{printable(str(folder))} cannot be written: {error.strerror}") from error
    return Registration(str(folder), str(script), True, shutil.which("hf") is not None)


def unregister() -> Registration:
    """Take back what ``register`` did; nothing happens where it never was.

    Raises:
        HubcleanError: the installed huggingface_hub has no extensions.
        OutputError: another extension has the name, or the folder cannot be written.
    """
    folder = _folder(_client())
    if folder.exists():
        if not _ours(folder):
            raise OutputError(f"{printable(str(folder))} was not made by hubclean hf-register, so it stays")
        try:
            for name in _FILES:
                (folder / name).unlink(missing_ok=True)
            folder.rmdir()
        except OSError as error:
            raise OutputError(f"{printable(str(folder))} cannot be removed: {error.strerror}") from error
    return Registration(str(folder), None, False, shutil.which("hf") is not None)


def _client() -> ModuleType:
    """The module of ``hf`` that finds extensions."""
    version = importlib.metadata.version("huggingface-hub")
    try:
        from huggingface_hub.cli import extensions
    except ImportError as error:
        raise HubcleanError(
            f"the `hf` of huggingface_hub {version} has no extensions, which came with 1.5:"
            " pip install -U huggingface-hub, or go on with `hubclean` itself"
        ) from error
    if not hasattr(extensions, "EXTENSIONS_ROOT") or not dataclasses.is_dataclass(
        getattr(extensions, "ExtensionManifest", None)
    ):
        raise HubcleanError(
            f"the `hf` of huggingface_hub {version} keeps its extensions in a way hubclean does not know"
        )
    return extensions


def _folder(client: ModuleType) -> Path:
    return Path(client.EXTENSIONS_ROOT).expanduser() / SCRIPT


def _ours(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / "manifest.json").read_text(encoding="utf-8")).get("owner") == OWNER)
    except (OSError, ValueError, AttributeError):
        return False


def console_script() -> Path:
    """The console script, as the record of this installation names it."""
    try:
        files = importlib.metadata.distribution("hubclean").files or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name in (SCRIPT, f"{SCRIPT}.exe") and (place := Path(os.path.abspath(str(file.locate())))).is_file():
            return place
    raise HubcleanError(
        f"this hubclean is run from its sources and not installed for {printable(sys.executable)}, so there is no"
        f" {SCRIPT} to register: pip install it first"
    )


def _manifest(client: ModuleType, runs: Path) -> dict[str, Any]:
    """The fields that the installed release declares, filled."""
    known = {
        "owner": OWNER,
        "repo": SCRIPT,
        "repo_id": f"{OWNER}/{SCRIPT}",
        "short_name": "hubclean",
        "executable_name": runs.name,
        "executable_path": str(runs),
        "type": "binary",
        "installed_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "source": "hubclean hf-register",
        "description": "Scan models of the Hub before you load them, find backdoors, cleanse them.",
    }
    fields = dataclasses.fields(client.ExtensionManifest)
    needed = [field.name for field in fields if field.default is field.default_factory is dataclasses.MISSING]
    if missing := sorted(set(needed) - known.keys()):
        version = importlib.metadata.version("huggingface-hub")
        raise HubcleanError(f"the `hf` of huggingface_hub {version} wants a {missing[0]!r} that hubclean does not know")
    return {field.name: known[field.name] for field in fields if field.name in known}
