"""``hubclean verify``: what it prints, its exit codes, and what it does not import."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from click.testing import CliRunner

from hubclean.cleansing.verifying.report import VerifyReport
from hubclean.cli.main import main
from hubclean.records import from_json
from support import ROOT
from support.stated import Cleansed
from support.work import HANGS

WITHOUT_TORCH = """
import sys
from hubclean.cli.main import main
try:
    main({words!r})
except SystemExit as end:
    code = end.code
heavy = {{'torch', 'timm', 'transformers', 'numpy', 'datasets', 'accelerate', 'matplotlib', 'PIL'}}
print('HEAVY', sorted(heavy & sys.modules.keys()), 'CODE', code)
"""


def test_it_needs_the_base_install_only(cleansed: Cleansed) -> None:
    script = WITHOUT_TORCH.format(words=["verify", str(cleansed.out), "--base", str(cleansed.base)])
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=HANGS
    )
    assert done.stdout.splitlines()[-1] == "HEAVY [] CODE 0", done.stdout + done.stderr
    for name in ("files", "audit", "original", "card", "scan"):
        assert f"\n{name:<9} as stated: " in done.stdout
    assert "\nNOT CHECKED\n" in done.stdout
    assert "\n  who wrote it: " in done.stdout
    assert "\nexit code 0: everything that was checked is as stated" in done.stdout


def test_exit_codes_places_and_json(cleansed: Cleansed) -> None:
    words = ["verify", str(cleansed.out), "--base", str(cleansed.base)]
    undecided = CliRunner().invoke(main, words[:2])
    assert (undecided.exit_code, "exit code 2: something could not be decided" in undecided.output) == (2, True)
    text = (cleansed.out / "README.md").read_text(encoding="utf-8")
    (cleansed.out / "README.md").write_text(text.replace("n=40", "n=4000", 1), encoding="utf-8")
    (line,) = [row for row, part in enumerate(text.split("\n"), 1) if "n=40" in part][:1]
    edited = CliRunner().invoke(main, words)
    assert edited.exit_code == 1
    assert f"\n  README.md line {line}: says " in edited.output
    report = from_json(VerifyReport, json.loads(CliRunner().invoke(main, [*words, "--json"]).output))
    assert (report.exit_code, report.hubclean != "") == (1, True)
    assert [row.name for row in report.checks if row.state != "as stated"] == ["card"]
    (cleansed.out / "README.md").unlink()
    nothing = CliRunner().invoke(main, words)
    assert nothing.exit_code == 2
    assert "README.md is missing: verify takes a checkpoint written by" in nothing.stderr
