"""What other programs read of a scan: JSON, SARIF and CycloneDX, valid by their schemas and the same every time."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator, Draft202012Validator

import hubclean
from hubclean.records import FileVerdict, Finding, RepoRef, from_json, to_json
from hubclean.scanning.cyclonedx import cyclonedx
from hubclean.scanning.document import ScanDocument, TargetScan, schema_text, target_scan, worst
from hubclean.scanning.engine import scan
from hubclean.scanning.rules import RULES
from hubclean.scanning.sarif import sarif
from support import ROOT
from support.scanned_files import safetensors, written

PACKAGE = Path(hubclean.__file__).parent
SARIF = Draft4Validator(json.loads((ROOT / "tests" / "support" / "schemas" / "sarif-2.1.0-rtm.5.json").read_text()))
OURS = Draft202012Validator(json.loads(schema_text()))
FILES = {
    "config.json": b'{"auto_map": {"AutoModel": "m.N"}, "a": 1, "a": 2}',
    "model.safetensors": safetensors(),
    "a b/\xe9\u202e.bin": b"\x00\x01",
    "x.onnx": b"\x08",
    "params.yaml": b"a: !!python/object/apply:os.system [id]",
}


def document(*scans: TargetScan) -> ScanDocument:
    return ScanDocument("high", ("*.onnx",), ("timm.a.B",), worst([row.exit_code for row in scans]), scans)


@pytest.fixture
def sample(tmp_path: Path, hub: Any) -> ScanDocument:
    hub.create("org/model", FILES)
    reports = [("org/model", scan("org/model")), ("here", scan(written(tmp_path / "repo", FILES)))]
    rows = [target_scan(name, report) for name, report in reports]
    return document(*rows, TargetScan("org/none", 2, "there is no model org/none"))


def cyclonedx_errors(value: Any) -> Any:
    validation = pytest.importorskip("cyclonedx.validation.json")
    from cyclonedx.schema import SchemaVersion

    return validation.JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(value))


def test_json_fits_the_schema_that_ships_and_comes_back_exactly(sample: ScanDocument) -> None:
    assert (PACKAGE / "scanning" / "scan.schema.json").read_text() == schema_text(), (
        "python -m hubclean.scanning.document > ..."
    )
    value = json.loads(json.dumps(to_json(sample)))
    OURS.validate(value)
    assert from_json(ScanDocument, value) == sample
    assert value["schema"] == "hubclean/scan/v1"
    counts = value["scans"][0]["counts"]
    assert counts["files"] == counts["ok"] + counts["finding"] + counts["unchecked"] == len(FILES)
    weights = next(row for row in value["scans"][0]["files"] if row["path"] == "model.safetensors")
    assert len(weights["sha256"]) == 64
    assert not OURS.is_valid(value | {"schema": "hubclean/scan/v2"})
    assert not OURS.is_valid(value | {"seconds": 1.0})


def test_the_same_repo_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = written(tmp_path / "repo", FILES)
    for form in (to_json, sarif, cyclonedx):
        first, second = (json.dumps(form(document(target_scan("x", scan(folder))))) for _ in range(2))
        assert first == second
    OURS.validate(json.loads(json.dumps(to_json(document(target_scan("x", scan(folder)))))))


def test_hub_and_folder_say_the_same_of_the_same_bytes(sample: ScanDocument) -> None:
    at_hub, here, _ = sample.scans
    local = [row for row in at_hub.findings if row.rule != "HC-REP-003"]
    assert local == list(here.findings)
    assert [(row.path, row.state, row.reason) for row in at_hub.files] == [
        (row.path, row.state, row.reason) for row in here.files
    ]


def test_sarif_is_valid_and_holds_every_finding_with_its_place(sample: ScanDocument) -> None:
    log = json.loads(json.dumps(sarif(sample)))
    SARIF.validate(log)
    hub_run, local_run, failed = log["runs"]
    assert [row["id"] for row in hub_run["tool"]["driver"]["rules"]] == list(RULES)
    commit = sample.scans[0].origin
    by_rule = {row["ruleId"]: row for row in hub_run["results"]}
    place = by_rule["HC-CFG-001"]["locations"][0]["physicalLocation"]
    assert by_rule["HC-CFG-001"]["level"] == "error"
    assert {row["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for row in hub_run["results"]} >= {
        f"{commit}/config.json",
        f"{commit}/params.yaml",
    }
    assert any(
        row["locations"][0]["physicalLocation"].get("region") == {"byteOffset": 3} for row in local_run["results"]
    )
    assert place["artifactLocation"]["uri"].startswith("org/model@")
    for row in hub_run["results"]:
        assert hub_run["tool"]["driver"]["rules"][row["ruleIndex"]]["id"] == row["ruleId"]
    uris = [row["location"]["uri"] for row in local_run["artifacts"]]
    assert "a%20b/%C3%A9%E2%80%AE.bin" in uris
    notes = hub_run["invocations"][0]["toolExecutionNotifications"]
    assert len(notes) == sample.scans[0].counts.unchecked
    assert failed["invocations"][0] | {"toolExecutionNotifications": []} == {
        "executionSuccessful": False, "exitCode": 2, "toolExecutionNotifications": [],
        "properties": {"loader": "all", "loadable": True},
    }  # fmt: skip
    assert "org/none" in failed["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"]


def test_a_finding_keeps_its_fingerprint_over_commits(hub: Any) -> None:
    prints = []
    for extra in (b"1", b"2"):
        hub.create("org/model", FILES | {"n.txt": extra})
        run = sarif(document(target_scan("org/model", scan("org/model"))))["runs"][0]
        prints.append([row["partialFingerprints"] for row in run["results"]])
    assert prints[0] == prints[1]
    assert len({json.dumps(row) for row in prints[0]}) == len(prints[0]) > 3


@pytest.mark.parametrize("several", [False, True])
def test_cyclonedx_is_valid_and_holds_models_files_and_findings(sample: ScanDocument, several: bool) -> None:
    chosen = sample if several else document(sample.scans[0])
    bom = cyclonedx(chosen)
    assert cyclonedx_errors(bom) is None
    model = bom["components"][0] if several else bom["metadata"]["component"]
    files = model["components"] if several else bom["components"]
    assert model["type"] == "machine-learning-model"
    assert model["purl"] == f"pkg:huggingface/org/model@{model['version']}"
    assert {row["name"] for row in files} >= {"config.json", "model.safetensors"}
    weights = next(row for row in files if row["name"] == "model.safetensors")
    assert weights["hashes"][0]["alg"] == "SHA-256"
    refs = {row["bom-ref"]: row["name"] for row in files}
    found = {(row["id"], refs.get(row["affects"][0]["ref"])) for row in bom["vulnerabilities"]}
    assert ("HC-CFG-001", "config.json") in found
    assert ("HC-CFG-005", "config.json") in found


names = st.text(max_size=12)
findings = st.builds(Finding, st.sampled_from([*RULES, "X-1"]), st.sampled_from(["high", "info"]), names, names, names,
                     st.none() | st.integers(0, 2**63))  # fmt: skip
verdicts = st.builds(FileVerdict, names, st.integers(0, 2**63), st.sampled_from(["ok", "finding", "unchecked"]), names,
                     st.none() | st.just("a" * 64))  # fmt: skip
refs = st.builds(RepoRef, names, st.none() | st.just("c" * 40), st.sampled_from(["hub", "local"]))
listing = st.lists(verdicts, max_size=3, unique_by=lambda row: row.path).map(tuple)
few = {"findings": st.lists(findings, max_size=3).map(tuple), "files": listing}
scans = st.builds(TargetScan, names, st.sampled_from([0, 1, 2]), st.none() | names, st.none() | refs, **few)


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(scans, max_size=3))
def test_no_string_of_a_repo_breaks_a_format(rows: list[TargetScan]) -> None:
    value = document(*rows)
    OURS.validate(json.loads(json.dumps(to_json(value))))
    log = sarif(value)
    SARIF.validate(log)
    assert all(re.fullmatch(r"[\x21-\x7e]*", row["location"]["uri"]) for run in log["runs"] for row in run["artifacts"])
    cyclonedx(value)


@settings(max_examples=6, deadline=None)
@given(rows=st.lists(scans, min_size=1, max_size=2))
def test_no_string_of_a_repo_breaks_a_bill_of_materials(rows: list[TargetScan]) -> None:
    assert cyclonedx_errors(cyclonedx(document(*rows))) is None


def test_the_worst_exit_code() -> None:
    assert [worst(codes) for codes in ([0, 0], [0, 2], [2, 1, 0], [1], [])] == [0, 2, 1, 1, 2]


def test_every_rule_a_scanner_names_is_in_the_table_and_no_id_is_lost() -> None:
    used = set()
    for place in (PACKAGE / "scanning" / "scanners").glob("*.py"):
        for node in ast.walk(ast.parse(place.read_text())):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and re.fullmatch(r"HC-\w+-\d+", node.value)
            ):
                used.add(node.value)
    assert used - RULES.keys() == set()
    assert len(used) > 12
    numbers = {"PKL": 10, "ZIP": 5, "ST": 4, "NPY": 1, "CFG": 5, "NET": 4, "PY": 2, "FMT": 2, "REP": 4, "INC": 1}
    numbers |= {"TS": 2, "MSG": 1, "SKO": 1, "ARW": 1, "H5": 2, "KER": 3, "TF": 2}
    assert set(RULES) == {f"HC-{kind}-{n:03}" for kind, most in numbers.items() for n in range(1, most + 1)}
    assert {row.id for row in RULES.values() if row.severity == "critical"} == {
        "HC-PKL-001", "HC-PKL-003", "HC-CFG-002", "HC-KER-001", "HC-TF-001", "HC-TS-001", "HC-ARW-001",
    }  # fmt: skip
