"""``push`` refuses what ``verify`` would find: a card that says something else than the audit beside it."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

import hubclean
from hubclean.cli.main import main
from hubclean.errors import PublishError
from support.hub_server import HubServer
from support.stated import Cleansed


def test_an_edited_card_is_not_published(cleansed: Cleansed, hub: HubServer) -> None:
    assert hubclean.push(cleansed.out, "me/model", dry_run=True).files
    place = cleansed.out / "README.md"
    text = place.read_text(encoding="utf-8")
    place.write_text(text.replace("hf-hub:THIS/REPO", "hf-hub:me/model"), encoding="utf-8")
    assert hubclean.push(cleansed.out, "me/model", dry_run=True).files
    place.write_text(re.sub(r"value: 0\.\d+", "value: 0.9876", text, count=1), encoding="utf-8")
    hub.log.clear()
    with pytest.raises(PublishError, match=r"README\.md line \d+ says .*0\.9876.*changed after `hubclean clean`"):
        hubclean.push(cleansed.out, "me/model", token=hub.write_token, force=True)
    done = CliRunner().invoke(main, ["push", str(cleansed.out), "me/model", "--dry-run"])
    assert (done.exit_code, hub.log) == (2, [])
    assert "README.md line" in done.stderr


def test_a_maintainer_may_add_a_chapter_of_his_own(cleansed: Cleansed, hub: HubServer) -> None:
    place = cleansed.out / "README.md"
    text = place.read_text(encoding="utf-8")
    place.write_text(f"{text}\n## From the maintainer\n\nTrained on my own cats.\n", encoding="utf-8")
    assert hubclean.push(cleansed.out, "me/model", dry_run=True).files
    report = hubclean.verify(cleansed.out, base=cleansed.base)
    card = next(check for check in report.checks if check.name == "card")
    assert (card.state, "own chapter" in " ".join(card.left)) == ("as stated", True)
    place.write_text(f"## From the maintainer\n{text}", encoding="utf-8")
    with pytest.raises(PublishError, match="README"):
        hubclean.push(cleansed.out, "me/model", dry_run=True)
