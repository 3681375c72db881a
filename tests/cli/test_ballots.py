"""Federated pruning without a server: the commands rank, tally and feedback, and clean with their files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from PIL import Image

from hubclean.cli.main import main
from hubclean.cli.options import FileLists, file_list
from hubclean.methods.voting import ballot_files as ballots
from hubclean.methods.voting import votes
from hubclean.methods.voting.ballots import Ballot, Feedback, PruningSequence
from hubclean.records import Audit, from_json
from support.image_sets import image_set
from support.tiny_models import make_repo


def lines(places: list[Path]) -> str:
    return "\n".join(map(str, places))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["T", "--ballots", "a.json", "b.json", "c.json", "--deep"], ["a.json", "b.json", "c.json"]),
        (["--ballots", "a.json", "T"], ["a.json"]),
        (["--ballots", "a.json", "b.json", "T", "--deep"], ["a.json", "b.json"]),
        (["--ballots", "a.json", "--ballots", "b.json", "--deep", "T"], ["a.json", "b.json"]),
        (["--deep", "--ballots", "odd", "b.json", "T"], ["odd", "b.json"]),
        (["T", "--ballots=a.json"], ["a.json"]),
        (["T"], []),
    ],
)
def test_a_list_of_files_is_taken_as_a_shell_writes_it(
    words: list[str], expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.json", "b.json", "c.json", "odd"):
        Path(name).touch()

    @click.command(cls=FileLists)
    @click.argument("target")
    @click.option("--deep", is_flag=True)
    @file_list("--ballots", "files")
    def command(target: str, deep: bool, ballots: tuple[Path, ...]) -> None:
        click.echo(json.dumps([target, [str(place) for place in ballots]]))

    done = CliRunner().invoke(command, words)
    assert done.exit_code == 0, done.output
    assert json.loads(done.output) == ["T", expected]


@pytest.fixture(scope="module")
def owners(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Three folders of private images."""
    found = []
    for seed in range(3):
        place = tmp_path_factory.mktemp("owner")
        images = image_set(20, seed=seed)
        for index, (pixels, label) in enumerate(zip(images.pixels, images.labels, strict=True)):
            (place / f"thing {int(label)}").mkdir(exist_ok=True)
            Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(place / f"thing {int(label)}" / f"{index}.png")
        found.append(str(place))
    return found


def run(*words: str, code: int = 0) -> Any:
    done = CliRunner().invoke(main, [*words])
    assert done.exit_code == code, (done.output, done.stderr)
    return done


@pytest.mark.slow
def test_owners_cleanse_a_checkpoint_together_without_showing_an_image(
    tmp_path: Path, owners: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    repo = str(make_repo(tmp_path / "repo", "timm-resnet"))
    for number, place in enumerate(owners):
        done = run("rank", repo, "--data", place, "--out", f"ballot{number}.json", "--seed", str(number))
        assert "ranks of" in done.stdout
    Path("ballot3.json").write_bytes(b"\x1b[31mjunk")
    papers = [f"ballot{number}.json" for number in range(4)]
    done = run("tally", repo, "--ballots", *papers, "--out", "sequence.json", "--step", "0.25")
    assert "3 of 4 ballots counted" in done.stdout
    assert "refused: ballot3.json: it is not JSON" in done.stderr
    for number, place in enumerate(owners):
        run("feedback", repo, "--sequence", "sequence.json", "--data", place, "--out", f"feedback{number}.json")
    made = ballots.read_document(PruningSequence, Path("sequence.json"))
    back = [ballots.read_document(Feedback, Path(f"feedback{number}.json")) for number in range(3)]
    assert all(one.counts == made.counts for one in back)
    place = votes.choose(votes.agreed([one.accuracies for one in back]), 0.04)
    done = run(
        "clean", repo, "--defense", "federated-pruning", "--ballots", *papers, "--detector", "skip",
        "-o", "step=0.25", "-o", "feedback=" + lines([tmp_path / f"feedback{number}.json" for number in range(3)]),
        "--out", "clean", code=2,
    )  # fmt: skip
    assert "ballot refused: ballot3.json" in done.stdout
    audit = from_json(Audit, json.loads(Path("clean/hubclean/audit.json").read_text()))
    assert audit.cleansing.cut == made.counts[place]
    assert [bool(row.refused) for row in audit.cleansing.ballots] == [False] * 3 + [True] + [False] * 3
    assert str(tmp_path) not in Path("clean/hubclean/audit.json").read_text()
    card = Path("clean/README.md").read_text()
    assert all(row.sha256 in card for row in audit.cleansing.ballots)
    assert "--ballots ballot0.json" in audit.command
    assert "feedback0.json" in audit.command


def test_votes_with_noise_say_so_and_ranks_have_none(
    tmp_path: Path, owners: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    repo = str(make_repo(tmp_path / "repo", "timm-resnet"))
    done = run("rank", repo, "--data", owners[0], "--out", "ranks.json", "--epsilon", "8", code=2)
    assert "give --scheme mvp with --epsilon" in done.stderr
    assert not Path("ranks.json").exists()
    for name, options in {"true": (), "loud": ("--epsilon", "0.01"), "again": ("--epsilon", "0.01")}.items():
        done = run("rank", repo, "--data", owners[0], "--out", f"{name}.json", "--scheme", "mvp", *options)
        assert ("noise of epsilon 0.01" in done.stdout) == bool(options)
    true, loud, again = (ballots.read_document(Ballot, Path(f"{name}.json")) for name in ("true", "loud", "again"))
    assert [one.epsilon for one in (true, loud, again)] == [None, 0.01, 0.01]
    assert sum(loud.entries) == sum(true.entries)
    assert len({one.entries for one in (true, loud, again)}) == 3, "noise is not drawn by the seed"
    done = run("tally", repo, "--ballots", "true.json", "loud.json", "again.json", "--out", "sequence.json")
    assert "3 of 3 ballots counted" in done.stdout


def test_commands_refuse_before_they_work(tmp_path: Path, owners: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    repo = str(make_repo(tmp_path / "repo", "timm-resnet"))
    Path("taken.json").write_text("{}")
    done = run("rank", repo, "--data", owners[0], "--out", "taken.json", code=2)
    assert "taken.json exists already" in done.stderr
    done = run("feedback", repo, "--sequence", "taken.json", "--data", owners[0], "--out", "new.json", code=2)
    assert "is refused: it is of no form" in done.stderr
    done = run("tally", repo, "--ballots", "taken.json", "--out", "new.json", code=2)
    assert "0 of 1 ballot files can be counted" in done.stderr
    assert not Path("new.json").exists()
    done = run("clean", repo, "--ballots", "taken.json", "--out", "clean", code=2)
    assert "give --data" in done.stderr
    assert not Path("clean").exists()
