"""File names once more."""

from __future__ import annotations

from benchmarks.scan.hostile.cases import Case, Files, bad, twin
from benchmarks.scan.hostile.ordinary import VIT, chat, timm, vit, weights

MAC = "on macOS and Windows both names are one file: the one written last is opened, whatever was looked at"
WINDOWS = "on Windows the name means another file, or a device"
SHOWN = "shown as another name: who looks at the listing approves another file than he thinks"


def _names(label: str, files: Files, loader: str) -> Case:
    return bad(label, loader, lambda: vit(dict(files)))


CASES: tuple[Case, ...] = (
    bad("capital-tokenizer", MAC, lambda: chat({"Tokenizer_Config.json": {"tokenizer_class": "X"}})),
    bad("capital-weights-of-timm", MAC, lambda: timm({"Model.safetensors": weights("np")})),
    _names("long-s", {"model.\u017fafetensors": weights("np")}, "macOS folds it to s: both names are one file"),
    _names("folder-with-a-space", {"onnx /config.json": VIT, "onnx/config.json": VIT}, WINDOWS),
    _names("no-break-space", {"config.json\u00a0": VIT}, SHOWN),
    _names("soft-hyphen", {"con\u00adfig.json": VIT}, SHOWN),
    _names("isolate", {"a\u2067nosj.\u2069gifnoc": VIT}, SHOWN),
    _names("tag-signs", {"config\U000e0041.json": VIT}, SHOWN),
    _names("greek", {"c\u03bfnfig.json": VIT}, SHOWN),
    _names("drive", {"C:start.bat": "rem\n"}, WINDOWS),
    bad(
        "data-stream",
        "NTFS: the name is the true file's own data stream, which is overwritten",
        lambda: chat({"tokenizer_config.json::$DATA": {"tokenizer_class": "X"}}),
    ),
    _names("back-space", {"evil\b\b\b\bgood.txt": "a\n"}, "the terminal overwrites the name"),
    _names("backslash-folder", {"code\\..\\..\\run.cmd": "rem\n"}, "on Windows the file is written above the folder"),
    _names("slash-that-is-none", {"onnx\u2215model.onnx": "a\n"}, SHOWN),
    # twins
    twin(
        "long-and-dotted",
        "a reader",
        lambda: vit({"results.v1.2/eval.2024-05-01.json": {"accuracy": 0.9}, "v1..2.txt": "a\n"}),
    ),
    twin(
        "signs",
        "a reader",
        lambda: vit({"loss=0.1,acc=90%.txt": "a\n", "[demo] #1 & more!.md": "b\n", "a+b~c@d.txt": "c\n"}),
    ),
    twin("arabic-and-hebrew", "a reader", lambda: vit({"نموذج.md": "a\n", "מודל.txt": "b\n"})),
    twin("accents", "a reader", lambda: vit({"modèle/détails.json": {"a": 1}, "größe.txt": "b\n"})),
)
