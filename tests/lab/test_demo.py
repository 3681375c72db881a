"""The demo's chain with fewer steps: planted, examined, cleansed, published into a folder; nothing is fetched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hubclean.errors import OutputError
from hubclean.hub.audited_folder import check_folder
from hubclean.lab import demo
from hubclean.nets.training import Schedule
from hubclean.progress import Silent
from hubclean.records import Audit, from_json
from support.hub_server import HubServer


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("seeds=1", "steps=3", "batches=1", "batch_size=8", "order=nc-prune,ft-init", "fresh=0")
    monkeypatch.setattr(demo, "OPTIONS", options)
    monkeypatch.setattr(demo, "Schedule", lambda _, *rest, **more: Schedule(4, *rest, **more))


def test_the_demo_plants_measures_and_publishes(brief: Any, hub: HubServer, tmp_path: Path) -> None:
    report = demo.run_demo(tmp_path / "demo", 0, Silent())
    before = report.audit.cleansing.before[0]
    assert before.asr_of == "planted"
    assert before.asr is not None
    assert before.asr.value > 0.3, "four epochs are enough to plant something; chance is 0.1"
    published, cleansed = Path(report.published), Path(report.folder)
    audit, _, _ = check_folder(published)
    assert audit == report.audit == from_json(Audit, json.loads((cleansed / "hubclean/audit.json").read_text()))
    for row in audit.outputs:
        assert (published / row.path).read_bytes() == (cleansed / row.path).read_bytes()
    found = any(report.planted_target in one.targets for one in audit.detections)
    assert report.exit_code == (0 if found else 1)
    assert hub.log == [], "the demo asks no Hub for anything"
    with pytest.raises(OutputError, match="exists already"):
        demo.run_demo(tmp_path / "demo", 0, Silent())
