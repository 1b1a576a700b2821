"""Payload classes and ordering keys: what a flow file may say, what is wrong, and what is published for it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from flowfile_example import GOOD, read, said

from chaosharness.model.flow import PayloadClass
from chaosharness.scenario.messages import make_messages
from chaosharness.scenario.planning import _target_number

AFTER = len(GOOD.splitlines()) + 1
WORK = "[flow.payment.workload]\n"
TWO_EFFECTS = GOOD.replace(
    '[flow.payment.effect]\nhttp = "POST /v1/charges"\n',
    '[flow.payment.effects.mail]\nhttp = "POST /mail"\n'
    '[flow.payment.effects.charge]\nhttp = "POST /v1/charges"\ncount = 2\n',
).replace("{effect}", "{effects.charge}")
CLASSES = (
    WORK
    + """payload = '{"id": "{key}"}'
[flow.payment.workload.classes.refund]
payload = '{"id": "{key}", "amount": -1}'
every = 4
[flow.payment.workload.classes.spam]
payload = '{"id": "{key}", "spam": true}'
every = 3
count = 0
"""
)
ORDERED = 'ordered_by = "body:json:$.account"\nbecause ='
BY_ACCOUNT = WORK + """payload = '{"id": "{key}", "account": "{ordered_key}"}'\nordered_keys = 3\n"""


def test_classes(tmp_path: Path) -> None:
    workload = read(tmp_path, GOOD + CLASSES).flows[0].workload
    refund, spam = workload.classes
    assert refund == PayloadClass("refund", '{"id": "{key}", "amount": -1}', 4)
    assert (spam.every, spam.counts) == (3, {"effect": 0})
    of = [one.name if (one := workload.class_of(number)) else "" for number in range(12)]
    assert of == ["", "", "spam", "refund", "", "spam", "", "refund", "spam", "", "", "refund"]
    messages = make_messages(workload, "kabcd", 12)
    assert [json.loads(message.body).get("amount") for message in messages[2:4]] == [None, -1]
    assert json.loads(messages[2].body) == {"id": "kabcd-000002", "spam": True}
    assert [message.says for message in messages[1:4]] == [{}, {"class": "spam", "count": 0}, {"class": "refund"}]


def test_counts_by_effect(tmp_path: Path) -> None:
    text = CLASSES.replace("count = 0", "count = { mail = 0 }")
    workload = read(tmp_path, TWO_EFFECTS + text).flows[0].workload
    assert workload.classes[1].counts == {"mail": 0, "charge": 2}
    message = make_messages(workload, "kabcd", 3)[2]
    assert message.says == {"class": "spam", "counts": {"mail": 0, "charge": 2}}
    assert [workload.owed(number, 3) for number in (1, 2, 3)] == [3, 2, 3]


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("every = 3", "every = 1", 8, "classes.spam.every: expected a whole number from 2 to 1000000, found 1"),
        ("every = 3\n", "", 6, "classes.spam: has no every; expected every = 10"),
        ("count = 0", "count = -1", 9, "classes.spam.count: expected a whole number from 0 to 1000, found -1"),
        (
            "count = 0",
            "count = { effect = 0 }",
            9,
            "classes.spam.count: expected a whole number from 0 to 1000, found a t",
        ),
        ("count = 0", "counts = 0", 9, 'classes.spam.counts: unknown key; did you mean "count"?'),
        ('"spam": true', '"spam": {kye}', 7, "classes.spam.payload: unknown template {kye}"),
        ("every = 3", "every = 300", 6, "classes.spam: none of the 200 messages is of this class"),
        (
            "every = 3",
            "every = 8",
            6,
            "classes.spam: none of the 200 messages is of this class (what several classes cl",
        ),
        (
            "classes.spam]",
            'classes."s p"]',
            6,
            'classes."s p": a class\'s name has letters, digits, - and _, at most 40',
        ),
    ],
)
def test_bad_classes(tmp_path: Path, old: str, new: str, line: int, message: str) -> None:
    assert old in CLASSES
    text = said(tmp_path, GOOD + CLASSES.replace(old, new))
    assert f"flows.toml:{AFTER + line - 1}: flow.payment.workload.{message}" in text


def test_bad_classes_without_what_they_need(tmp_path: Path) -> None:
    text = said(tmp_path, GOOD + CLASSES.replace('payload = \'{"id": "{key}", "spam": true}\'\n', ""))
    assert "flow.payment.workload.classes.spam: has no payload; expected payload = '…'" in text
    assert "no class is named" in said(tmp_path, GOOD + WORK + "classes = {}\n")
    assert "classes.a: expected a table, found 1" in said(tmp_path, GOOD + WORK + "classes.a = 1\n")


@pytest.mark.parametrize(
    ("count", "message"),
    [
        ("0", "count: expected a table, since the flow has several effects: count = { mail = 0 }, found 0"),
        ("{ male = 0 }", 'count.male: unknown effect "male"; did you mean "mail"?'),
        ("{ mail = true }", "count.mail: expected a whole number from 0 to 1000, found true"),
    ],
)
def test_bad_counts_of_several_effects(tmp_path: Path, count: str, message: str) -> None:
    text = said(tmp_path, TWO_EFFECTS + CLASSES.replace("count = 0", f"count = {count}"))
    assert f"flow.payment.workload.classes.spam.{message}" in text


def test_the_aimed_message_is_not_to_be_dropped_unless_it_is_asked_for(tmp_path: Path) -> None:
    flow = read(tmp_path, GOOD + CLASSES.replace("every = 3", "every = 2")).flows[0]
    drawn = [_target_number(flow, seed, "payment[a:b]", None) for seed in range(200)]
    assert all(flow.workload.owed(number, 1) for number in drawn)
    all_odd = replace(flow, workload=replace(flow.workload, messages=3))
    assert {_target_number(all_odd, seed, "x", None) for seed in range(20)} == {0}
    assert _target_number(flow, 1, "x", 5) == 5


def test_ordering_keys(tmp_path: Path) -> None:
    flow = read(tmp_path, GOOD.replace("because =", ORDERED) + BY_ACCOUNT).flows[0]
    assert flow.promise.ordered_by == "body:json:$.account"
    assert flow.workload.ordered_keys == 3
    messages = make_messages(flow.workload, "kabcd", 7, flow.promise.ordered_by)
    assert [message.ordering for message in messages] == ["o0", "o1", "o2", "o0", "o1", "o2", "o0"]
    assert [message.says for message in messages[:2]] == [{"ordering": "o0"}, {"ordering": "o1"}]
    assert json.loads(messages[4].body) == {"id": "kabcd-000004", "account": "o1"}
    assert make_messages(flow.workload, "kabcd", 1)[0].ordering is None


@pytest.mark.parametrize(
    ("place", "workload"),
    [
        ("header:X-Account", 'headers = { x-account = "{ordered_key}" }\nordered_keys = 2\n'),
        ("property:group", 'properties = { group = "{ordered_key}" }\nordered_keys = 100\n'),
        ("property:group", "properties = { group = 7 }\n"),
        ("body:json:$.all", 'payload = \'{"all": "one"}\'\n'),
    ],
)
def test_places_of_ordering_keys(tmp_path: Path, place: str, workload: str) -> None:
    text = GOOD.replace("because =", f'ordered_by = "{place}"\nbecause =') + WORK + workload
    flow = read(tmp_path, text).flows[0]
    assert make_messages(flow.workload, "kabcd", 1, flow.promise.ordered_by)[0].ordering in ("o0", "7", "one")


def test_ordered_keys_without_an_order_are_no_more_than_a_template(tmp_path: Path) -> None:
    flow = read(tmp_path, GOOD + BY_ACCOUNT).flows[0]
    assert flow.promise.ordered_by is None
    assert make_messages(flow.workload, "kabcd", 2)[1].says == {}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("body:json:$.account", "body:account", 'ordered_by: "body:account" is no place of a key: expected body:json:'),
        (
            "body:json:$.account",
            "query:account",
            "ordered_by: expected a place in the message that is published: header",
        ),
        ("body:json:$.account", "header:A", "ordered_by: nothing stands at header:A in the messages; put it there, "),
        ("{ordered_key}", "{key}", "ordered_by: each message has an ordering key of its own at body:json:$.account: "),
        ("ordered_keys = 3", "ordered_keys = 101", "workload.ordered_keys: expected at most half of the 200 messages"),
        ("ordered_keys = 3", "ordered_keys = 0", "workload.ordered_keys: expected a whole number from 1 to"),
        ("ordered_keys = 3\n", "", "workload.payload: unknown template {ordered_key}"),
        (
            "ordered_keys = 3\n",
            "ordered_keys = 3\n[flow.payment.workload.classes.odd]\npayload = '{key}'\nevery = 2\n",
            "ordered_by: nothing stands at body:json:$.account in those of the class odd; put it there",
        ),
    ],
)
def test_bad_ordering_keys(tmp_path: Path, old: str, new: str, message: str) -> None:
    good = GOOD.replace("because =", ORDERED) + BY_ACCOUNT
    assert old in good
    assert f"flow.payment.{message}" in said(tmp_path, good.replace(old, new))
