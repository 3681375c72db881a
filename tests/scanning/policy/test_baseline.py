"""Accepted findings: known again by rule, repo, path, content and gravity, and by nothing less."""

from __future__ import annotations

import datetime
import json
from dataclasses import replace
from pathlib import Path

import pytest

from hubclean.errors import OptionError
from hubclean.hub.hub_repo import HubRepo
from hubclean.hub.repos import LocalRepo
from hubclean.records import Finding, ScanReport, to_json
from hubclean.scanning.engine import scan
from hubclean.scanning.policy import baseline as baselines
from hubclean.scanning.policy.baseline import Baseline, accept, entries_of, merged, read_baseline, write_baseline
from hubclean.scanning.policy.contents import Contents
from support.hub_server import HubServer
from support.scanned_files import safetensors, written

BAD = {
    "config.json": b'{"architectures": ["X"], "model_type": "vit", "auto_map": {"AutoModel": "modeling.N"}}',
    "modeling.py": b"import torch\n",
    "model.safetensors": safetensors(),
    "pytorch_model.bin": b"\x80\x02ctimm.models.resnet\nResNet\n.",
}
CODE_CHANGED = "its file, or a Python file of the repo, changed"
DAY = datetime.date(2026, 6, 1)


def accepted(folder: Path, reason: str = "ours", expires: str = "") -> tuple[ScanReport, Baseline]:
    report = scan(folder)
    return report, Baseline(entries_of(report, Contents(LocalRepo(folder)), reason, expires))


def test_what_was_accepted_does_not_count_until_its_file_changes(tmp_path: Path) -> None:
    folder = written(tmp_path / "model", BAD)
    report, baseline = accepted(folder)
    assert report.exit_code == 1
    assert {entry.rule for entry in baseline.accepted} == {"HC-CFG-001", "HC-PY-001"}
    again = scan(folder, baseline=baseline)
    assert (again.exit_code, again.at_gate, again.stale) == (0, (), ())
    assert again.findings == report.findings, "all of them stay in the report"
    assert {row.finding for row in again.accepted} == set(report.at_gate)
    assert {row.reason for row in again.accepted} == {"ours"}
    (folder / "modeling.py").write_bytes(b"import torch\n\n")
    changed = scan(folder, baseline=baseline)
    assert changed.exit_code == 1
    assert {row.rule for row in changed.at_gate} == {"HC-CFG-001", "HC-PY-001"}
    assert [(row.rule, row.path, row.why) for row in changed.stale] == [
        ("HC-CFG-001", "config.json", CODE_CHANGED),
        ("HC-PY-001", "modeling.py", CODE_CHANGED),
    ]


def test_code_that_accepted_code_imports_is_accepted_with_it_and_no_further(tmp_path: Path) -> None:
    """No config names ``helper.py``, so that a change of it alone is no finding at the gate."""
    folder = written(tmp_path / "model", BAD | {"modeling.py": b"from .helper import f\n", "helper.py": b"f = 1\n"})
    _, baseline = accepted(folder)
    assert "helper.py" not in {entry.path for entry in baseline.accepted}
    assert scan(folder, baseline=baseline).exit_code == 0
    (folder / "README.md").write_bytes(b"# other words")
    assert scan(folder, baseline=baseline).exit_code == 0
    (folder / "helper.py").write_bytes(b"import os\nf = os.system\n")
    assert scan(folder, baseline=baseline).exit_code == 1
    (folder / "helper.py").write_bytes(b"f = 1\n")
    (folder / "new.py").write_bytes(b"1\n")
    assert scan(folder, baseline=baseline).exit_code == 1


def test_what_is_not_hostile_goes_by_its_own_file(tmp_path: Path) -> None:
    files = {"config.json": b'{"model_type": "vit"}', "pytorch_model.bin": BAD["pytorch_model.bin"], "a.py": b"1\n"}
    folder = written(tmp_path / "model", files)
    _, baseline = accepted(folder)
    assert [(entry.rule, entry.hostile) for entry in baseline.accepted] == [("HC-PKL-002", False)]
    (folder / "a.py").write_bytes(b"2\n")
    assert scan(folder, baseline=baseline).exit_code == 0
    (folder / "pytorch_model.bin").write_bytes(files["pytorch_model.bin"] + b"\0")
    assert [row.why for row in scan(folder, baseline=baseline).stale] == ["its file changed"]


def test_hub_and_folder_know_the_same_content(hub: HubServer, tmp_path: Path) -> None:
    hub.create("org/model", BAD)
    folder = written(tmp_path / "model", BAD)
    _, baseline = accepted(folder)
    there = scan("org/model")
    hubs = Baseline(entries_of(there, Contents(HubRepo("org/model")), "ours"))
    assert [replace(row, repo="model") for row in hubs.accepted] == list(baseline.accepted)
    assert scan("org/model", baseline=baseline).exit_code == 1, "another repo"
    assert scan("org/model", baseline=hubs).exit_code == 0
    assert scan("ORG/Model".lower(), baseline=hubs).exit_code == 0
    hub.commit("org/model", {"readme.md": b"a new commit with the same files"})
    assert scan("org/model", baseline=hubs).exit_code == 0
    hub.commit("org/model", {"config.json": BAD["config.json"] + b" "})
    assert scan("org/model", baseline=hubs).exit_code == 1


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"rule": "HC-CFG-003"}, "the finding is gone"),
        ({"path": "other.json"}, "the finding is gone"),
        ({"sha256": "0" * 64}, CODE_CHANGED),
        ({"severity": "medium"}, "it was accepted as medium and hostile and is high and hostile now"),
        ({"hostile": False}, "it was accepted as high and is high and hostile now"),
        ({"expires": "2026-05-31"}, "it expired after 2026-05-31"),
        ({"expires": "2026-06-01"}, None),
        ({"repo": "MODEL"}, None),
    ],
)
def test_all_of_an_entry_must_fit(change: dict[str, object], why: str | None, tmp_path: Path) -> None:
    folder = written(tmp_path / "model", {"config.json": BAD["config.json"]})
    report, baseline = accepted(folder)
    (entry,) = baseline.accepted
    found = accept(report, Baseline((replace(entry, **change),)), Contents(LocalRepo(folder)), DAY)
    assert found.exit_code == (1 if why else scan(folder, baseline=baseline).exit_code)
    assert [row.why for row in found.stale] == ([why] if why else [])


def test_a_finding_of_the_whole_repo_is_void_when_any_file_changes(tmp_path: Path, hub: HubServer) -> None:
    files = {"config.json": b"{}", "model.safetensors": safetensors()}
    security = {"scansDone": True, "filesWithIssues": [{"path": "gone.bin", "level": "unsafe"}]}
    hub.create("org/model", files, security=security)
    report = scan("org/model")
    whole = Finding("HC-REP-003", "high", ".", "the repo", "look", hostile=True)
    report = replace(report, findings=(*report.findings, whole))
    contents = Contents(HubRepo("org/model"))
    baseline = Baseline(entries_of(report, contents, "known"))
    assert whole in {row.finding for row in accept(report, baseline, contents, DAY).accepted}
    hub.commit("org/model", {"new.txt": b"x"})
    assert accept(report, baseline, Contents(HubRepo("org/model")), DAY).accepted == ()
    folder = written(tmp_path / "here", files)
    before = Contents(LocalRepo(folder)).sha256(".")
    (folder / "config.json").write_bytes(b"[]")
    assert Contents(LocalRepo(folder)).sha256(".") != before


def test_a_file_that_cannot_be_compared_is_not_accepted(tmp_path: Path) -> None:
    folder = written(tmp_path / "model", BAD)
    report, baseline = accepted(folder)
    contents = Contents(LocalRepo(folder))
    (folder / "config.json").unlink()
    found = accept(report, baseline, contents, DAY)
    assert "config.json" in {row.path for row in found.at_gate}
    assert any(row.why.startswith("its file could not be compared") for row in found.stale)


def test_bringing_up_to_date_keeps_reasons_and_other_repos(tmp_path: Path) -> None:
    folder = written(tmp_path / "model", BAD)
    report, old = accepted(folder, "first")
    other = replace(old.accepted[0], repo="other/one")
    gone = replace(old.accepted[0], path="gone.json")
    ended = replace(old.accepted[1], expires="2026-05-31")
    _, new = accepted(folder, "second")
    found = merged(Baseline((old.accepted[0], ended, other, gone)), [report], new.accepted, DAY)
    assert {(row.repo, row.path, row.reason) for row in found.accepted} == {
        ("model", old.accepted[0].path, "first"),
        ("model", old.accepted[1].path, "second"),
        ("other/one", old.accepted[0].path, "first"),
    }


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema": "hubclean/baseline/v9"}, "reads hubclean/baseline/v1"),
        ({"more": 1}, "unknown fields"),
        ({"accepted": [{"rule": "X"}]}, "lacks"),
        ({"accepted": {}}, "is no baseline"),
    ],
)
def test_a_file_that_is_no_baseline_is_refused(change: dict[str, object], says: str, tmp_path: Path) -> None:
    place = tmp_path / "b.json"
    write_baseline(place, Baseline())
    assert read_baseline(place) == Baseline()
    place.write_text(json.dumps(to_json(Baseline()) | change))
    with pytest.raises(OptionError, match=says):
        read_baseline(place)


def test_what_nobody_can_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "b.json"
    with pytest.raises(OptionError, match="cannot be read"):
        read_baseline(place)
    for body in (b"\xff", b"[" * 100_000, b'{"accepted": [], "hubclean": "1", "schema": 1}'):
        place.write_bytes(body)
        with pytest.raises(OptionError, match="is no baseline"):
            read_baseline(place)
    monkeypatch.setattr(baselines, "LONGEST", 10)
    write_baseline(place, Baseline())
    with pytest.raises(OptionError, match="more than 10 bytes"):
        read_baseline(place)
