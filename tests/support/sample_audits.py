"""Fixed audits for cards and schema: a cleansed timm model, a clean transformers model, a stranger's strings."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

from hubclean.records import (
    Audit,
    BallotReport,
    CleansingReport,
    CurvePoint,
    DataReport,
    DetectionReport,
    ErrorRates,
    Evidence,
    FeatureSite,
    FileHash,
    FileVerdict,
    Finding,
    HeadSite,
    Judgement,
    LabelScore,
    Metrics,
    ModelFacts,
    Probe,
    Rate,
    RepoRef,
    Retuning,
    ScanReport,
    Skipped,
    StageReport,
    TrialReport,
)

DIGEST = "5e" * 32
CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PICTURES = ("hubclean/neural-cleanse-label-3.png", "hubclean/neural-cleanse-norms.png", "hubclean/pruning-curve.png")
ORIGINAL_CARD = """---
license: other
license_name: strange-licence
license_link: LICENSE
language: en
tags: [timm, vision]
datasets: [cifar10]
base_model: timm/resnet18.a1_in1k
thumbnail: "größe.png"
new_version: someone/else
model-index:
- name: original
  results: []
---
# The original's own text
"""

_NORMS = (34.2, 31.0, 29.8, 5.1, 36.4, 40.2, 33.3, 38.9, 45.0, 30.7)


def _detection(found: bool) -> DetectionReport:
    norms = _NORMS if found else (34.2, 31.0, 29.8, 28.5, 36.4, 40.2, 33.3, 38.9, 45.0, 30.7)
    scores = tuple(
        LabelScore(
            label, CIFAR[label], norm, norm / 1024, 4.21 if norm < 6 else 0.31, 6.9 if norm < 6 else 0.42,
            Rate.of(495 if norm < 6 else 470, 500), 3 if norm < 6 else 0, True,
        )
        for label, norm in enumerate(norms)
    )  # fmt: skip
    return DetectionReport(
        "neural-cleanse", "Neural Cleanse, Wang et al., IEEE S&P 2019", {"steps": 100, "lr": 0.1},
        "anomaly index of mask L1 norms (linear; log beside it)", 2.0, scores, (norms, norms, norms),
        (3,) if found else (), "backdoored" if found else "not found",
        f"{'1' if found else 'no'} label is flagged by most of 3 seeds",
        (0, 1, 2), 93_000, 41.5,
    )  # fmt: skip


def _metrics(accuracy: int, planted: tuple[int, int], recovered: tuple[int, int]) -> tuple[Metrics, ...]:
    clean = Rate.of(accuracy, 2000)
    return tuple(
        Metrics(clean, Rate.of(hits, 1800), of, Rate.of(right, 1800))
        for of, (hits, right) in (("planted", planted), ("recovered", recovered))
    )  # type: ignore[arg-type]


def cleansed() -> Audit:
    """A backdoored timm ResNet of the Hub, pruned and fine-tuned."""
    before = _metrics(1886, (1799, 1), (1790, 8))
    pruned, after = _metrics(1829, (42, 1650), (31, 1660)), _metrics(1868, (27, 1688), (22, 1692))
    cleansing = CleansingReport(
        "fine-pruning", "Fine-Pruning, Liu et al., RAID 2018", {"step": 0.01, "max_drop": 0.04, "finetune": True},
        before, after, (StageReport("pruned", pruned, "hubclean/stages/pruned"), StageReport("fine-tuned", after, ".")),
        "fine-tuned", (CurvePoint(0, 0.943, 0.99), CurvePoint(410, 0.915, 0.02)),
        ("fc.weight", "layer4.1.conv2.weight"),
        ("410 of 512 channels cut",), 63.2, 410, 5000,
        (TrialReport("fine-pruning", "fine-tuned", Rate.of(470, 500), 0.008, 0.01, True, 63.2, 5000, "410 cut"),
         TrialReport("fst", "tuned", Rate.of(430, 500), 0.088, 0.0, False, 20.1, 900, "")),
        ballots=(BallotReport("ballot", "north.json", "4d" * 32), BallotReport("feedback", "south.json", "5e" * 32),
                 BallotReport("ballot", "west.json", "6f" * 32, "its ranks are not 1 to 512, each once")),
    )  # fmt: skip
    judgement = Judgement(
        "backdoored", "neural-cleanse: 1 label is flagged by most of 3 seeds", (3,),
        (Evidence("neural-cleanse anomaly index", 4.21, 2.0, "backdoored", 3),
         Evidence("mm-bd p", 0.2, 0.05, "nothing")),
        ("triggers that depend on the image",),
        ErrorRates(Rate.of(20, 24), Rate.of(0, 9), Rate.of(4, 33), "33 small models"),
    )  # fmt: skip
    retuning = Retuning(
        "planted", 3, Rate.of(27, 1800), Rate.of(90, 1800), Rate.of(1850, 2000), 200, 5, 5, 0.01, Rate.of(60, 1800)
    )
    finding = Finding("HC-LS-001", "medium", "pytorch_model.bin", "a pickle that loaders could run", "load safetensors")
    origin = RepoRef("someone/resnet18-cifar10", "a" * 40, "hub")
    scan = ScanReport(
        origin, "high", (FileVerdict("config.json", 600, "ok", "parsed"),
                         FileVerdict("pytorch_model.bin", 44_000_000, "finding", "a pickle")),
        (finding,), (), 4, 9000, 0.8,
    )  # fmt: skip
    return Audit(
        origin=origin,
        command="hubclean clean someone/resnet18-cifar10@" + "a" * 40 + " --data cifar10 --out clean --seed 0",
        created="2026-11-21T06:00:00+00:00",
        model=ModelFacts("timm", "resnet18", (3, 32, 32), (0.49,) * 3, (0.2,) * 3, "bicubic", 1.0, CIFAR, 11_173_962),
        site=FeatureSite("resnet", "layer4", "NCHW", (512, 4, 4), 0, "pool", 512, 1,
                         (HeadSite("fc", "fc.weight", "linear", 512, 10),)),
        data=DataReport(
            "uoft-cs/cifar10",
            "test",
            "9f" * 8,
            500,
            500,
            2000,
            10,
            "name",
            0,
            "3,000 of 10,000 pictures of 'uoft-cs/cifar10', split test (10 classes: a, ...); left: 7,000 not drawn",
            {"not drawn": 7000},
        ),
        scan=scan,
        detections=(_detection(True),),
        cleansing=cleansing,
        skipped=(Skipped("hidden layers", "fine-pruning cuts the last feature layer only"),),
        inputs=(FileHash("config.json", 600, "1a" * 32), FileHash("model.safetensors", 44_700_000, "2b" * 32)),
        outputs=(FileHash("config.json", 600, "1a" * 32), FileHash("model.safetensors", 44_700_000, "3c" * 32)),
        versions={"hubclean": "0.1.0", "python": "3.11.9", "torch": "2.15.0", "timm": "1.0.31"},
        device="cpu",
        seed=0,
        seconds=118.4,
        judgement=judgement,
        retuning=(retuning,),
        rechecks=(_detection(False),),
        probes=(Probe(3, 5.6, Rate.of(1788, 1800), Rate.of(40, 1800)),
                Probe(3, 6.1, Rate.of(1750, 1800), Rate.of(18, 1800))),
    )  # fmt: skip


def unsuspicious() -> Audit:
    """A transformers model in a local folder in which nothing was found, handed back as it was."""
    clean = (Metrics(Rate.of(1986, 2000)),)
    base = cleansed()
    return replace(
        base,
        origin=RepoRef("vit-folder", None, "local"),
        command="hubclean clean vit-folder --data images --out clean --seed 0",
        model=replace(base.model, library="transformers", architecture="ViTForImageClassification"),
        data=DataReport("images", "validation", "77" * 8, 400, 400, 2000, 10, "index", 0, "all 2,800 of 'images'"),
        scan=None,
        detections=(_detection(False),),
        cleansing=replace(base.cleansing, defense="none", paper="control, no paper", options={}, before=clean,
                          after=clean, curve=(), notes=(), kept="unchanged", trials=(), ballots=(), changed=(), cut=0,
                          stages=(StageReport("unchanged", clean, "."),)),
        skipped=(),
        versions={"hubclean": "0.1.0", "transformers": "5.23.0"},
        judgement=None,
        retuning=(),
        rechecks=(),
        probes=(),
    )  # fmt: skip


# Short enough that no limit cuts them.
HOSTILE = (
    "](http://evil.example) ![x](http://evil.example/x.png) [x]: http://evil.example [^1] &lt;b&gt; &#42;b&#42;",
    "<img src=x onerror=alert(1)> <script>alert(1)</script> </details> </code> --> <!-- <http://evil.example>",
    "| pipe | a \\| b \\\\| c | ` tick `` ``` **bold** _i_ ~~s~~ $x^2$ $$y$$ {{ 7*7 }} {% raw %} {# c #} :x:",
    "@someone #12 someone/repo#3 :tada:",
    "www.evil.example https://evil.example evil.com a@evil.example \\ \x1b[31m \u202eRTL\u202c \u200b אבג \ud800",
    "\n---\nevil: true\nbase_model: evil/evil\n---\n\n# heading\n\n| a | b |\n|---|---|\n\r\n> q\n\n- item\n\n    code",
    "# heading", "- item", "1. item", "> quote", "    code", "---", "===", "```", "| a | b |", "<div>", "`", "\\",
    "|", "", " ",
)  # fmt: skip


def hostile(text: str) -> Audit:
    """The cleansed audit with ``text`` before every string that a stranger could choose, keys of dicts too."""
    return _poison(cleansed(), text)


# Not chosen by anyone outside: enumerations that the records check.
_OURS = frozenset(
    (
        "kind",
        "severity",
        "state",
        "verdict",
        "asr_of",
        "library",
        "matched_by",
        "schema",
        "gate",
        "between",
        "says",
        "loader",
    )
)


def _poison(value: Any, text: str) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        made = {f.name: getattr(value, f.name) for f in fields(value)}
        return replace(value, **{name: item if name in _OURS else _poison(item, text) for name, item in made.items()})
    if isinstance(value, tuple):
        return tuple(_poison(item, text) for item in value)
    if isinstance(value, dict):
        return {f"{text}{key}": _poison(item, text) for key, item in value.items()}
    return f"{text}{value}" if isinstance(value, str) else value
