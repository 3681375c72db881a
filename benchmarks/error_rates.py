"""How the one verdict did on the models of a bench: the error rates that audits and cards print beside it.

    python -m benchmarks.error_rates benchmarks/results/bench.jsonl --out model_cards/error_rates.json

Counted are clean twins, and backdoored models whose attack took (``planting.verify_planted``). They hold for one rule
of ``verdict.judge``; without a file of its rule nothing is printed.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from hubclean.cleansing.verdict import RULE
from hubclean.json_records import to_json
from hubclean.lab.bench import rows
from hubclean.lab.bench.plans import CLEAN
from hubclean.measurements import ErrorRates, Rate


def rates(held: Iterable[rows.Row], source: str) -> ErrorRates:
    """Count verdicts over a bench's rows.

    Args:
        source: the file of the rows, as it is printed.

    Raises:
        ValueError: no verdict of a clean or none of a backdoored model.
    """
    held = list(held)
    took = {row.case for row in held if isinstance(row, rows.ModelRow) and row.took}
    verdicts = [row for row in held if isinstance(row, rows.VerdictRow) and row.case in took]
    clean = [row for row in verdicts if row.case.attack == CLEAN]
    bad = [row for row in verdicts if row.case.attack != CLEAN]
    if not clean or not bad:
        raise ValueError("error rates need verdicts of clean and of backdoored models")
    right = [row for row in bad if row.verdict == "backdoored" and row.planted in (*row.targets, None)]
    all_of, found_of = (Counter(_name(row) for row in some) for some in (bad, right))
    each = ", ".join(f"{name} {found_of[name]} of {count}" for name, count in sorted(all_of.items()))
    nets = sorted({f"{row.case.data} {row.case.net}" for row in verdicts})
    return ErrorRates(
        found=Rate.of(len(right), len(bad)),
        accused=Rate.of(sum(row.verdict == "backdoored" for row in clean), len(clean)),
        undecided=Rate.of(sum(row.verdict == "undecided" for row in verdicts), len(verdicts)),
        source=f"{source}: {each}; on {', '.join(nets)}",
    )


def _name(row: rows.VerdictRow) -> str:
    mode = next((pair[5:] for pair in row.case.options.split(",") if pair.startswith("mode=all-to-all")), "")
    return f"{row.case.attack} {mode}".strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    found = rates(rows.read_rows(given.results), f"benchmarks/results/{given.results.name}")
    given.out.write_text(json.dumps({"rule": RULE, "rates": to_json(found)}, indent=2) + "\n", encoding="utf-8")
    print(found)


if __name__ == "__main__":
    main()
