"""`flwr run` of the app in Flower's simulation, by Flower's own command: `make federated-test`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubclean.hub import audited_folder
from support import ROOT
from support.flower_config import APP, NODES
from support.work import HANGS

pytest.importorskip("flwr", reason="hubclean[federated] is not installed")
pytest.importorskip("ray", reason="hubclean[federated] is not installed")
psutil = pytest.importorskip("psutil")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A Flower home for three simulated nodes; the SuperLink that `flwr run` leaves behind is ended."""
    found = tmp_path / "home"
    found.mkdir()
    (found / "config.toml").write_text(
        f'[superlink]\ndefault = "sim"\n\n[superlink.sim]\noptions.num-supernodes = {NODES}\n'
        "options.backend.client-resources.num-cpus = 1\noptions.backend.init-args.num-cpus = 1\n"
    )
    yield found
    for process in psutil.process_iter():
        try:
            if process.environ().get("FLWR_HOME") == str(found):
                process.terminate()
        except psutil.Error:  # of somebody else, or gone
            continue


@pytest.mark.slow
def test_a_simulation_of_three_nodes_writes_a_cleansed_folder(place: Path, tmp_path: Path, home: Path) -> None:
    out = tmp_path / "out"
    values = f"model='{place}/model' data='{place}/data' partition='iid' out='{out}' clients={NODES} device='cpu'"
    options = "cleanse.step=0.5 cleanse.max-drop=1.0 cleanse.rounds=1 cleanse.adjust=false"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | {"FLWR_HOME": str(home), "FLWR_TELEMETRY_ENABLED": "0", "PATH": path}
    env |= {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = ["flwr", "run", str(APP), "sim", "--stream", "--run-config", f"{values} {options}"]
    for _ in range(3):  # ray gives itself 30 seconds on the clock to start; on a busy machine it may need another go
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=HANGS)
        if out.exists() or "node timed out during startup" not in done.stdout + done.stderr:
            break
    assert out.exists(), done.stdout[-3000:] + done.stderr[-3000:]
    audit, _, _ = audited_folder.check_folder(out)
    assert audit.cleansing.cut > 0
    assert len({one.file for one in audit.cleansing.ballots}) == NODES
