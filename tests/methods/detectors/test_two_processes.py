"""Two processes search labels side by side and find what one finds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import torch

from hubclean.hub.repos import LocalRepo
from hubclean.nets import loading
from hubclean.nets.session import open_session
from hubclean.records import to_json
from support import ROOT
from support.brief_searches import SHARED
from support.image_sets import defense_data
from support.tiny_models import make_repo
from support.work import HANGS

SCRIPT = """
import json, sys
sys.path[:0] = [{root!r}, {tests!r}]
import torch
from pathlib import Path
from support.image_sets import defense_data
from support.brief_searches import SHARED
from hubclean.nets import loading
from hubclean.records import to_json
from hubclean.hub.repos import LocalRepo
from hubclean.nets.session import open_session
from hubclean.nets.training import Schedule, train
torch.set_num_threads(1)
session = open_session("cpu", seed=4)
checkpoint = loading.load_checkpoint(LocalRepo(Path({repo!r})))
reports = [to_json(detector.detect(checkpoint, defense_data(), session).report) for detector in SHARED]
model = checkpoint.model
train(model, defense_data().fit, Schedule(1, 0.01), open_session("cpu", mixed_precision="bf16"), "test")
assert "forward" not in vars(model), "half precision ends with the training"
if session.accelerator.is_main_process:
    print("REPORT", session.accelerator.num_processes, json.dumps(reports))
"""


def test_two_processes_give_the_result_of_one(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", "timm-resnet")
    script = tmp_path / "run.py"
    script.write_text(SCRIPT.format(tests=str(ROOT / "tests"), root=str(ROOT), repo=str(repo)))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0", "--standalone"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, str(script)], env=environment, capture_output=True, text=True, timeout=HANGS)
    lines = [line for line in done.stdout.splitlines() if line.startswith("REPORT")]
    assert len(lines) == 1, done.stderr[-2000:]
    _, processes, text = lines[0].split(" ", 2)
    assert processes == "2"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in another order differ in their last digits
    try:
        checkpoint, session = loading.load_checkpoint(LocalRepo(repo)), open_session("cpu", seed=4)
        alone = [to_json(detector.detect(checkpoint, defense_data(), session).report) for detector in SHARED]
    finally:
        torch.set_num_threads(threads)
    for one, other in zip(json.loads(text), json.loads(json.dumps(alone)), strict=True):
        assert one | {"seconds": 0} == other | {"seconds": 0}
