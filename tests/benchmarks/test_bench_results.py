"""What is drawn from the rows of a bench: gates, error rates, condensed rows; and that the committed ones agree."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import budget_tables, condense, error_rates, gates
from hubclean.cleansing.verdict import ERROR_RATES, RULE, measured_errors
from hubclean.json_records import to_json
from hubclean.lab.bench import rows, tables
from hubclean.measurements import Rate
from hubclean.resources import data_folder
from support import ROOT

RESULTS = ROOT / "benchmarks" / "results" / "bench.jsonl"


def case(attack: str, seed: int = 0, data: str = "mnist", net: str = "papers-cnn", options: str = "") -> rows.Case:
    return rows.Case(data, net, attack, options, seed, 1000, 8)


def figures(accuracy: float, asr: float | None = None) -> rows.Figures:
    return rows.Figures(
        Rate.of(round(1000 * accuracy), 1000), None if asr is None else Rate.of(round(1000 * asr), 1000)
    )


def cleansed(given: rows.Case, defense: str, accuracy: float, asr: float, options: str = "") -> rows.DefenseRow:
    before, after = figures(0.95, 0.99), figures(accuracy, asr)
    return rows.DefenseRow(f"{given.title} {defense} {options}", given, 1000, defense, options, 0, None, before, after,
                           {"pruned": after, "fine-tuned": after}, "pruned", 0.9, 0.0, 0, ("said",), 0, 0.12345678,
                           chosen={"option": 1})  # fmt: skip


def model(given: rows.Case, took: bool = True) -> rows.ModelRow:
    return rows.ModelRow(f"model {given.title}", given, figures(0.95), 0.95, 0, took, "", 1.0)


def judged(given: rows.Case, verdict: str, targets: tuple[int, ...] = ()) -> rows.VerdictRow:
    planted = None if given.attack == "clean" else 0
    return rows.VerdictRow(f"verdict {given.title}", given, 1000, verdict, targets, planted, "", ())


@pytest.mark.parametrize(
    ("asr", "accuracy", "result"), [(0.05, 0.92, "pass"), (0.06, 0.92, "**fail**"), (0.05, 0.9, "**fail**")]
)
def test_a_gate_needs_both_medians_within_its_limits(asr: float, accuracy: float, result: str) -> None:
    held = [cleansed(case("badnets", seed), "nc-unlearn", accuracy, asr) for seed in range(3)]
    other = [cleansed(case("badnets", 0, options="mode=all-to-all"), "nc-unlearn", 0.1, 1.0)]
    other += [cleansed(case("badnets", 7), "nc-unlearn", 0.1, 1.0)]
    models = [model(row.case) for row in (*held, other[0])] + [model(case("badnets", 7), took=False)]
    text = gates.render([*held, *other, *models])
    (line,) = [line for line in text.splitlines() if "MNIST, BadNets, nc-unlearn" in line]
    assert line.endswith(f"| {result} |")
    assert "n = 3" in line


def test_an_attack_that_did_not_take_is_shown_and_answers_nothing() -> None:
    held = [cleansed(case("badnets"), "nc-unlearn", 0.95, 0.01), model(case("badnets"), took=False)]
    (line,) = [line for line in gates.render(held).splitlines() if "MNIST, BadNets, nc-unlearn" in line]
    assert "no attack took; on those that did not: ASR 1.0 %" in line
    assert line.endswith("| not run |")


def test_a_gate_without_rows_is_not_passed() -> None:
    assert gates.render([]).count("not run") == len(gates.GATES)


def test_gate_8_needs_all_the_nets_that_it_asks_for() -> None:
    held: list[rows.Row] = [cleansed(case("badnets", net=net), "ft", 0.95, 0.1) for net in gates.ASKED]
    lines = [next(line for line in gates.render(some).splitlines() if line.startswith("| 8 |"))
             for some in (held[:-1], held)]  # fmt: skip
    assert [line.rsplit("|", 2)[1].strip() for line in lines] == ["not run", "pass"]
    half = gates.render([*held, cleansed(case("badnets", net=gates.ASKED[0]), "fst", 0.95, 0.1)])
    assert next(line for line in half.splitlines() if line.startswith("| 8 |")).endswith("| not run |")


def test_options_of_a_defense_are_a_gate_of_their_own() -> None:
    held = [cleansed(case("badnets"), "fine-pruning", 0.94, 0.1, "site=conv"), model(case("badnets"))]
    lines = [line for line in gates.render(held).splitlines() if line.startswith("| 1 |")]
    assert ["pass" in line for line in lines] == [False, True]


def test_error_rates_count_what_took_and_name_the_attacks() -> None:
    bad = [case("badnets", seed) for seed in range(4)]
    clean = [case("clean", seed) for seed in range(2)]
    held: list[rows.Row] = [model(one) for one in (*bad[:3], *clean)]
    held += [model(bad[3], took=False), judged(bad[3], "not found")]
    held += [judged(bad[0], "backdoored", (0,)), judged(bad[1], "backdoored", (5,)), judged(bad[2], "undecided")]
    held += [judged(clean[0], "not found"), judged(clean[1], "backdoored", (3,))]
    found = error_rates.rates(held, "bench.jsonl")
    assert (found.found, found.accused, found.undecided) == (Rate.of(1, 3), Rate.of(1, 2), Rate.of(1, 5))
    assert found.source == "bench.jsonl: badnets 1 of 3; on mnist papers-cnn"
    with pytest.raises(ValueError, match="clean and of backdoored"):
        error_rates.rates(held[:3], "bench.jsonl")


def test_condensed_rows_read_back_short(tmp_path: Path) -> None:
    held = [cleansed(case("badnets"), "fst", 0.9, 0.1), model(case("badnets"))]
    (tmp_path / "rows.jsonl").write_text("\n".join(condense.condensed(held)))
    first, second = rows.read_rows(tmp_path / "rows.jsonl")
    assert first == replace(held[1], figures=first.figures)  # type: ignore[union-attr]
    assert isinstance(second, rows.DefenseRow)
    assert (second.notes, second.chosen, second.seconds) == ((), {}, 0.1235)
    assert second.after.asr is not None
    assert second.after.asr.value == 0.1


def test_a_repair_that_two_plans_made_counts_once() -> None:
    one = cleansed(case("badnets"), "fst", 0.9, 0.1)
    again, other = replace(one, id="x"), replace(one, id="y", images=50)
    assert condense.once([one, again, other, again]) == [again, other]


def test_the_matrix_shows_medians_by_attack_and_defense() -> None:
    held = [cleansed(case("badnets", seed), "fst", 0.93, asr) for seed, asr in enumerate((0.1, 0.2, 0.9))]
    models = [model(case("badnets", seed)) for seed in range(3)]
    text = tables.render_tables([*models, *held, cleansed(case("blended"), "ft", 0.95, 0.5)], every=False)
    assert "| defense | badnets | blended \\* |" in text, "nothing says that the blended one took"
    assert "| fst | 20.0 % / 2.0 (n=3) | - |" in text
    assert "| ft | - | 50.0 % / 0.0 |" in text
    assert "### Every model and defense" not in text


def test_the_error_rates_beside_every_verdict_are_those_of_the_committed_bench() -> None:
    held = json.loads((data_folder("model_cards") / ERROR_RATES).read_text())
    assert held["rule"] == RULE
    assert held["rates"] == to_json(error_rates.rates(rows.read_rows(RESULTS), "benchmarks/results/bench.jsonl"))
    assert measured_errors() is not None


def test_the_advice_of_the_readme_is_what_the_committed_rows_say() -> None:
    places = [RESULTS.parent / f"bench{name}.jsonl" for name in ("", "-50", "-5000")]
    readme = (ROOT / "README.md").read_text()
    assert budget_tables.advice(places) in readme


def test_images_more_or_fewer_are_a_column_each() -> None:
    one = case("badnets")
    few, many = (replace(cleansed(one, "fst", 0.9, asr), images=size) for asr, size in ((0.5, 50), (0.1, 1000)))
    assert budget_tables.cell(few) == "50.0 % / 5.0"
    assert budget_tables.median_cell([few, many], {one}, 1000, "fst") == "`fst` 10.0 % / 5.0 (n = 1)"
