"""Settings of the Flower apps, clients made of them, and what a server writes; none of it needs Flower."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubclean import registry
from hubclean.cleansing import pipeline
from hubclean.cleansing.options import CleanOptions
from hubclean.errors import DataError, OptionError
from hubclean.federated import settings
from hubclean.federated.cleansing import FederatedRounds
from hubclean.federated.training import FederatedTraining
from hubclean.hub import audited_folder
from hubclean.nets.session import open_session
from support.crowds import Here
from support.flower_config import APP, HOSTILE_APP, NODES, config


def test_the_apps_list_every_option(place: Path, tmp_path: Path) -> None:
    for app in (APP, HOSTILE_APP):
        rows = config(place, tmp_path, app)
        settings.read_settings(rows)
        for part, cls in (("cleanse", FederatedRounds), ("train", FederatedTraining)):
            listed = {key.removeprefix(f"{part}.").replace("-", "_") for key in rows if key.startswith(f"{part}.")}
            assert listed == {row.name for row in registry.options_of(cls)}
    assert (HOSTILE_APP / "pyproject.toml").read_text().count("hostile_clients.app:app") == 1


def test_settings_are_checked(place: Path, tmp_path: Path) -> None:
    rows = config(place, tmp_path / "out")
    with pytest.raises(OptionError, match="job must be one of"):
        settings.read_settings(rows | {"job": "play"})
    with pytest.raises(OptionError, match="is no int"):
        settings.read_settings(rows | {"seed": "x"})
    with pytest.raises(OptionError, match="lacks 'model'"):
        settings.read_settings({key: value for key, value in rows.items() if key != "model"})
    with pytest.raises(OptionError, match="timeout above 0"):
        settings.read_settings(rows | {"timeout": 0.0})
    with pytest.raises(OptionError, match="names no folder"):
        settings.out_folder(settings.read_settings(rows | {"out": ""}))


def test_options_of_a_part_without_those_left_empty() -> None:
    rows = {"cleanse.max-drop": "", "cleanse.adjust-drop": 0.5, "train.eta": 1.0, "seed": 3}
    assert settings.options_for(rows, "cleanse") == {"adjust_drop": "0.5"}
    given = registry.values_of(FederatedRounds, settings.options_for(rows, "cleanse"))
    assert given == {"adjust_drop": 0.5}


def test_a_node_has_images_of_its_own_or_its_part_of_one_set(place: Path, tmp_path: Path) -> None:
    shared = settings.read_settings(config(place, tmp_path / "out"))
    sizes = []
    for node in range(NODES):
        made = settings.participant(shared, {"partition-id": node, "num-partitions": NODES})
        sizes.append(len(made.images))
    assert sizes == [16, 16, 16]
    with pytest.raises(OptionError, match="partition-id 3"):
        settings.participant(shared, {"partition-id": 3, "num-partitions": NODES})
    private = settings.read_settings(config(place, tmp_path / "out", data="", partition="none"))
    assert len(settings.participant(private, {"data": str(place / "data")}).images) == 48
    with pytest.raises(DataError, match="this client has no images"):
        settings.participant(private, {})


def test_a_defense_that_is_ready_goes_through_clean(place: Path, tmp_path: Path) -> None:
    shared = settings.read_settings(config(place, tmp_path / "out"))
    nodes = [{"partition-id": node, "num-partitions": NODES} for node in range(NODES)]
    crowd = Here({f"{number}": settings.participant(shared, node) for number, node in enumerate(nodes)})
    defense = FederatedRounds(crowd, step=0.5, max_drop=1.0, rounds=0, adjust=False)
    options = CleanOptions(("skip",), defense.name, retune=False, ready=defense, command="flwr run it")
    pipeline.clean(str(place / "model"), None, tmp_path / "out", open_session("cpu"), options)
    audit, card, _ = audited_folder.check_folder(tmp_path / "out")
    assert audit.command == "flwr run it"
    assert audit.cleansing.defense == "federated-rounds"
    assert [one.file for one in audit.cleansing.ballots] == [f"client {n}" for n in range(NODES)] * 2
    assert b"client 2" in card
