"""What will be loaded decides: exit codes, the one line that says so, and one answer from all commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from huggingface_hub import hf_hub_download

import hubclean
from hubclean.cli.main import main
from hubclean.cli.text.scan import loaded_line, render_scan
from hubclean.errors import OptionError, RefusedError, UnsafeRepoError
from hubclean.records import ScanReport, from_json, to_json
from hubclean.scanning.engine import scan
from hubclean.scanning.rules import RULES, Problem, finding
from support.hub_server import HubServer
from support.scanned_files import safetensors, written

CODE = b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00id\x85R."
UNKNOWN_CLASS = b"\x80\x02cacme.things\nThing\n)\x81."
UNKNOWN_CALL = b"\x80\x02cacme.things\nfetch\nX\x02\x00\x00\x00id\x85R."
VIT: dict[str, bytes] = {
    "config.json": b'{"model_type": "vit", "architectures": ["ViTForImageClassification"]}',
    "preprocessor_config.json": b"{}",
    "model.safetensors": safetensors(),
    "README.md": b"# A model\n",
}
LORA = {
    "adapter_config.json": b'{"peft_type": "LORA", "base_model_name_or_path": "org/base"}',
    "adapter_model.safetensors": safetensors(),
}
OUTSIDE = ("optimizer.pt", "training_args.bin", "checkpoint-5/pytorch_model.bin", "old/best.pth", "labels.pkl")


@pytest.mark.parametrize("path", OUTSIDE)
@pytest.mark.parametrize(("body", "exit_code"), [(CODE, 1), (UNKNOWN_CALL, 1), (UNKNOWN_CLASS, 0)])
def test_outside_the_load_set_only_what_is_hostile_counts(
    tmp_path: Path, path: str, body: bytes, exit_code: int
) -> None:
    folder = written(tmp_path / "repo", VIT | {path: body})
    assert scan(folder).exit_code == exit_code
    assert scan(folder, loader="all").exit_code == 1


def test_what_nobody_loads_may_stay_not_looked_into(tmp_path: Path) -> None:
    folder = written(tmp_path / "repo", VIT | {"labels.pkl": b"\x1f\x8b\x08broken"})
    assert [scan(folder).exit_code, scan(folder, loader="all").exit_code] == [0, 2]


@pytest.mark.parametrize("body", [CODE, UNKNOWN_CALL, UNKNOWN_CLASS])
def test_in_the_load_set_everything_at_the_gate_counts(tmp_path: Path, body: bytes) -> None:
    files = {path: content for path, content in VIT.items() if path != "model.safetensors"}
    assert scan(written(tmp_path / "repo", files | {"pytorch_model.bin": body})).exit_code == 1


def test_a_finding_below_high_is_never_hostile() -> None:
    for rule in RULES.values():
        for severity in (rule.severity, *rule.others):
            row = finding(Problem(rule.id, "seen", severity=severity), "x")
            assert row.hostile == (rule.hostile and severity in ("high", "critical"))
    assert not finding(Problem("HC-CFG-003", "seen", severity="low", hostile=True), "x").hostile


def test_the_line_says_what_will_be_loaded_and_what_was_not_looked_into(tmp_path: Path) -> None:
    more = {"runs/events.out.tfevents.1": b"\x00\x01", "a.pkl": b"\x1f\x8b\x08", "labels.txt": b"cat"}
    report = scan(written(tmp_path / "repo", VIT | more))
    unread = [file.path for file in report.files if file.state == "unchecked"]
    assert loaded_line(report) == (
        "transformers loads config.json, preprocessor_config.json, model.safetensors: 3 of 3 ok; 4 other files: "
        f"{4 - len(unread)} ok, {len(unread)} not looked into"
    )
    text = render_scan(report)
    assert "every file was checked" not in text
    assert "exit code 0: what transformers loads was checked" in text
    assert "NOT LOOKED INTO, and not loaded by transformers -> --for all counts every file" in text
    plain = render_scan(scan(written(tmp_path / "plain", VIT)))
    assert "exit code 0: every file was checked and nothing was found" in plain


def test_nothing_to_load_is_no_verdict_and_says_what_there_is(tmp_path: Path) -> None:
    config = {"config.json": VIT["config.json"]}
    onnx = scan(written(tmp_path / "onnx", config | {"onnx/model.onnx": b"\x08\x01"}))
    assert (onnx.exit_code, onnx.load_set.loadable, onnx.load_set.note) == (2, False, "ONNX only")
    assert "transformers finds nothing to load here (ONNX only)" in render_scan(onnx)
    keras = scan(written(tmp_path / "tf", config | {"tf_model.h5": b"\x89HDF\r\n\x1a\n" + bytes(99)}))
    assert (keras.exit_code, keras.load_set.note) == (2, "TensorFlow only")
    lacking = json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}).encode()
    shards = {"model.safetensors.index.json": lacking, "model-1.safetensors": safetensors()}
    half = scan(written(tmp_path / "half", config | shards))
    assert half.load_set.files == ("config.json", "model.safetensors.index.json", "model-1.safetensors")
    assert half.exit_code in (1, 2)


@pytest.mark.parametrize(
    ("files", "loader", "loaded"),
    [
        (VIT, "transformers", 3),
        ({"config.json": b'{"architecture": "resnet18"}', "pytorch_model.bin": b""}, "timm", 2),
        (LORA, "peft", 2),
        (LORA | VIT, "transformers", 5),
        ({"open_clip_config.json": b"{}", "open_clip_model.safetensors": safetensors()}, "open_clip", 2),
        ({"best.pt": b"\x80\x02}.", "last.pt": b"\x80\x02}.", "scheduler.pt": b"\x80\x02}."}, "torch", 2),
        ({"config.json": VIT["config.json"], "weights/best.pth": b"\x80\x02}."}, "torch", 2),
        ({"model.pt": b"\x80\x02}.", "norm.npz": b"PK\x05\x06" + bytes(18)}, "torch", 1),
        ({"config.json": b"{", "model.safetensors": safetensors()}, "all", 0),
        ({"model.onnx": b"\x08\x01", "notes.txt": b"a"}, "all", 0),
        ({"config.json": b"{}"}, "all", 0),
    ],
)
def test_the_repo_says_who_loads_it(tmp_path: Path, files: dict[str, bytes], loader: str, loaded: int) -> None:
    chosen = scan(written(tmp_path / "repo", files)).load_set
    assert (chosen.loader, len(chosen.files)) == (loader, loaded)


def test_the_card_decides_between_two(tmp_path: Path) -> None:
    both = VIT | {"open_clip_config.json": b"{}", "open_clip_model.safetensors": safetensors()}
    assert scan(written(tmp_path / "a", both)).load_set.loader == "transformers"
    both["README.md"] = b"---\nwidget:\n" + b"- text: x\n" * 900 + b"library_name: open_clip\n---\n# hi\n"
    assert scan(written(tmp_path / "b", both)).load_set.loader == "open_clip"
    both["README.md"] = b"# no front matter\nlibrary_name: open_clip\n"
    assert scan(written(tmp_path / "c", both)).load_set.loader == "transformers"
    assert scan(tmp_path / "a" / "model.safetensors").load_set.note == "one file, judged whole"
    with pytest.raises(OptionError, match="no loader"):
        scan(tmp_path / "a", loader="keras")  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["labels.pkl", "notes/last.pkl"])
def test_every_command_gives_the_same_answer(hub: HubServer, tmp_path: Path, path: str) -> None:
    for name, body, exit_code in (("bad", CODE, 1), ("odd", b"\x1f\x8b\x08", 0)):
        hub.create(f"org/{name}", VIT | {path: body})
        codes = [hubclean.scan(f"org/{name}").exit_code]
        codes.append(hubclean.download(f"org/{name}", tmp_path / name).exit_code)
        done = CliRunner().invoke(main, ["scan", "--format=sarif", f"org/{name}"])
        codes.append(json.loads(done.output)["runs"][0]["invocations"][0]["exitCode"])
        codes.append(done.exit_code)
        assert codes == [exit_code] * 4
    with hubclean.guard(), pytest.raises(UnsafeRepoError):
        hf_hub_download("org/bad", "config.json")
    with pytest.raises(RefusedError, match="HC-PKL-001"):
        hubclean.clean("org/bad", None, tmp_path / "clean", session=hubclean.open_session("cpu"))
    assert not (tmp_path / "odd" / path).exists()


def test_the_rest_of_a_pickle_that_was_too_long_counts_wherever_it_lies(tmp_path: Path) -> None:
    """A program that unpickles it exists, or it would not be there; what is only broken harms nobody."""
    endless = b"\x80\x02](" + b"K\x01" * 600_000 + b"e."
    report = scan(written(tmp_path / "repo", VIT | {"notes/last.pkl": endless}))
    assert report.exit_code == 2
    assert [row.path for row in report.unchecked] == ["notes/last.pkl"]
    assert "NOT CHECKED" in render_scan(report)
    assert scan(tmp_path / "repo", allow_unchecked=("notes/*",)).exit_code == 0


def test_old_documents_count_every_file() -> None:
    report = {
        "origin": {"repo_id": "a", "revision": None, "kind": "local"}, "gate": "high",
        "files": [{"path": "x", "size": 1, "state": "unchecked", "reason": "odd", "sha256": None}],
        "findings": [], "allowed_unchecked": [], "requests": 1, "bytes_read": 1, "seconds": 0.1,
    }  # fmt: skip
    assert from_json(ScanReport, report).exit_code == 2
    assert from_json(ScanReport, json.loads(json.dumps(to_json(from_json(ScanReport, report))))).exit_code == 2


def test_the_base_of_an_adapter_is_named_and_followed(hub: HubServer, tmp_path: Path) -> None:
    hub.create("org/lora", LORA)
    hub.create("org/base", VIT | {"pytorch_model.bin": CODE})
    report = scan("org/lora")
    assert (report.exit_code, report.load_set.base) == (0, ("org/base",))
    assert ("HC-CFG-003", "info") in [(row.rule, row.severity) for row in report.findings]
    assert "base model org/base" in render_scan(report)
    done = CliRunner().invoke(main, ["scan", "--json", "--follow", "org/lora"])
    assert [(row["target"], row["exit_code"]) for row in json.loads(done.output)["scans"]] == [
        ("org/lora", 0),
        ("hf://org/base", 1),
    ]
    assert done.exit_code == 1
    hub.create(
        "org/path", LORA | {"adapter_config.json": b'{"peft_type": "LORA", "base_model_name_or_path": "../../x"}'}
    )
    assert scan("org/path").exit_code == 1


def test_a_file_stands_for_the_model_that_it_belongs_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "models" / "vit", VIT | {"optimizer.pt": UNKNOWN_CLASS})
    (tmp_path / "alone.pt").write_bytes(b"\x80\x02}.")
    monkeypatch.chdir(tmp_path)
    words = ["scan", "--json", "--", "models/vit/config.json", "models/vit/optimizer.pt", "alone.pt"]
    assert CliRunner().invoke(main, words).exit_code == 1
    done = CliRunner().invoke(main, ["scan", "--with-folder", *words[1:]])
    assert [row["target"] for row in json.loads(done.output)["scans"]] == ["models/vit", "alone.pt"]
    assert done.exit_code == 0, done.output


def test_findings_of_one_rule_in_one_file_are_one_line(tmp_path: Path) -> None:
    names = b"".join(b"cacme.things\nThing%d\n0" % number for number in range(5))
    report = scan(written(tmp_path / "repo", VIT | {"old.pt": b"\x80\x02" + names + b"}."}))
    text = render_scan(report)
    assert text.count("HC-PKL-002") == 1
    assert "old.pt (not loaded): 5 times: refers to acme.things.Thing0" in text
    assert "and 2 more" in text
    assert render_scan(report, verbose=True).count("HC-PKL-002") == 5
