"""What servers do wrong, case by case: exit code 2 in one sentence, never malice, never a traceback, nothing left."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubclean.errors import HubcleanError
from hubclean.hub import transport
from hubclean.hub.publish import push
from hubclean.scanning.downloading import download
from hubclean.scanning.engine import scan
from support.audited import write_folder
from support.fault_cases import CASES, Case, arrange
from support.hub_server import HubServer


def ended(case: Case, hub: HubServer, place: Path) -> tuple[int, str]:
    """Exit code of the command, and what it says."""
    try:
        if case.act == "push":
            return 0, str(push(write_folder(place / "sanitized"), "org/new", token=hub.write_token).commit)
        if case.act == "download":
            fetched = download("org/model", place / "out")
            return fetched.exit_code, fetched.refused.why if fetched.refused else ""
        report = scan("org/model")
        return report.exit_code, "; ".join(file.reason for file in report.files if file.state == "unchecked")
    except HubcleanError as error:
        return 2, str(error)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_faulty_hub(case: Case, hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "ATTEMPTS", 2)
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    arrange(case, hub)
    code, says = ended(case, hub, tmp_path)
    assert (code, says.count("\n")) == (case.code, 0), says
    assert case.says in says
    assert sum(slept) < 120
    assert not (tmp_path / "out").exists()
    assert [repo for _, repo in hub.storage.repos if repo == "org/new"] == []
    assert hub.write_token not in says
