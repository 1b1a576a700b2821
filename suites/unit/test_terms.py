"""`chaosharness explain` knows every word that the product uses, however it is spelt."""

from __future__ import annotations

import pytest

from chaosharness.model.errors import BadInput
from chaosharness.model.semantic import Semantic
from chaosharness.model.terms import TERMS, explain
from chaosharness.model.verdict import Code, FindingKind, Verdict
from chaosharness.model.window import FAULTS, WINDOWS

DESIGN = """
message, flow, semantic, operation, ledger, history, delivery, redelivery, publisher confirm, consumer ack, effect,
window, fault, scenario, run, aim, drain, finding, verdict, observed semantic, waiver, twin, backend, link, tap, sink,
store, gate
"""


@pytest.mark.parametrize(
    "word",
    [*WINDOWS, *FAULTS, *FindingKind, *Code, *Semantic, *Verdict, *DESIGN.strip().replace("\n", " ").split(", ")],
)
def test_every_word_has_its_paragraph(word: str) -> None:
    text = explain(word)
    assert len(text) > 20
    assert text.endswith((".", "?"))


@pytest.mark.parametrize("kind", [*FindingKind])
def test_a_finding_is_said_to_be_one(kind: FindingKind) -> None:
    assert "Finding: " in explain(kind)


@pytest.mark.parametrize("code", [*Code])
def test_a_code_is_said_to_be_one(code: Code) -> None:
    assert "Without it the scenario is unproven." in explain(code)


@pytest.mark.parametrize("spelt", ["effect-ack", "Effect → ack", "EFFECT_ACK", "effect ack"])
def test_spellings(spelt: str) -> None:
    assert explain(spelt) == TERMS["effect-ack"]


def test_plurals() -> None:
    assert explain("Windows") == TERMS["window"]


def test_a_word_that_is_two_things_has_both() -> None:
    assert "Window slow" in explain("slow")
    assert "Fault: " in explain("slow")


def test_an_id_is_explained_part_by_part() -> None:
    assert explain("payment[effect-ack:crash]") == f"effect-ack: {TERMS['effect-ack']}\ncrash: {TERMS['crash']}"


@pytest.mark.parametrize(("word", "near"), [("duplicate", "duplicated"), ("unprovn", "unproven")])
def test_an_unknown_word_has_a_nearest(word: str, near: str) -> None:
    with pytest.raises(BadInput, match=f'no term "{word}"; did you mean {near}'):
        explain(word)


def test_nothing_like_it() -> None:
    with pytest.raises(BadInput, match="`chaosharness explain` knows the words of every report"):
        explain("zzzz")
