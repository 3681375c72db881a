"""File names: that collide elsewhere, that leave the folder on Windows, that show something else than they are."""

from __future__ import annotations

from benchmarks.scan.hostile.cases import Case, Files, bad, twin
from benchmarks.scan.hostile.file_bytes import headed
from benchmarks.scan.hostile.ordinary import VIT, chat, diffusion, vit, weights
from benchmarks.scan.hostile.pickle_bytes import EVIL

MAC = "on macOS and Windows both names are one file: the one written last is opened, whatever was looked at"
WINDOWS = "Windows drops the end of the name: the file takes the place of the true one"
SHOWN = "shown as another name: who looks at the listing approves, or runs, another file than he thinks"
CODE_CONFIG = VIT | {"num_labels": 2}


def _names(label: str, files: Files, loader: str) -> Case:
    return bad(label, loader, lambda: vit(dict(files)))


CASES: tuple[Case, ...] = (
    _names("capital-config", {"Config.json": CODE_CONFIG}, MAC),
    _names("capital-weights", {"model.SAFETENSORS": weights("np")}, MAC),
    bad(
        "capital-folder",
        MAC,
        lambda: diffusion({"UNet/config.json": {"_class_name": "UNet2DModel", "sample_size": 99}}),
    ),
    bad(
        "kelvin-sign",
        "macOS folds it to k: both names are one file",
        lambda: chat({"to\u212aenizer_config.json": {"tokenizer_class": "LlamaTokenizerFast", "eos_token": "x"}}),
    ),
    _names("space-at-the-end", {"config.json ": CODE_CONFIG}, WINDOWS),
    _names("dot-at-the-end", {"config.json.": CODE_CONFIG}, WINDOWS),
    _names(
        "stream-of-windows", {"config.json::$DATA": CODE_CONFIG}, "NTFS: the name is the true file's own data stream"
    ),
    _names("backslashes", {"..\\..\\start.bat": "rem\n"}, "on Windows the file is written two folders above"),
    _names("right-to-left", {"weights\u202egnp.py": "import os\n\nos.system('true')\n"}, SHOWN),
    _names("zero-width", {"config\u200b.json": CODE_CONFIG}, SHOWN),
    _names("line-break", {"a\nconfig.json": CODE_CONFIG}, SHOWN),
    _names("terminal-escape", {"a\x1b[2K\x1b[1Aok.txt": "a\n"}, "the terminal deletes a line of the listing"),
    _names("cyrillic", {"\u0441onfig.json": CODE_CONFIG, "m\u043edel.safetensors": weights("np")}, SHOWN),
    _names("full-width", {"config\uff0ejson": CODE_CONFIG}, SHOWN),
    _names("pickle-with-two-endings", {"model.safetensors.bin": EVIL}, "torch.load(weights_only=False)"),
    bad(
        "tensor-twice",
        "parsers differ which of the two counts, so what is checked is not what is loaded",
        lambda: vit(
            {
                "model.safetensors": headed(
                    '{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w":{"dtype":"F32","shape":[2],'
                    '"data_offsets":[8,16]}}',
                    bytes(16),
                )
            }
        ),
    ),
    # twins
    twin("names-with-spaces", "a reader", lambda: vit({"sample images/my cat (1).txt": "a\n", "Résumé.md": "b\n"})),
    twin(
        "other-scripts",
        "a reader",
        lambda: vit({"说明.md": "使用\n", "модель.txt": "описание\n", "日本語/例.txt": "例\n"}),
    ),
    twin(
        "readme-in-two-languages", "a reader", lambda: vit({"README_zh.md": "# 模型\n", "readme-de.md": "# Modell\n"})
    ),
    twin("emoji", "a reader", lambda: vit({"🤗 demo.txt": "a\n", "family 👨\u200d👩\u200d👧.txt": "b\n"})),
    twin("backups", "a reader", lambda: vit({"config.json.bak": VIT, "config (1).json": VIT, "config_old.json": VIT})),
)
