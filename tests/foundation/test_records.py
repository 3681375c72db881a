from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from hubclean.records import Audit, CleansingReport, FileVerdict, Finding, Rate, RepoRef, ScanReport, from_json, to_json
from hubclean.schema import json_schema
from support.sample_audits import HOSTILE, cleansed, hostile, unsuspicious

VALIDATOR = Draft202012Validator(json_schema())
st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))


def through_json(record: Any) -> Any:
    return from_json(type(record), json.loads(json.dumps(to_json(record), allow_nan=False)))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.builds(Audit, schema=st.just(Audit.__dataclass_fields__["schema"].default)))
def test_any_audit_survives_json_exactly_and_fits_the_schema(audit: Audit) -> None:
    assert through_json(audit) == audit
    VALIDATOR.validate(json.loads(json.dumps(to_json(audit))))


@pytest.mark.parametrize("audit", [cleansed(), unsuspicious(), hostile(HOSTILE[0])])
def test_sample_audits_fit_the_schema(audit: Audit) -> None:
    VALIDATOR.check_schema(json_schema())
    VALIDATOR.validate(to_json(audit))
    assert through_json(audit) == audit


def _changes() -> list[tuple[str, Any]]:
    return [
        ("extra field", lambda data: data.update(extra=1)),
        ("missing field", lambda data: data.pop("origin")),
        ("text for a number", lambda data: data.update(seed="0")),
        ("truth value for a number", lambda data: data["data"].update(seed=True)),
        ("fraction for a whole number", lambda data: data["data"].update(fit=0.5)),
        ("unknown verdict", lambda data: data["detections"][0].update(verdict="safe")),
        ("short shape", lambda data: data["model"].update(input_size=[3, 32])),
        ("null for a record", lambda data: data.update(cleansing=None)),
        ("list for an option", lambda data: data["cleansing"]["options"].update(step=[1])),
        ("list for a record", lambda data: data.update(site=[])),
    ]


@pytest.mark.parametrize(("what", "change"), _changes(), ids=[what for what, _ in _changes()])
def test_reader_and_schema_refuse_the_same(what: str, change: Any) -> None:
    data = json.loads(json.dumps(to_json(cleansed())))
    change(data)
    assert not VALIDATOR.is_valid(data)
    with pytest.raises(ValueError, match="Audit"):
        from_json(Audit, data)


def test_the_schema_fixes_its_own_version() -> None:
    assert not VALIDATOR.is_valid(to_json(replace(cleansed(), schema="hubclean/audit/v0")))


def test_the_schema_knows_every_kind_of_type_or_says_so() -> None:
    from dataclasses import make_dataclass

    with pytest.raises(TypeError, match="no JSON Schema"):
        json_schema(make_dataclass("Odd", [("field", complex)]))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_json_has_no_infinite_numbers(value: float) -> None:
    with pytest.raises(ValueError, match="cannot be written to JSON"):
        to_json(replace(cleansed(), seconds=value))


def test_a_reading_error_names_the_place() -> None:
    data = to_json(cleansed())
    data["detections"][0]["scores"][3]["asr"]["n"] = "many"
    with pytest.raises(ValueError, match=r"Audit\.detections\[0\]\.scores\[3\]\.asr\.n"):
        from_json(Audit, data)


@given(st.integers(0, 5000), st.integers(1, 5000))
def test_a_rate_lies_in_its_interval(hits: int, n: int) -> None:
    rate = Rate.of(min(hits, n), n)
    assert 0 <= rate.low <= rate.value <= rate.high <= 1


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"), [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)]
)
def test_wilson_intervals_of_newcombe_1998(hits: int, n: int, low: float, high: float) -> None:
    rate = Rate.of(hits, n)
    assert (round(rate.low, 4), round(rate.high, 4)) == (low, high)


def _scan(**changes: Any) -> ScanReport:
    base = ScanReport(RepoRef("a/b", "c" * 40, "hub"), "high", (FileVerdict("x", 1, "ok", ""),), (), (), 1, 1, 1.0)
    return replace(base, **changes)


def test_exit_codes_of_a_scan() -> None:
    finding = Finding("HC-X-001", "medium", "x", "what", "advice")
    unchecked = (FileVerdict("a/x.bin", 1, "unchecked", "too large"),)
    assert _scan().exit_code == 0
    assert _scan(findings=(finding,)).exit_code == 0
    assert _scan(findings=(finding,), gate="low").exit_code == 1
    assert _scan(files=unchecked).exit_code == 2
    assert _scan(files=unchecked, allowed_unchecked=("a/*",)).exit_code == 0
    assert _scan(detections=(replace(cleansed().detections[0], verdict="undecided"),)).exit_code == 2
    assert _scan(detections=cleansed().detections).exit_code == 1


def test_audits_without_ballots_still_load() -> None:
    old = to_json(cleansed().cleansing)
    assert from_json(CleansingReport, old).ballots
    del old["ballots"]
    assert from_json(CleansingReport, old).ballots == ()
