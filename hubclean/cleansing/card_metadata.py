"""The metadata of a card: what the Hub reads, the original's keys first, then what this checkpoint is and measured."""

from __future__ import annotations

import re
from typing import Any

from hubclean import escaping
from hubclean.cleansing import hub_metadata
from hubclean.records import Audit
from hubclean.version import __version__

HUB = "https://huggingface.co"
_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_GUARD = "hubclean/guard.safetensors"
_TAGS, _REMOVED = ("image-classification", "hubclean"), "backdoor-removal"
# What the title says the checkpoint is.
TITLES: dict[str, str] = {
    "audited": "audited",
    "cleansed": "cleansed",
    "covered": "covered, not cleansed",
    "not cleansed": "not cleansed",
    "undecided": "no verdict",
}
# What the original measured or announced holds for the original; ``new_version`` would send readers elsewhere.
NOT_OURS = ("model-index", "new_version")
_FIRST = (
    "license",
    "license_name",
    "license_link",
    "base_model",
    "base_model_relation",
    "library_name",
    "pipeline_tag",
)


def metadata(audit: Audit, original: dict[str, Any], endpoint: str = HUB) -> dict[str, Any]:
    """What the Hub reads: the original's keys with the licence first, then what this checkpoint is and measured."""
    data = {key: value for key, value in original.items() if key not in NOT_OURS}
    if on_hub(audit):
        data |= {"base_model": audit.origin.repo_id, "base_model_relation": "finetune"}
    theirs = original.get("tags")
    if audit.merging:
        merged = [ref.repo_id for ref in (audit.origin, audit.merging.base) if ref.kind == "hub"]
        data |= {"base_model": merged, "base_model_relation": "merge"} if len(merged) == 2 else {}
        theirs = [tag for tag in theirs if not hub_metadata.of_adapter(tag)] if isinstance(theirs, list) else None
    if audit.model.library != "module":
        data["library_name"] = audit.model.library
    data["pipeline_tag"] = "image-classification"
    theirs = [tag for tag in hub_metadata.joined(theirs, ()) if tag != _REMOVED]
    data["tags"] = hub_metadata.joined(theirs, (*_TAGS, _REMOVED) if audit.outcome.word == "cleansed" else _TAGS)
    measured = audit.cleansing.after[0].clean_accuracy.n > 0
    if measured or "metrics" in data:
        data["metrics"] = hub_metadata.joined(original.get("metrics"), ("accuracy",) if measured else ())
    ordered = {key: data.pop(key) for key in _FIRST if key in data}
    return ordered | data | ({"model-index": [_model_index(audit, endpoint)]} if measured else {})


def on_hub(audit: Audit) -> bool:
    """Whether links to the original can be made: a plain repo id, and a commit if there is one."""
    plain = _REPO_ID.fullmatch(audit.origin.repo_id) and re.fullmatch(r"[0-9a-f]{40}|", audit.origin.revision or "")
    return audit.origin.kind != "local" and plain is not None


def _model_index(audit: Audit, endpoint: str) -> dict[str, Any]:
    done = audit.cleansing.after[0]
    metrics: list[dict[str, Any]] = []
    guard = f"; only behind {_GUARD}" if audit.cleansing.guard == _GUARD else ""
    for kind, title, value in (
        ("accuracy", "Clean accuracy", done.clean_accuracy),
        ("attack_success_rate", f"Attack success rate of the {done.asr_of} trigger", done.asr),
    ):
        if value is not None and value.n:
            interval = f"95 % interval {value.low:.4f} to {value.high:.4f}{guard}"
            metrics.append({"type": kind, "value": round(value.value, 4), "name": f"{title} (n={value.n}, {interval})"})
    repo_id = re.split("[:@]", audit.data.source)[0]  # org/data:config@revision
    known = repo_id if _REPO_ID.fullmatch(repo_id) else None
    result: dict[str, Any] = {
        "task": {"type": "image-classification", "name": "Image Classification"},
        "dataset": {"type": known or "custom", "name": escaping.printable(audit.data.source), "split": "test"},
        "metrics": metrics,
    }
    if on_hub(audit):
        at = f"/tree/{audit.origin.revision}" if audit.origin.revision else ""
        made_by = f"hubclean {escaping.printable(audit.versions.get('hubclean', __version__), 40)}, from this original"
        result["source"] = {"name": made_by, "url": f"{endpoint}/{audit.origin.repo_id}{at}"}
    name = escaping.printable(audit.origin.repo_id.rsplit("/", 1)[-1], 100)
    return {"name": f"{name}, {TITLES[audit.outcome.word]}", "results": [result]}
