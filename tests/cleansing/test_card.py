from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt
from markdown_it.token import Token

from hubclean.cleansing.card import environment, rate, render_card
from hubclean.errors import HubcleanError
from hubclean.records import Audit, Rate, RepoRef, Skipped
from support.sample_audits import CIFAR, DIGEST, HOSTILE, ORIGINAL_CARD, PICTURES, cleansed, hostile, unsuspicious
from tools.goldens import goldens

RENDERER = MarkdownIt("gfm-like", {"html": True, "linkify": True})
HOME = "https://huggingface.co/someone/resnet18-cifar10/tree/" + "a" * 40


def card(audit: Audit | None = None, original: str | None = ORIGINAL_CARD) -> str:
    return render_card(audit or cleansed(), original, PICTURES, DIGEST)


def front(text: str) -> dict[str, Any]:
    return dict(ModelCard(text, ignore_metadata_errors=False).data.to_dict())


def tokens(text: str) -> list[Token]:
    body = text.split("\n---\n", 1)[1]
    flat: list[Token] = []
    for token in RENDERER.parse(body):
        flat += [token, *(token.children or [])]
    return flat


def shape(text: str) -> list[str]:
    """Everything that is structure: tokens without their text, raw HTML and link targets kept."""
    kept = []
    for token in tokens(text):
        if token.type in ("html_block", "html_inline"):
            kept.append(re.sub(r"\(\d+\)", "", token.content))
        elif token.type not in ("text", "inline", "code_inline", "softbreak"):
            kept.append(f"{token.type} {token.attrs.get('href', '')}{token.attrs.get('src', '')}")
    return [row for row in kept if row not in ("<code>", "</code>")]


@pytest.mark.parametrize("place", goldens(), ids=lambda place: place.name)
def test_generated_files_are_up_to_date(place: Path) -> None:
    assert place.read_text(encoding="utf-8") == goldens()[place], "see tools/goldens.py"


def test_licence_first_then_what_this_checkpoint_is() -> None:
    data = yaml.safe_load(card().split("---\n")[1])
    assert list(data)[:7] == [
        "license", "license_name", "license_link", "base_model", "base_model_relation", "library_name", "pipeline_tag",
    ]  # fmt: skip
    assert (data["license"], data["license_name"], data["license_link"]) == ("other", "strange-licence", "LICENSE")
    assert (data["base_model"], data["base_model_relation"]) == ("someone/resnet18-cifar10", "finetune")
    assert (data["library_name"], data["pipeline_tag"]) == ("timm", "image-classification")


def test_original_keys_are_kept_and_tags_joined() -> None:
    data = front(card())
    assert data["language"] == "en"
    assert data["datasets"] == ["cifar10"]
    assert data["thumbnail"] == "größe.png"
    assert data["tags"] == ["timm", "vision", "image-classification", "hubclean", "backdoor-removal"]
    assert data["metrics"] == ["accuracy"]


def test_results_are_ours_and_the_hub_client_reads_them() -> None:
    results = ModelCard(card(), ignore_metadata_errors=False).data.eval_results
    assert results is not None
    found = {result.metric_type: result.metric_value for result in results}
    assert found == {"accuracy": 0.934, "attack_success_rate": 0.015}
    assert results[0].metric_name is not None
    assert "n=2000" in results[0].metric_name
    assert results[0].dataset_split == "test"
    assert results[0].source_url == HOME


def test_what_speaks_of_the_original_is_dropped_and_said() -> None:
    text = card()
    assert "new_version" not in front(text)
    assert "except `model-index`, `new_version`, which speak of the original" in text


def test_a_local_original_has_no_base_model() -> None:
    text = render_card(unsuspicious(), None, (), DIGEST)
    assert not {"base_model", "base_model_relation"} & front(text).keys()
    assert "huggingface.co" not in text
    assert "states no licence" in text
    assert front(text)["library_name"] == "transformers"


def test_verdicts_name_detector_threshold_and_target() -> None:
    assert "**Backdoor found by `neural-cleanse`**, target label 3 (`cat`), at threshold 2" in card()
    assert "No backdoor found by `neural-cleanse` at threshold 2 (anomaly index" in card(unsuspicious())
    undecided = replace(cleansed().detections[0], verdict="undecided", targets=(), reason="too few labels")
    text = card(replace(cleansed(), detections=(undecided,)))
    assert "`neural-cleanse` could not decide at threshold 2" in text
    assert "too few labels" in text


def test_pairs_are_said_as_who_becomes_what() -> None:
    audit = cleansed()
    found = replace(audit.detections[0], detector="source-specific", pairs=((1, 3),))
    assert audit.judgement is not None
    judged = replace(audit.judgement, verdict="backdoored", targets=(3,), pairs=((1, 3),))
    text = card(replace(audit, detections=(found,), judgement=replace(judged, targets=(2, 3))))
    said = f"images of class 1 (`{audit.model.labels[1]}`) become class 3 (`cat`)"
    assert f"**Backdoor found by `source-specific`**: {said}, at threshold 2" in text
    assert f"**backdoored**: {said}; target label 2" in text


def test_the_table_has_every_stage_with_n_and_interval() -> None:
    text = card()
    assert "| | before | `pruned` | after: `fine-tuned` (this checkpoint) |" in text
    assert "| clean accuracy | 94.3 % [93.2, 95.2], n=2000 | 91.5 % [90.1, 92.6], n=2000 | 93.4 % " in text
    for row in ("attack success, planted", "attack success, recovered", "robust accuracy, planted"):
        assert f"| {row} trigger | " in text


def test_a_trigger_that_still_works_is_said() -> None:
    audit = cleansed()
    broken = replace(audit, cleansing=replace(audit.cleansing, after=audit.cleansing.before))
    assert "This trigger still works: the backdoor is not removed." in card(broken)
    assert "still works" not in card()


def test_what_no_detector_confirmed_is_not_called_a_backdoor() -> None:
    audit = cleansed()
    (detection,) = audit.detections
    recovered = tuple(metrics for metrics in audit.cleansing.before if metrics.asr_of == "recovered")
    open_case = replace(
        audit,
        detections=(replace(detection, verdict="undecided", targets=()),),
        judgement=None,
        cleansing=replace(audit.cleansing, before=recovered, after=recovered),
    )
    assert recovered
    assert "This trigger still works.** Whether it is a backdoor was not decided." in card(open_case)
    assert "not removed" not in card(open_case)


def test_without_a_trigger_the_rate_is_not_invented() -> None:
    text = card(unsuspicious())
    assert "Attack success rate: not measured" in text
    assert "| attack success" not in text


def test_what_was_skipped_is_listed() -> None:
    audit = replace(cleansed(), skipped=(Skipped("detection", "not asked for"),))
    assert "- detection: not asked for" in card(audit)


def test_options_data_versions_and_command_are_there() -> None:
    text = card()
    options = cleansed().detections[0].options
    assert options
    assert all(f"`{name}` `{value}`" in text for name, value in options.items()), "how the detector was set"
    for part in ("| `max_drop` | `0.04` |", "`uoft-cs/cifar10`", "| `timm` | `1.0.31` |", cleansed().command):
        assert part in text
    assert "timm.create_model(" in text
    assert "AutoModelForImageClassification.from_pretrained(" in card(unsuspicious())


def test_pictures_have_alternative_texts() -> None:
    images = [token for token in tokens(card()) if token.type == "image"]
    assert [token.attrs["src"] for token in images] == [PICTURES[1], PICTURES[0], PICTURES[2]]
    assert "label 3 (cat)" in images[1].content
    assert all(len(token.content) > 20 for token in images)


@pytest.mark.parametrize("path", ["/etc/x.png", "../x.png", "a b.png", "x.svg", "x).png", "a/../b.png"])
def test_only_plain_picture_paths(path: str) -> None:
    with pytest.raises(ValueError, match="no plain path"):
        render_card(cleansed(), None, (path,), DIGEST)


def test_the_word_safe_is_never_a_claim() -> None:
    for audit in (cleansed(), unsuspicious()):
        assert not re.search(r"\bsafe(ly|ty)?\b", card(audit), re.I)


def test_the_snippet_verifies_and_notices_a_changed_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hubclean").mkdir()
    (tmp_path / "config.json").write_bytes(b"{}")
    listed = [{"path": "config.json", "sha256": hashlib.sha256(b"{}").hexdigest()}]
    evidence = json.dumps({"outputs": listed}).encode()
    (tmp_path / "hubclean" / "audit.json").write_bytes(evidence)
    text = render_card(cleansed(), None, (), hashlib.sha256(evidence).hexdigest())
    snippet = next(t.content for t in tokens(text) if t.type == "fence" and "hashlib" in t.content)
    monkeypatch.chdir(tmp_path)
    exec(snippet, {})
    (tmp_path / "config.json").write_bytes(b"{ }")
    with pytest.raises(AssertionError, match=r"config\.json"):
        exec(snippet, {})


def test_many_labels_and_files_stay_short() -> None:
    audit = cleansed()
    detection = audit.detections[0]
    scores = tuple(replace(detection.scores[0], label=k, norm=50.0 + k) for k in range(1000))
    audit = replace(
        audit,
        detections=(replace(detection, scores=scores, targets=(817,)),),
        outputs=audit.outputs * 500,
    )
    text = card(audit)
    assert "| 817 | 867" in text
    assert text.count("0 of 3") <= 12
    assert "and 800 more, in the audit" in text


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_audit_has_the_structure_of_an_honest_one(text: str) -> None:
    audit, honest = hostile(text), cleansed()
    audit = replace(audit, origin=honest.origin, data=replace(audit.data, source=f"{text} "))
    made = card(audit)
    assert shape(made) == shape(card())
    assert front(made).keys() == front(card()).keys()
    assert front(made)["model-index"][0]["results"][0]["source"]["url"] == HOME
    assert "49" not in made.split("\n---\n")[1].replace("0.49", "")
    assert not set("\x1b\u202e\u200b\r\ud800") & set(made)
    made.encode("utf-8")


@pytest.mark.parametrize("repo_id", ["a/b\n- x: y", "a/b) [x](http://evil.example", "a", "../a", "a/b/c", *HOSTILE])
def test_a_hostile_repo_id_or_commit_gets_no_link(repo_id: str) -> None:
    for origin in (RepoRef(repo_id, "a" * 40, "hub"), RepoRef("a/b", f"{repo_id})", "hub")):
        text = card(replace(cleansed(), origin=origin), original=None)
        assert not {"base_model", "base_model_relation"} & front(text).keys()
        hrefs = {token.attrs["href"] for token in tokens(text) if token.type == "link_open"}
        assert hrefs == {"hubclean/audit.json"}
        assert [row for row in shape(text) if "heading" in row] == [row for row in shape(card()) if "heading" in row]


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_front_matter_values_stay_values(value: str) -> None:
    values = {"mine": value, "extra": [value, {"k": value}]}
    made = card(original="---\n" + yaml.safe_dump({"license": value, **values}) + "---\n")
    data = yaml.safe_load(made.split("---\n", 1)[1].split("\n---\n")[0])
    assert {key: data[key] for key in values} == values
    assert data.get("license", "other") == "other"
    assert shape(made) == shape(card(original="---\nlicense: nobody's\n---\n")) or not value.strip()
    assert not set("\x1b\u202e\u200b\ud800") & set(made)
    ModelCard(made, ignore_metadata_errors=False)


@pytest.mark.parametrize("expression", ["x", "x ~ '!'", "x | upper", "x | safe", "[x]", "x | string | trim", "x | e"])
def test_a_template_that_forgets_to_escape_is_harmless(expression: str) -> None:
    made = environment().from_string("{{ %s }}" % expression).render(x="<b>[a](b) *c*")  # noqa: UP031
    assert "<" not in made
    assert "](" not in made
    assert "*" not in made


def test_the_template_cannot_reach_python() -> None:
    from jinja2.exceptions import SecurityError, UndefinedError

    with pytest.raises(SecurityError):
        environment().from_string("{{ x.__class__.__mro__ }}").render(x="")
    with pytest.raises(UndefinedError):
        environment().from_string("{{ missing }}").render()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Rate(0.982, 2000, 0.975, 0.987), "98.2 % [97.5, 98.7], n=2000"),
        (Rate.of(0, 50), "0.0 % [0.0, 7.1], n=50"),
        (Rate.of(9999, 10000), "99.99 % [99.9, 99.998], n=10000"),
        (Rate.of(0, 0), "not measured"),
        (None, "not measured"),
    ],
)
def test_rates_never_round_to_certainty(value: Rate | None, shown: str) -> None:
    assert rate(value) == shown


def test_a_missing_template_folder_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("hubclean.resources.PACKAGE", tmp_path / "a" / "b")
    environment.cache_clear()
    with pytest.raises(HubcleanError, match="model_cards"):
        card()
    environment.cache_clear()


def test_labels_are_shown_by_name_or_number() -> None:
    audit = cleansed()
    detection = replace(audit.detections[0], targets=(3, 99))
    assert "target label 3 (`cat`), 99, at" in card(replace(audit, detections=(detection,)))
    assert CIFAR[3] == "cat"
