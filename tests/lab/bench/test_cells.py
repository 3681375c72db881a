"""The bench at work: cached models, resuming after a kill, failures, two at once. Nets are small, images the demo's."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from hubclean.cli.main import main
from hubclean.errors import DataError
from hubclean.lab.bench import cells, rows, small_nets, zoo
from hubclean.lab.bench import run as command
from hubclean.lab.bench.journal import RESULTS, Journal
from hubclean.lab.bench.plans import Plan
from hubclean.methods.detectors.neural_cleanse import NeuralCleanse
from hubclean.nets.session import open_session
from hubclean.nets.training import Schedule
from support.bench_plan import DATA, SMALL
from support.work import HANGS


def work(folder: Path, plan: Plan = SMALL, **more: Any) -> tuple[bool, list[str]]:
    said: list[str] = []
    run = cells.BenchRun(plan, folder, lambda seed: open_session("cpu", seed, 64), said.append, **more)
    return run.work(), said


def held(folder: Path) -> list[rows.Row]:
    return list(rows.read_rows(folder / RESULTS))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as patch:
        brief = {n: dataclasses.replace(net, schedule=Schedule(1, 1e-3, "adamw")) for n, net in small_nets.NETS.items()}
        patch.setattr(small_nets, "NETS", brief)
        assert work(folder)[0]
    return folder


def test_every_cell_of_the_plan_is_a_row(finished: Path) -> None:
    found = held(finished)
    assert [row.kind for row in found if row.kind == "failure"] == []
    models = [row for row in found if isinstance(row, rows.ModelRow)]
    assert [row.case.attack for row in models] == ["clean", "badnets"]
    clean, backdoored = models
    assert clean.figures.asr is None
    assert backdoored.figures.asr is not None
    assert backdoored.figures.asr.n < 64  # images of the target's class are no trials
    assert backdoored.twin_accuracy == clean.figures.clean_accuracy.value
    defenses = [row for row in found if isinstance(row, rows.DefenseRow)]
    assert {(row.case.attack, row.defense) for row in defenses} == {
        (attack, defense) for attack in ("clean", "badnets") for defense in ("none", "fine-pruning")
    }
    untouched = next(row for row in defenses if row.defense == "none" and row.case.attack == "badnets")
    assert untouched.before == untouched.after == backdoored.figures
    assert untouched.rating == 0.5
    assert untouched.retuned is not None
    assert all(row.reloads < 1e-5 for row in defenses)
    assert sum(isinstance(row, rows.DetectionRow) for row in found) == 2
    assert sum(isinstance(row, rows.VerdictRow) for row in found) == 2


def test_a_second_run_does_nothing_again(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (finished / RESULTS).read_bytes()
    monkeypatch.setattr("hubclean.lab.bench.zoo.train", lambda *_: pytest.fail("trained again"))
    assert work(finished)[0]
    assert (finished / RESULTS).read_bytes() == before


def test_a_run_goes_on_where_it_was_killed(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    train = cells.zoo.train
    monkeypatch.setattr(cells.zoo, "train", lambda *args: (calls.append(1), train(*args))[1])  # the clean twin's
    plan = dataclasses.replace(SMALL, retune=False, attacks=("clean",))
    assert work(tmp_path / "out", plan)[0]
    lines = (tmp_path / "out" / RESULTS).read_text().splitlines()
    torn = "\n".join(lines[:-1]) + "\n" + lines[-1][: len(lines[-1]) // 2]  # killed while the last line was written
    (tmp_path / "out" / RESULTS).write_text(torn)
    assert len(held(tmp_path / "out")) == len(lines) - 1
    assert work(tmp_path / "out", plan)[0]
    again = {row.id: row for row in held(tmp_path / "out")}
    assert again.keys() == {json.loads(line)["id"] for line in lines}
    assert len(calls) == 1


def test_a_killed_process_leaves_no_half_trained_model(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(f'data = ["{DATA}"]\nattacks = ["clean"]\ntrain = 600\ndetectors = []\ndefenses = []\n')
    out = tmp_path / "out"
    program = [sys.executable, "-m", "hubclean", "bench", str(plan), "--out", str(out), "--device", "cpu"]
    process = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(out.glob("models/.*partial*")):
        pass
    process.kill()
    process.wait()
    assert [place for place in out.glob("models/*") if not place.name.startswith(".")] == []
    assert held(out) == []


def test_a_failing_cell_is_a_row_and_runs_again_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hubclean.methods.defenses.none import NoDefense

    def broken(*_: Any) -> None:
        raise ValueError("no\x1b[31m luck")

    plan = dataclasses.replace(SMALL, attacks=("clean",), defenses=("none",), detectors=(), retune=False)
    with monkeypatch.context() as patch:
        patch.setattr(NoDefense, "cleanse", broken)
        assert work(tmp_path, plan)[0]
    (failure,) = (row for row in held(tmp_path) if isinstance(row, rows.FailureRow))
    assert "ValueError: no" in failure.error
    assert "\x1b" not in failure.error
    assert command.write_report(tmp_path, True).exit_code == 2
    assert work(tmp_path, plan)[0]
    assert [row.kind for row in held(tmp_path)].count("failure") == 1
    assert work(tmp_path, plan, again=True)[0]
    assert [row.kind for row in held(tmp_path)].count("failure") == 0


def test_a_model_and_a_detection_that_failed_are_healed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no luck")

    with monkeypatch.context() as patch:
        patch.setattr(zoo, "train_and_store", broken)
        assert work(tmp_path)[0]
    assert {row.kind for row in held(tmp_path)} == {"failure"}
    with monkeypatch.context() as patch:
        patch.setattr(NeuralCleanse, "detect", broken)
        assert work(tmp_path, again=True)[0]
    assert sorted({row.kind for row in held(tmp_path)}) == ["failure", "model"], "no verdict without the detector"
    assert work(tmp_path, again=True)[0]
    assert sorted({row.kind for row in held(tmp_path)}) == ["defense", "detection", "model", "verdict"]
    assert command.write_report(tmp_path, True).exit_code == 0


def test_retuning_asked_for_later_is_made_up_for(tmp_path: Path) -> None:
    assert work(tmp_path, dataclasses.replace(SMALL, defenses=("none",), retune=False))[0]
    assert work(tmp_path, dataclasses.replace(SMALL, defenses=("none",)))[0]
    found = [row for row in held(tmp_path) if isinstance(row, rows.DefenseRow)]
    assert {row.case.attack: row.retuned is not None for row in found} == {"clean": False, "badnets": True}


def test_images_of_several_sizes_need_one_and_classes_keep_their_numbers(tmp_path: Path) -> None:
    for split, names in (("train", "cat dog fox"), ("test", "dog fox")):
        for number, name in enumerate(names.split()):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for index in range(8):
                Image.new("RGB", (28, 28 + 4 * (index == 7)), (40 * number, index, 0)).save(folder / f"{index}.png")
    plan = dataclasses.replace(SMALL, data=(str(tmp_path / "data"),), fit=3, val=3, test=8, train=0)
    session = open_session("cpu")
    with pytest.raises(DataError, match="differ in size"):
        zoo.pictures(plan.data[0], plan, session)
    made = zoo.pictures(plan.data[0], dataclasses.replace(plan, size=28), session)
    assert made.labels == ("cat", "dog", "fox")
    assert set(made.test.labels.tolist()) <= {1, 2}
    assert zoo.with_labels_of(made.test, ("fox", "dog", "cat"), made.labels, "").labels.tolist() == [
        2 - label for label in made.test.labels.tolist()
    ]
    with pytest.raises(DataError, match="'owl' in its test split alone"):
        zoo.with_labels_of(made.test, ("cat", "dog", "owl"), made.labels, "data")


def test_a_batch_size_may_be_left_to_the_memory(tmp_path: Path) -> None:
    words = ["bench", "--data", DATA, "--out", str(tmp_path), "--train", "32", "--attack", "clean", "--batch-size"]
    assert CliRunner().invoke(main, [*words, "0"]).exit_code == 2
    plan = dataclasses.replace(SMALL, attacks=("clean",), detectors=(), defenses=("none",))
    run = cells.BenchRun(plan, tmp_path, lambda seed: open_session("cpu", seed, 0), print)
    assert run.work()
    assert [row.kind for row in held(tmp_path)] == ["model", "defense"]


def test_time_that_is_over_begins_nothing(tmp_path: Path) -> None:
    done, said = work(tmp_path, until=0.0)
    assert not done
    assert said == []
    assert command.write_report(tmp_path, done).exit_code == 2


def test_another_process_on_a_model_is_left_alone(finished: Path) -> None:
    one, two = Journal(finished), Journal(finished)
    with one.claimed("one") as mine, two.claimed("one") as again, two.claimed("two") as other:
        assert (mine, again, other) == (True, False, True)


def test_two_processes_on_one_plan_share_its_models_and_wait_for_the_twin(tmp_path: Path) -> None:
    plan = dataclasses.replace(SMALL, detectors=(), defenses=("none",), retune=False)
    (tmp_path / "plan.toml").write_text(
        "\n".join(f"{key} = {json.dumps(value)}" for key, value in dataclasses.asdict(plan).items())
    )
    words = [sys.executable, "-m", "hubclean", "bench", str(tmp_path / "plan.toml"), "--out", str(tmp_path / "out")]
    both = [subprocess.Popen([*words, "--device", "cpu"], stderr=subprocess.DEVNULL) for _ in range(2)]
    assert {process.wait(timeout=HANGS) for process in both} <= {0, 2}, "2: the other was still at work"
    found = held(tmp_path / "out")
    ids = [row.id for row in found]
    assert sorted(row.kind for row in found) == ["defense", "defense", "model", "model"], ids


def test_the_command_prints_json_and_writes_tables(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "BenchRun", lambda *args, **kwargs: cells.BenchRun(SMALL, *args[1:], **kwargs))
    result = CliRunner().invoke(main, ["bench", "--data", DATA, "--out", str(finished), "--device", "cpu", "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["models"], report["defenses"], report["failures"]) == (2, 4, 0)
    text = Path(report["tables"]).read_text()
    for heading in (
        "### Models",
        "### Detection",
        "### The one verdict",
        "ASR left / points of CA lost",
        "### Failures",
    ):
        assert heading in text
    assert "fine-pruning epochs=1,step=0.25" in text
    for picture in report["pictures"]:
        assert Path(picture).read_bytes().startswith(b"\x89PNG")


def test_a_bench_without_data_says_so() -> None:
    result = CliRunner().invoke(main, ["bench", "--out", "x"])
    assert result.exit_code == 2
    assert "needs --data" in result.stderr
