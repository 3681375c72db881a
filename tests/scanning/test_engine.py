"""The static scan as a whole: verdict a file, exit codes, cost, pinned commit, wording."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from hubclean.cli.text.scan import render_scan
from hubclean.errors import IntegrityError, OptionError, TargetError, TransportError
from hubclean.hub.repos import LocalRepo, RepoEntry
from hubclean.records import ScanReport, from_json, to_json
from hubclean.scanning import engine
from hubclean.scanning import reader as reading
from hubclean.scanning.engine import scan
from support.scanned_files import safetensors, written

CLEAN: dict[str, bytes] = {
    "config.json": b'{"architectures": ["ResNetForImageClassification"]}',
    "model.safetensors": safetensors(),
    "README.md": b"# A model\n",
}


def states(report: ScanReport) -> dict[str, str]:
    return {file.path: file.state for file in report.files}


def test_a_clean_repo_has_a_verdict_for_every_file_and_exit_code_0(tmp_path: Path) -> None:
    report = scan(written(tmp_path / "repo", CLEAN))
    assert states(report) == dict.fromkeys(sorted(CLEAN), "ok")
    assert (report.exit_code, report.findings) == (0, ())
    assert report.requests == 3
    assert report.bytes_read == sum(map(len, CLEAN.values()))
    assert not report.at_gate
    assert from_json(ScanReport, json.loads(json.dumps(to_json(report)))) == report


@pytest.mark.parametrize("kind", ["timm-resnet", "timm-vit", "hf-vit", "hf-resnet"])
def test_repos_written_by_the_libraries_are_clean(tmp_path: Path, kind: str) -> None:
    from support.tiny_models import make_repo

    report = scan(make_repo(tmp_path / "repo", kind, shard="20KB" if kind == "hf-vit" else None))
    assert report.findings == ()
    assert set(states(report).values()) == {"ok"}
    assert report.exit_code == 0
    assert sum(path.endswith(".safetensors") for path in states(report)) >= (3 if kind == "hf-vit" else 1)


def test_a_repo_written_by_timm_save_for_hf_is_clean(tmp_path: Path) -> None:
    import timm
    from timm.models import save_for_hf

    save_for_hf(timm.create_model("test_vit", num_classes=3), str(tmp_path / "repo"), safe_serialization=True)
    report = scan(tmp_path / "repo")
    assert (report.findings, report.exit_code) == ((), 0)
    assert report.bytes_read < 200_000


def test_a_finding_at_the_gate_is_exit_code_1_and_closes_the_gate(tmp_path: Path) -> None:
    folder = written(tmp_path / "repo", CLEAN | {"config.json": b'{"auto_map": {"AutoModel": "m.N"}}'})
    report = scan(folder)
    assert (report.exit_code, states(report)["config.json"], bool(report.at_gate)) == (1, "finding", True)
    assert (scan(folder, gate="critical").exit_code, scan(folder, gate="critical").at_gate) == (0, ())


def test_what_nobody_judged_is_exit_code_2_unless_allowed_by_name(tmp_path: Path) -> None:
    folder = written(
        tmp_path / "repo", CLEAN | {"model.onnx": b"\x08\x01", "runs/x.tfevents": b"\x00\x01", "a.pkl": b"\x1f\x8b\x08"}
    )
    assert scan(folder).exit_code == 0  # transformers opens none of them
    report = scan(folder, loader="all")
    assert report.exit_code == 2
    assert not report.at_gate
    unchecked = {path for path, state in states(report).items() if state == "unchecked"}
    assert unchecked == {"model.onnx", "runs/x.tfevents", "a.pkl"}
    assert "HC-INC-001" in {finding.rule for finding in report.findings if finding.path == "runs/x.tfevents"}
    assert scan(folder, loader="all", allow_unchecked=("*.onnx", "runs/*")).exit_code == 2
    allowed = scan(folder, loader="all", allow_unchecked=("*.onnx", "runs/*", "a.pkl"))
    assert allowed.exit_code == 0
    assert allowed.allowed_unchecked == ("*.onnx", "runs/*", "a.pkl")


def test_a_finding_wins_over_incompleteness(tmp_path: Path) -> None:
    folder = written(tmp_path / "repo", CLEAN | {"x.onnx": b"\x08", "model.safetensors": safetensors(data=b"")})
    assert scan(folder).exit_code == 1


def test_not_checked_stays_visible_beside_a_lesser_finding(tmp_path: Path) -> None:
    report = scan(written(tmp_path / "repo", {"model.pkl": b"\x1f\x8b\x08"}))
    rules = [(finding.rule, finding.severity) for finding in report.findings if finding.severity != "info"]
    assert rules == [("HC-PKL-009", "medium")]
    assert (states(report)["model.pkl"], report.exit_code) == ("unchecked", 2)


def test_files_come_by_path_and_findings_by_severity(tmp_path: Path) -> None:
    files = {f"{name}.safetensors": safetensors(data=b"") for name in "dcba"} | {
        "z.py": b"",
        "b.pt": pickle.dumps(Path("x")),
    }
    files["config.json"] = b'{"_attn_implementation": "x/y", "a": 1, "a": 1}'
    reports = [scan(written(tmp_path / "repo", files)) for _ in range(2)]
    assert [file.path for file in reports[0].files] == sorted(files)
    assert [row.severity for row in reports[0].findings] == ["critical", *["high"] * 4, *["medium"] * 2, "low"]
    assert reports[0].findings == reports[1].findings


class Flaky(LocalRepo):
    """A repo some of whose files cannot be read."""

    def __init__(self, place: Path, error: Exception, broken: tuple[str, ...]) -> None:
        super().__init__(place)
        self.error, self.broken, self.asked = error, broken, 0

    def read_range(self, path: str, start: int, stop: int) -> bytes:
        if path in self.broken:
            self.asked += 1
            raise self.error
        return super().read_range(path, start, stop)


@pytest.mark.parametrize("error", [TransportError("broke off"), IntegrityError("other bytes"), ValueError("bug")])
def test_a_file_that_cannot_be_read_is_not_checked(tmp_path: Path, error: Exception) -> None:
    repo = Flaky(written(tmp_path / "repo", CLEAN), error, ("model.safetensors",))
    report = scan(repo)
    assert states(report) == {"README.md": "ok", "config.json": "ok", "model.safetensors": "unchecked"}
    assert report.exit_code == 2
    (finding,) = {row for row in report.findings if row.path == "model.safetensors"}
    assert finding.rule == "HC-INC-001"
    assert str(error) in finding.what


def test_a_hub_that_breaks_off_on_every_file_ends_the_scan(tmp_path: Path) -> None:
    repo = Flaky(written(tmp_path / "repo", CLEAN), TransportError("no route"), tuple(CLEAN))
    with pytest.raises(TransportError, match="no route"):
        scan(repo)
    assert repo.asked == len(CLEAN)


def test_a_scanner_that_breaks_leaves_nothing_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Plugin:
        name = "plugin"
        paper = "none"

        def scan(self, repo: Any, files: Any) -> Any:
            raise KeyError("oops")

    known = engine.methods("scanners")
    monkeypatch.setattr(engine, "methods", lambda kind: known | {"plugin": Plugin})
    report = scan(written(tmp_path / "repo", CLEAN))
    assert set(states(report).values()) == {"unchecked"}
    assert "plugin broke off" in report.files[0].reason


@pytest.mark.parametrize(("name", "value"), [("REPO_BUDGET", 100), ("FILE_BUDGET", 60)])
def test_a_budget_used_up_is_not_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: int) -> None:
    monkeypatch.setattr(reading, name, value)
    report = scan(written(tmp_path / "repo", CLEAN | {"long.md": b"word " * 30}))
    assert report.bytes_read <= value if name == "REPO_BUDGET" else True
    assert states(report)["long.md"] == "unchecked"
    assert report.exit_code == 2


def test_weights_are_never_read(tmp_path: Path) -> None:
    big = {"a": {"dtype": "F32", "shape": [1 << 20], "data_offsets": [0, 4 << 20]}}
    report = scan(written(tmp_path / "repo", CLEAN | {"model.safetensors": safetensors(big, bytes(4 << 20))}))
    assert report.exit_code == 0
    assert (report.requests, report.bytes_read < 140_000) == (4, True)  # the header, and the end, where a zip may be


def test_one_file_is_a_target_too(tmp_path: Path) -> None:
    written(tmp_path, CLEAN)
    assert [file.path for file in scan(tmp_path / "model.safetensors").files] == ["model.safetensors"]


def test_bad_calls_are_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="no files"):
        scan(tmp_path)
    with pytest.raises(OptionError, match="severity"):
        scan(tmp_path, gate="huge")  # type: ignore[arg-type]
    with pytest.raises(TargetError):
        scan(str(tmp_path / "nothing here"))


def test_progress_is_told_of_every_file(tmp_path: Path) -> None:
    class Told:
        def __init__(self) -> None:
            self.said: list[Any] = []

        def start(self, what: str, total: int) -> None:
            self.said.append(total)

        def advance(self, steps: int = 1) -> None:
            self.said.append(steps)

        def finish(self) -> None:
            self.said.append("end")

    told = Told()
    scan(written(tmp_path / "repo", CLEAN), progress=told)
    assert told.said == [3, 1, 1, 1, "end"]


# over HTTP


def test_a_scan_over_http_is_pinned_and_cheap(hub: Any, tmp_path: Path) -> None:
    big = safetensors({"a": {"dtype": "F32", "shape": [1 << 18], "data_offsets": [0, 1 << 20]}}, bytes(1 << 20))
    sha = hub.create("org/model", CLEAN | {"model.safetensors": big})
    hub.fault(
        "call",
        path="*README.md",
        times=1,
        action=lambda: hub.commit("org/model", {"config.json": b'{"auto_map": "a.B"}'}),
    )
    report = scan("org/model")
    assert report.exit_code == 0, render_scan(report)
    assert (report.origin.repo_id, report.origin.revision) == ("org/model", sha)
    assert states(report) == dict.fromkeys(sorted(CLEAN), "ok")
    assert report.bytes_read < 140_000
    assert sum(exchange.sent for exchange in hub.log) < 170_000
    assert sum(exchange.method == "GET" and exchange.where == "cdn" for exchange in hub.log) <= 2
    assert scan("org/model").exit_code == 1


def test_a_lying_server_is_not_clean(hub: Any) -> None:
    hub.create("org/model", CLEAN)
    hub.fault("flip", path="*config.json")
    report = scan("org/model")
    assert states(report)["config.json"] == "unchecked"
    assert report.exit_code == 2


@pytest.mark.parametrize(
    ("level", "exit_code", "severity"),
    [("unsafe", 1, "high"), ("suspicious", 0, "info"), (3, 0, None), (None, 0, None)],
)
def test_what_the_hub_says_is_passed_on_as_the_hubs(hub: Any, level: Any, exit_code: int, severity: str | None) -> None:
    issues = [{"path": "model.safetensors", "level": level}, {"path": "elsewhere", "level": "unsafe"}, "odd"]
    hub.create("org/model", CLEAN, security={"scansDone": True, "filesWithIssues": issues if level else []})
    report = scan("org/model")
    assert [(row.rule, row.severity) for row in report.findings] == ([("HC-REP-003", severity)] if severity else [])
    assert report.exit_code == exit_code


def test_that_the_hubs_scanners_have_not_finished_is_told_and_stops_nobody(hub: Any) -> None:
    hub.create("org/model", CLEAN, security={"scansDone": False, "filesWithIssues": []})
    report = scan("org/model")
    assert [(row.rule, row.severity, row.path) for row in report.findings] == [("HC-REP-003", "info", ".")]
    assert report.exit_code == 0
    assert "have not finished" in render_scan(report)
    assert render_scan(report).startswith("no static finding in 3 of 3 files\n")


def test_the_reader_reads_nothing_twice(tmp_path: Path) -> None:
    repo = LocalRepo(written(tmp_path, CLEAN))
    reader = reading.Reader(repo, repo.files())
    for _ in range(3):
        assert reader.read("config.json", 1000) == CLEAN["config.json"]
        assert reader.read_range("model.safetensors", 2, 5) == CLEAN["model.safetensors"][2:5]
    assert repo.requests == 2
    with pytest.raises(IntegrityError):
        reader.read_range("config.json", 0, 1000)
    assert reader.files() == tuple(RepoEntry(path, len(CLEAN[path])) for path in sorted(CLEAN))
