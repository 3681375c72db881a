"""Which files do the real loaders ask a Hub for? Writes the fixtures of the load set's tests.

PYTHONPATH=.:tests python -m benchmarks.scan.ordinary.loaders DIR --python BIN --out FOLDER

FOLDER is tests/scanning/fixtures/request_logs; DIR is what ``generate.py`` wrote; BIN is the Python of an environment
with the libraries whose requests are logged. Every case (a kind of repo, a call) is a repo of its own on a Hub on
loopback, so no case profits from the cache of another. ``repos.json`` holds what a load set is drawn from: the listing
and the small configs of each kind; then a file for each library and version: for each call the files that were asked
for and there, those asked for in vain, and the folders listed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

CONFIGS = (".json", "README.md")
LARGEST = 6000
SKIPPED = ("trainer_state.json", "all_results.json", "tokenizer.json", "vocab.json")
BASE = "google/vit-base-patch16-224-in21k"
LANGUAGE = ("openai-clip-vit-base", "google-siglip-base", "google-siglip2-large-tokenizer")
PLAIN = (
    "google-vit-base",
    "microsoft-resnet-50",
    "microsoft-swin-tiny",
    "facebook-convnext-tiny",
    "facebook-deit-base",
    "apple-mobilevit-small",
    "facebook-dinov2-small",
    "microsoft-beit-bin-only",
    "nvidia-segformer",
    "hustvl-yolos-detector",
    "vision-language-chat",
    "trainer-push",
    "trainer-push-with-checkpoints",
    "trainer-push-bin",
    "autotrain",
    "falconsai-nsfw",
    "huggingpics",
    "accelerate-states",
    "trainer-push-old-and-new-weights",
    "trainer-push-with-scripts",
    "sharded-safetensors",
    "sharded-bin",
    "fp16-variants",
    "onnx-beside",
    "tensorflow-beside",
    "torchscript-beside",
    *LANGUAGE,
)
CASES: dict[str, tuple[tuple[str, str], ...]] = {
    "transformers": (
        *((kind, "model") for kind in PLAIN),
        *((kind, "processor") for kind in PLAIN),
        *((kind, "tokenizer") for kind in LANGUAGE),
        ("google-vit-base", "pipeline"),
        ("trainer-push", "pipeline"),
        ("google-vit-base", "pickle"),
        ("sharded-bin", "pickle"),
        ("fp16-variants", "fp16"),
        ("fp16-variants", "fp16-pickle"),
        ("subfolders", "subfolder"),
        ("peft-lora", "model"),
        ("peft-lora", "processor"),
        ("xenova", "model"),
        ("tensorflow-transformers-only", "model"),
    ),
    "timm": tuple(
        (kind, "timm") for kind in ("timm-push-to-hub", "timm-safetensors-vit", "timm-bin-only", "timm-training-output")
    ),
    "peft": (("peft-lora", "peft"), ("peft-lora-bin", "peft"), ("clip-finetuned-lora-beside", "peft-subfolder")),
    "open_clip": (("open-clip", "open-clip"), ("open-clip", "open-clip-tokenizer")),
}


def auto(kind: str) -> Any:
    """The class that a user of such a repo takes."""
    import transformers as t

    name = {"nvidia-segformer": "SemanticSegmentation", "hustvl-yolos-detector": "ObjectDetection"}.get(
        kind, "ImageClassification"
    )
    if kind in (*LANGUAGE, "facebook-dinov2-small"):
        return t.AutoModel
    return t.AutoModelForImageTextToText if kind == "vision-language-chat" else getattr(t, f"AutoModelFor{name}")


def loaded(kind: str, call: str, repo: str) -> None:
    """Load ``repo`` as the call says; what it returns is dropped."""
    import transformers as t

    if call.startswith("open-clip"):
        import open_clip

        made = open_clip.get_tokenizer if "tokenizer" in call else open_clip.create_model_from_pretrained
        made(f"hf-hub:{repo}")
    elif call == "timm":
        import timm

        timm.create_model(f"hf-hub:{repo}", pretrained=True)
    elif call.startswith("peft"):
        import peft

        base = t.AutoModelForImageClassification.from_pretrained(BASE)
        peft.PeftModel.from_pretrained(base, repo, **({"subfolder": "adapter"} if "subfolder" in call else {}))
    else:
        calls: dict[str, Callable[[], Any]] = {
            "model": lambda: auto(kind).from_pretrained(repo),
            "processor": lambda: t.AutoProcessor.from_pretrained(repo) if kind in (*LANGUAGE, "vision-language-chat")
            else t.AutoImageProcessor.from_pretrained(repo),
            "tokenizer": lambda: t.AutoTokenizer.from_pretrained(repo),
            "pipeline": lambda: t.pipeline("image-classification", repo),
            "pickle": lambda: auto(kind).from_pretrained(repo, use_safetensors=False),
            "fp16": lambda: auto(kind).from_pretrained(repo, variant="fp16"),
            "fp16-pickle": lambda: auto(kind).from_pretrained(repo, variant="fp16", use_safetensors=False),
            "subfolder": lambda: auto(kind).from_pretrained(repo, subfolder="base"),
        }  # fmt: skip
        calls[call]()


def child(library: str) -> None:
    """All cases of a library in one process; their errors, and the library's version, as JSON."""
    import importlib
    import importlib.metadata

    try:
        importlib.import_module(library)
    except ImportError as error:
        print(json.dumps({"missing": str(error)}))
        return
    errors = {}
    for kind, call in CASES[library]:
        try:
            loaded(kind, call, f"org/{kind}.{call}")
        except Exception as error:
            errors[f"{kind}.{call}"] = f"{type(error).__name__}: {error}".partition("\n")[0][:160]
    name = {"open_clip": "open_clip_torch"}.get(library, library)
    versions = {one: importlib.metadata.version(one) for one in (name, "huggingface_hub", "transformers")}
    print(json.dumps({"version": versions.pop(name), "with": versions, "errors": errors}))


def listing(folder: Path) -> dict[str, Any]:
    """What a load set is drawn from: names and sizes, and the small configs."""
    files = sorted(place for place in folder.rglob("*") if place.is_file())
    configs = {}
    for place in files:
        name = place.relative_to(folder).as_posix()
        if (
            name.endswith(CONFIGS)
            and place.name not in SKIPPED
            and place.stat().st_size <= LARGEST
            and "checkpoint-" not in name
        ):
            text = place.read_text()
            configs[name] = text[: text.find("\n---", 4) + 5] if name.endswith(".md") else text
    return {
        "files": {place.relative_to(folder).as_posix(): place.stat().st_size for place in files},
        "configs": configs,
    }


def logged(log: list[Any], case: str) -> dict[str, Any]:
    """Of one case: files there, files asked for in vain, folders listed."""
    rows: dict[str, list[str]] = {"found": [], "missing": [], "listed": []}
    for one in log:
        if one.where != "hub" or f"/{case}/" not in one.path + "/":
            continue
        path = unquote(one.path)
        if "/resolve/" in path:
            file = path.split("/resolve/", 1)[1].partition("/")[2].partition("?")[0]
            key = "missing" if one.status == 404 else "found"
        elif "/tree/" in path:
            key, file = "listed", path.split("/tree/", 1)[1].partition("/")[2].partition("?")[0] or "."
        else:
            continue
        if file not in rows[key]:
            rows[key].append(file)
    return {key: sorted(files) for key, files in rows.items()}


def run(folder: Path, python: str, library: str) -> dict[str, Any] | None:
    """The log of one library of one environment."""
    from support.hub_server import HubServer

    with HubServer() as hub, tempfile.TemporaryDirectory() as home:
        for kind, call in CASES[library]:
            hub.create(f"org/{kind}.{call}", files_of(folder / kind))
        hub.create(BASE, files_of(folder / "google-vit-base"))
        env = hub.env(Path(home)) | {
            "HF_HUB_DISABLE_XET": "1",
            "DISABLE_SAFETENSORS_CONVERSION": "1",
            "CUDA_VISIBLE_DEVICES": "",
        }
        env |= {"NO_PROXY": "127.0.0.1,127.0.0.2,localhost", "no_proxy": "127.0.0.1,127.0.0.2,localhost"}
        env["PYTHONPATH"] = str(Path(__file__).parents[3])
        command = [python, "-m", "benchmarks.scan.ordinary.loaders", "--child", library]
        done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
        said = json.loads(done.stdout.splitlines()[-1])
        if "missing" in said:
            print(library, said["missing"], file=sys.stderr)
            return None
        errors = said.pop("errors")
        cases = {}
        for kind, call in CASES[library]:
            case = f"{kind}.{call}"
            cases[case] = {"kind": kind, "call": call, **logged(hub.log, case), "error": errors.get(case)}
        if library == "peft":
            cases["base"] = {"kind": "google-vit-base", "call": "base model", **logged(hub.log, BASE), "error": None}
    return {"library": library, **said, "cases": cases}


def files_of(folder: Path) -> dict[str, Path]:
    return {place.relative_to(folder).as_posix(): place for place in folder.rglob("*") if place.is_file()}


def main() -> None:
    """Serve, load, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--library", nargs="*", default=list(CASES))
    parser.add_argument("--child")
    options = parser.parse_args()
    if options.child:
        sys.stdout.flush()
        child(options.child)
        return
    benign = options.folder / "benign"
    options.out.mkdir(parents=True, exist_ok=True)
    kinds = sorted({kind for cases in CASES.values() for kind, _ in cases})
    repos = {kind: listing(benign / kind) for kind in kinds}
    (options.out / "repos.json").write_text(json.dumps(repos, indent=1, ensure_ascii=True) + "\n")
    for library in options.library:
        found = run(benign, options.python, library)
        if found:
            place = options.out / f"{library}-{found['version']}.json"
            place.write_text(json.dumps(found, indent=1) + "\n")
            failed = [name for name, case in found["cases"].items() if case["error"]]
            print(
                f"{place.name}: {len(found['cases'])} cases, with an error: {', '.join(failed) or 'none'}",
                file=sys.stderr,
            )


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
