"""With ``HF_HUB_OFFLINE``: what lies in the cache of the Hub's client is read, said to be so, and checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from huggingface_hub import constants, hf_hub_download, snapshot_download

import hubclean
from hubclean.cli.main import main
from hubclean.errors import HubcleanError, IntegrityError, TargetError, TransportError
from hubclean.hub.targets import open_target
from support.hub_server import HubServer
from support.scanned_files import TENSOR, safetensors

Files = dict[str, bytes]


TIMM: Files = {"config.json": b'{"architecture": "resnet18"}', "model.safetensors": safetensors(), "README.md": b"# hi"}
SHARDS = [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
INDEX = {"metadata": {"total_size": 12}, "weight_map": {f"t{i}": name for i, name in enumerate(SHARDS)}}
SHARDED: Files = {
    "config.json": b'{"model_type": "vit", "architectures": ["ViTForImageClassification"]}',
    "model.safetensors.index.json": json.dumps(INDEX).encode(),
    **{name: safetensors({f"t{i}": TENSOR["a"]}) for i, name in enumerate(SHARDS)},
}


@pytest.fixture
def offline(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the call on there is no Hub."""

    def leave() -> None:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        hub.log.clear()

    return leave


def folder(cache: Path, name: str = "models--org--model") -> Path:
    return cache / name


def test_everything_works_from_the_cache(hub: HubServer, tmp_path: Path, offline: Callable[[], None]) -> None:
    pytest.importorskip("timm")
    from support.tiny_models import make_repo

    made = make_repo(tmp_path / "made", "timm-resnet", 4)
    commit = hub.create("org/model", {place.name: place for place in made.iterdir()})
    snapshot_download("org/model")
    online = hubclean.scan("org/model")
    offline()
    report = hubclean.scan("org/model")
    assert (report.exit_code, report.origin.kind, report.origin.revision) == (0, "cache", commit)
    assert (report.load_set, report.files) == (online.load_set, online.files)
    shown = CliRunner().invoke(main, ["scan", "org/model"])
    assert f"origin: org/model@{commit} (as the cache holds it; the Hub was not asked)" in shown.output
    assert hubclean.site("org/model").site.heads[0].path == "fc"
    assert hubclean.download("org/model", tmp_path / "out").exit_code == 0
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == (made / "model.safetensors").read_bytes()
    result = hubclean.clean("org/model", None, tmp_path / "clean", detectors=["skip"], retune=False)
    assert result.audit.origin.revision == commit
    assert hub.log == []


@pytest.mark.parametrize("target", ["folder", "snapshots", "commit", "branch"])
def test_ways_to_name_what_is_cached(
    hub: HubServer, fresh_cache: Path, offline: Callable[[], None], target: str
) -> None:
    old = hub.create("org/model", TIMM)
    snapshot_download("org/model")
    hub.commit("org/model", {"more.txt": b"x"})
    hub.commit("org/model", {}, branch="dev")
    new = Path(snapshot_download("org/model", revision="dev")).name
    offline()
    place = folder(fresh_cache)
    named: dict[str, tuple[str, str | None, str]] = {
        "folder": (str(place), None, old),
        "snapshots": (str(place / "snapshots"), None, old),
        "commit": (f"org/model@{old}", None, old),
        "branch": ("org/model", "dev", new),
    }
    name, revision, commit = named[target]
    repo = open_target(name, revision)
    assert str(repo.ref) == f"org/model@{commit}"
    assert len(repo.files()) == len(TIMM) + (commit == new)


def test_what_was_never_fetched_is_named(hub: HubServer, offline: Callable[[], None]) -> None:
    hub.create("org/model", TIMM)
    snapshot_download("org/model")
    offline()
    for target, says in (
        ("org/other", "HF_HUB_OFFLINE is set, so org/other cannot be reached, and it is not in the cache"),
        ("org/model@v2", "does not hold 'v2' of org/model; it holds commits"),
        ("org/model@" + "0" * 40, "does not hold"),
    ):
        with pytest.raises(TransportError, match=says):
            hubclean.scan(target)


def test_a_part_of_a_repo_is_no_verdict(hub: HubServer, offline: Callable[[], None]) -> None:
    hub.create("org/model", SHARDED)
    for path in SHARDED.keys() - {SHARDS[1]}:
        hf_hub_download("org/model", path)
    offline()
    report = hubclean.scan("org/model")
    assert report.exit_code == 2
    assert SHARDS[1] in CliRunner().invoke(main, ["scan", "org/model"]).output


def test_a_configuration_without_weights_is_no_verdict(
    hub: HubServer, tmp_path: Path, offline: Callable[[], None]
) -> None:
    hub.create("org/model", TIMM)
    hf_hub_download("org/model", "config.json")
    offline()
    report = hubclean.download("org/model", tmp_path / "out")
    assert (report.exit_code, report.folder) == (2, None)
    shown = CliRunner().invoke(main, ["scan", "org/model"])
    assert shown.exit_code == 2
    assert "as the cache holds it" in shown.output


def test_the_kept_listing_names_what_is_missing(hub: HubServer, offline: Callable[[], None]) -> None:
    hub.create("org/model", TIMM)
    place = Path(snapshot_download("org/model"))
    if not (place.parents[1] / "trees").is_dir():
        pytest.skip("this client keeps no listing")
    (place / "model.safetensors").unlink()
    offline()
    report = hubclean.scan("org/model")
    reasons = {file.path: file.reason for file in report.files if file.state == "unchecked"}
    assert report.exit_code == 2
    assert "is not in the cache, which holds only a part of org/model@" in reasons["model.safetensors"]


@pytest.mark.parametrize("path", ["config.json", "model.safetensors"])
def test_cached_bytes_gone_bad_are_no_verdict_and_go_nowhere(
    hub: HubServer, tmp_path: Path, offline: Callable[[], None], path: str
) -> None:
    hub.create("org/model", TIMM)
    place = Path(snapshot_download("org/model")) / path
    body = bytearray(place.read_bytes())
    body[-2] ^= 1
    place.resolve().write_bytes(bytes(body))
    offline()
    with pytest.raises(IntegrityError, match="hash"):
        open_target("org/model").fetch([path])
    try:
        code = hubclean.download("org/model", tmp_path / "out").exit_code
    except HubcleanError:
        code = 2
    assert code == 2
    assert list(tmp_path.glob("out")) == []


def test_the_whole_cache_and_its_parts_are_refused_with_a_way_on(hub: HubServer, fresh_cache: Path) -> None:
    hub.create("org/model", TIMM)
    hub.create("org/data", {"a.txt": b"x"}, repo_type="dataset")
    snapshot_download("org/model")
    snapshot_download("org/data", repo_type="dataset")
    for place, says in (
        (fresh_cache, r"a cache of the Hub's client \(models: 1\): name one, as .*models--org--model"),
        (folder(fresh_cache) / "blobs", "a part of a cached repo"),
        (folder(fresh_cache) / "refs", "a part of a cached repo"),
        (folder(fresh_cache, "datasets--org--data"), "one of the Hub's datasets"),
    ):
        with pytest.raises(TargetError, match=says):
            open_target(str(place))
    home = fresh_cache.parent / "home"
    (home / "datasets").mkdir(parents=True)
    (home / "token").write_text("x")
    (fresh_cache / ".locks").mkdir(exist_ok=True)
    fresh_cache.rename(home / "hub")
    with pytest.raises(TargetError, match="name one, as"):
        open_target(str(home))


def test_a_repo_that_looks_like_a_cache_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "models--a--b" / "snapshots").mkdir(parents=True)
    (tmp_path / "models--a--b" / "blobs").mkdir()
    (tmp_path / "models--a--b" / "blobs" / "evil.bin").write_bytes(b"x")
    with pytest.raises(TargetError, match="a cache of the Hub's client"):
        open_target(str(tmp_path))
    (tmp_path / "config.json").write_bytes(b"{}")
    assert [row.path for row in open_target(str(tmp_path)).files()] == ["config.json", "models--a--b/blobs/evil.bin"]
