"""Message keys: their shape, where they are found, and where not."""

from __future__ import annotations

import random

import pytest

from chaosharness.model.key import KeyFinder, Place, key_number, make_key, new_nonce

KEY = "k7f3q-000117"


def test_a_key_is_made_of_a_nonce_and_a_number() -> None:
    assert make_key("k7f3q", 117) == KEY
    assert key_number(KEY) == 117
    nonce = new_nonce(random.Random(1))
    assert nonce == new_nonce(random.Random(1)) != new_nonce(random.Random(2))
    assert KeyFinder(nonce).find(make_key(nonce, 0).encode()) == f"{nonce}-000000"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f'{{"id": "{KEY}"}}', KEY),
        (f"/orders/{KEY}?x=1", KEY),
        (f"KEY={KEY};", KEY),
        (f"{KEY} k7f3q-000118", KEY),
        (f"a{KEY}", None),
        (f"0{KEY}", None),
        (f"k{KEY} A{KEY}", KEY),
        (f"{KEY}8", None),
        ("k7f3q-117", None),
        ("kwxyz-000117", None),
    ],
)
def test_a_key_is_found_by_its_shape(text: str, found: str | None) -> None:
    assert KeyFinder("k7f3q").find(text.encode()) == found


def test_the_first_place_that_has_one_decides_and_other_scenarios_keys_are_known() -> None:
    finder = KeyFinder("k7f3q", others=("kwxyz", "kabcd"))
    assert finder.find(b"nothing", b"k7f3q-000002", b"k7f3q-000001") == "k7f3q-000002"
    assert finder.foreign(b"k7f3q-000001", b"kabcd-000009") == "kabcd-000009"
    assert finder.foreign(b"k7f3q-000001", b"kzzzz-000009") is None
    assert KeyFinder("k7f3q").foreign(b"kabcd-000009") is None
    for others in (("kabcd",), ("kabcd", "kabce"), ("kwxyz", "kabcd"), ("zzzzz", "kabcd")):
        finder = KeyFinder("k7f3q", others)
        assert finder.foreign(b"xkabcd-000001 kabcd-0000012 kabcd-000002") == "kabcd-000002"
        assert finder.foreign(b"akabcd-000001", b"kabc-000001", b"kkabcd-000001") is None


@pytest.mark.parametrize(
    ("place", "read"),
    [
        ("header:Idempotency-Key", "h"),
        ("header:Other", None),
        ("property:message_id", "p"),
        ("query:id", "q"),
        ("path:/orders/{key}", "17"),
        ("path:/orders", None),
        ("body:json:$.a.b", "1"),
        ("body:json:$.list[1]", "two"),
        ("body:json:$.list[9]", None),
        ("body:json:$.a", None),
    ],
)
def test_a_declared_place_is_read(place: str, read: str | None) -> None:
    body = b'{"a": {"b": 1}, "list": ["one", "two"]}'
    found = Place(place).read(
        headers={"idempotency-key": "h"},
        properties={"message_id": "p"},
        query={"id": "q"},
        path="/orders/17",
        body=body,
    )
    assert found == read


def test_a_body_that_is_no_json_has_nothing() -> None:
    assert Place("body:json:$.a").read(body=b"{") is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("header:X", None),
        ("body:json:$.a[0].b-c", None),
        ("path:/orders/{key}/x", None),
        ("header:", "expected one of"),
        ("cookie:a", "expected one of"),
        ("body:$.a", "expected body:json"),
        ("body:json:$", "expected body:json"),
        ("path:/orders", "expected one {key}"),
    ],
)
def test_what_is_wrong_with_a_place(text: str, says: str | None) -> None:
    problem = Place(text).problem()
    assert problem is None if says is None else problem is not None and problem.startswith(says)
