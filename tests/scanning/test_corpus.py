"""The shared corpus of other scanners' test files, as bytes: equal verdicts everywhere, safetensors judged right."""

from __future__ import annotations

import csv
import io
import tarfile
from pathlib import Path

import pytest

from hubclean.scanning.engine import scan
from support.hub_server import HubServer
from support.scanned_files import written


@pytest.fixture(scope="module")
def corpus(shared_data: Path) -> dict[str, tuple[dict[str, str], bytes]]:
    """Path -> (row of the manifest, bytes). Read from the archive in memory; nothing of it is ever loaded."""
    place = shared_data / "static"
    if not place.is_dir():
        pytest.skip("the shared data has no static corpus")
    rows = {row["path"]: row for row in csv.DictReader(io.StringIO((place / "manifest.csv").read_text()))}
    found = {}
    with tarfile.open(place / "corpus.tar.xz") as archive:
        for member in archive:
            body = archive.extractfile(member) if member.isfile() else None
            name = member.name.removeprefix("./")
            if body and name in rows:
                found[name] = rows[name], body.read()
    assert len(found) > 100
    return found


def test_hub_folder_and_single_file_give_equal_verdicts(
    hub: HubServer, tmp_path: Path, corpus: dict[str, tuple[dict[str, str], bytes]]
) -> None:
    files = {f"{at}/{path.rsplit('/', 1)[-1]}": body for at, (path, (_, body)) in enumerate(sorted(corpus.items()))}
    hub.create("org/model", files)
    at_hub, here = scan("org/model"), scan(written(tmp_path / "repo", files))
    assert [(row.path, row.state, row.reason) for row in at_hub.files] == [
        (row.path, row.state, row.reason) for row in here.files
    ]
    assert [row for row in at_hub.findings if row.rule != "HC-REP-003"] == list(here.findings)
    for verdict in here.files:
        (alone,) = scan(tmp_path / "repo" / verdict.path).files
        assert (alone.state, alone.reason) == (verdict.state, verdict.reason), verdict.path


def test_no_malicious_file_is_clean_and_no_plain_safetensors_is_accused(
    tmp_path: Path, corpus: dict[str, tuple[dict[str, str], bytes]]
) -> None:
    for at, (path, (row, body)) in enumerate(sorted(corpus.items())):
        (tmp_path / str(at)).mkdir()
        place = tmp_path / str(at) / path.rsplit("/", 1)[-1]
        place.write_bytes(body)
        code = scan(place).exit_code
        if row["label"] == "malicious":
            assert code in (1, 2), path
        if row["family"] == "safetensors":
            assert code == {"malicious": 1, "benign": 0, "grey": 0}[row["label"]], path
