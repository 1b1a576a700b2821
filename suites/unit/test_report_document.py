"""run.json: what CONTRACT fixes, in plain types, held to its schema in both directions."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jsonschema
import pytest
from report_example import KEY, Ledger, example, violated_crash

from chaosharness.model.event import Kind
from chaosharness.model.semantic import Semantic
from chaosharness.model.verdict import Code, FindingKind, RunResult, Verdict
from chaosharness.report.document import document, plain, text

SCHEMA: dict[str, Any] = json.loads(
    resources.files("chaosharness.report").joinpath("run_schema.json").read_text("utf-8")
)


def closed(schema: Any) -> Any:
    """The schema with every object closed: for what this version itself writes."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    out = {name: closed(value) for name, value in schema.items()}
    if "properties" in out and "required" in out:
        out["additionalProperties"] = False
    return out


def problems(data: object, schema: dict[str, Any] = SCHEMA) -> list[str]:
    return [
        f"{error.json_path}: {error.message}" for error in jsonschema.Draft202012Validator(schema).iter_errors(data)
    ]


def of(document: dict[str, Any], id: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in document["scenarios"] if one["id"] == id)
    return found


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_all_that_is_written_is_in_the_schema_and_all_of_the_schema_is_written() -> None:
    assert problems(json.loads(text(example()))) == []
    assert problems(json.loads(text(example())), closed(SCHEMA)) == []
    assert problems(json.loads(text(RunResult(1, (), interrupted=True))), closed(SCHEMA)) == []


def test_the_schema_knows_every_word_of_the_model() -> None:
    defs = SCHEMA["$defs"]
    assert defs["kind"]["enum"] == [kind.value for kind in FindingKind]
    assert defs["code"]["enum"] == [code.value for code in Code]
    assert defs["scenario"]["properties"]["verdict"]["enum"] == [verdict.value for verdict in Verdict]
    assert defs["scenario"]["properties"]["declared"]["enum"] == [*[s.value for s in Semantic], None]


def test_fields_may_be_added() -> None:
    data = document(example())
    data["later"] = 1
    data["scenarios"][0]["later"] = {}
    assert problems(data) == []


CONTRACT = [
    "id",
    "flow",
    "window",
    "fault",
    "verdict",
    "declared",
    "observed",
    "counts",
    "findings",
    "unproven_because",
    "advice",
    "waived",
    "reproduce",
    "duration_s",
]


@pytest.mark.parametrize("name", CONTRACT)
def test_nothing_of_the_contract_may_be_missing(name: str) -> None:
    data = document(example())
    del data["scenarios"][0][name]
    assert problems(data) == [f"$.scenarios[0]: '{name}' is a required property"]


BREACHES: list[tuple[str, str, Any]] = [
    ("payment[effect-ack:crash]", "verdict", "failed"),
    ("payment[effect-ack:crash]", "verdict", "upheld"),  # with a finding that breaks, and no waiver
    ("payment[effect-ack:crash]", "findings", []),
    ("payment[effect-ack:partition]", "unproven_because", []),
    ("payment[effect-ack:partition]", "unproven_because", ["nonsense"]),
    ("shipping[effect-ack:crash]", "reason", None),
    ("payment[effect-ack:crash]", "id", "payment:effect-ack"),
    ("payment[effect-ack:crash]", "target", "No Key"),
    ("payment[effect-ack:crash]", "declared", "exactly_once"),
    ("payment[effect-ack:crash]", "counts", {"effects": "201"}),
    ("payment[effect-ack:crash]", "duration_s", -1),
]


@pytest.mark.parametrize(("id", "name", "value"), BREACHES)
def test_the_schema_finds_breaches(id: str, name: str, value: object) -> None:
    data = copy.deepcopy(document(example()))
    of(data, id)[name] = value
    assert problems(data)


def test_the_shape_of_a_violation() -> None:
    one = of(document(example()), "payment[effect-ack:crash]")
    (finding,) = one["findings"]
    assert (one["verdict"], one["declared"], one["observed"]) == ("violated", "effectively_once", "at_least_once")
    assert (finding["kind"], finding["keys"], finding["waived"]) == ("duplicated", [KEY], None)
    assert finding["evidence"][0] == {
        "seq": 3,
        "at_ns": 81_000_001_400_000,
        "origin": "relay",
        "kind": "deliver",
        "keys": [KEY],
        "link": "payment.0>broker.0",
        "conn": 3,
        "data": {"redelivered": False, "settled": False, "how": "push"},
    }
    assert one["reproduce"] == "chaosharness run flows.toml --only 'payment[effect-ack:crash]' --seed 20261103"


def test_waived_unproven_and_not_applicable() -> None:
    data = document(example())
    assert of(data, "shipping[stored:broker-kill]")["waived"] == [
        {"kind": "lost", "count": 1, "because": "transient by choice until 2027"}
    ]
    assert of(data, "payment[effect-ack:partition]")["unproven_because"] == ["fault_evidence", "drained"]
    assert of(data, "shipping[effect-ack:crash]")["reason"].startswith("the consumer acknowledges before the effect")
    assert data["flows"][0] == {
        "flow": "payment",
        "declared": "effectively_once",
        "because": "a double charge costs real money",
        "observed": "at_least_once",
        "not_refuted_in": 6,
        "windows": 7,
    }


def test_every_key_is_kept() -> None:
    keys = tuple(f"k7f3q-{n:06d}" for n in range(10_000))
    result = violated_crash()
    (finding,) = result.judgement.findings
    many = replace(result, judgement=replace(result.judgement, findings=(replace(finding, keys=keys),)))
    assert document(RunResult(1, (many,)))["scenarios"][0]["findings"][0]["keys"] == list(keys)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (10**30, str(10**30)),
        (b"a\xff", "a\\xff"),
        ("\udc80", "\\udc80"),
        ((1, (2,)), [1, [2]]),
        ({"b", "a"}, ["a", "b"]),
        (MappingProxyType({1: Kind.END}), {"1": "end"}),
        (Path("a/b"), "a/b"),
        (True, True),
    ],
)
def test_what_json_has_no_room_for_becomes_text(value: object, kept: object) -> None:
    assert plain(value) == kept
    strange = Ledger()(0, Kind.NOTE, text=value)
    result = replace(violated_crash(), timelines={KEY: (strange,)})
    assert json.loads(text(RunResult(1, (result,))))["scenarios"][0]["timelines"][KEY][0]["data"] == {"text": kept}


def test_the_text_is_json_with_a_last_line_break() -> None:
    assert json.loads(text(example())) == document(example())
    assert text(example()).endswith("}\n")
