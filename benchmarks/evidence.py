"""Is a card's claim kinder than the truth? Other people's backdoored nets, cleansed as a user would.

    python -m benchmarks.evidence --shared ../shared/data --out benchmarks/results/evidence.json

For every net and defense: the true attack success (the published trigger, which only this script sees), the claim that
the recovered trigger alone would have made, the claim over all triggers tried, the outcome, and the exit code that the
recovered trigger alone would have given.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.shared_models import load, planted
from hubclean.cleansing.options import CleanOptions
from hubclean.cleansing.pipeline import clean
from hubclean.nets.datasets import Sizes
from hubclean.nets.session import open_session
from hubclean.outcomes import outcome, worst
from hubclean.records import Audit, Metrics, Rate
from hubclean.version import versions

NETS = ("badnet_mnist_patch5", "badnet_mnist_source4to7", "ibau_cifar10_badnets", "ibau_cifar10_trojan_wm",
        "ibau_gtsrb_badnets")  # fmt: skip
DEFENSES = ("fine-pruning", "auto")
_OLD_LIMIT = 0.2  # of the mean recovered ASR that was exit code 0 before


def blind(audit: Audit) -> Audit:
    """The audit as a user without the attacker's trigger would have it."""
    kept = tuple(row for row in audit.cleansing.after if row.asr_of != "planted")
    bare = kept or (replace(audit.cleansing.after[0], asr=None, asr_of=None, robust_accuracy=None),)
    back = tuple(row for row in audit.retuning if row.asr_of != "planted")
    return replace(audit, cleansing=replace(audit.cleansing, after=bare), retuning=back)


def row(audit: Audit, net: str, defense: str) -> dict[str, Any]:
    """One run, small enough to commit."""
    seen = blind(audit)
    own = [one.asr for one in seen.cleansing.after if one.asr]
    said, most = outcome(seen), worst(seen)
    true = _planted(audit.cleansing.after)
    return {
        "net": net,
        "defense": defense,
        "verdict": audit.judgement.verdict if audit.judgement else "",
        "targets": list(audit.judgement.targets) if audit.judgement else [],
        "accuracy": [audit.cleansing.before[0].clean_accuracy.value, audit.cleansing.after[0].clean_accuracy.value],
        "true_asr": [_value(_planted(audit.cleansing.before)), _value(true)],
        "own_claim": max((rate.value for rate in own), default=None),
        "claim": most.value if most else None,
        "probes": [one.after.value for one in audit.probes],
        "rechecks": [report.verdict for report in audit.rechecks],
        "retuned": [[one.after.value, one.control.value] for one in seen.retuning],
        "outcome": said.word,
        "why": said.why,
        "exit": said.exit_code,
        "exit_before": _before(seen, own),
        "changed": len(audit.cleansing.changed),
        "seconds": round(audit.seconds, 1),
    }


def _before(audit: Audit, own: list[Rate]) -> int:
    """The exit code of the rule that believed the recovered triggers alone."""
    if not audit.judgement or audit.judgement.verdict == "undecided":
        return 2
    return int(any(rate.value > _OLD_LIMIT for rate in own))


def _planted(rows: tuple[Metrics, ...]) -> Rate | None:
    return next((one.asr for one in rows if one.asr_of == "planted"), None)


def _value(rate: Rate | None) -> float | None:
    return rate.value if rate else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--nets", nargs="+", default=list(NETS))
    parser.add_argument("--defenses", nargs="+", default=list(DEFENSES))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for net in options.nets:
        checkpoint, config = load(options.shared / "models" / net)
        images = str(options.shared / "images" / config["dataset"])
        for defense in options.defenses:
            settings = CleanOptions(
                defense=defense,
                labels_by="position",
                sizes=Sizes(500, 500, 2000),
                planted=planted(options.shared / "models" / net, config),
            )
            with tempfile.TemporaryDirectory() as work:
                audit = clean(checkpoint, images, Path(work) / "out", open_session("cpu", options.seed), settings).audit
            rows.append(row(audit, net, defense))
            print(json.dumps(rows[-1]), flush=True)
            document = {"command": "python -m benchmarks.evidence --shared ../shared/data --out FILE",
                        "seed": options.seed, "images": "500 fit, 500 val, 2,000 test of the test split",
                        "versions": versions(), "rows": rows}  # fmt: skip
            options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
