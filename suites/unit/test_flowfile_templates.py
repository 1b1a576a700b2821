"""Templates: what is one, what is a brace, and what an unknown one says."""

from __future__ import annotations

import pytest

from chaosharness.flowfile import fill, names_in
from chaosharness.flowfile.templates import problems_in
from chaosharness.model.errors import BadInput

VALUES = {
    "broker": "amqp://h:1/v",
    "broker.host": "h",
    "broker.port": "1",
    "key": "k7f3q-000117",
    "stores.dedup": "redis",
}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{broker}", "amqp://h:1/v"),
        ("--host {broker.host} --port {broker.port}", "--host h --port 1"),
        ('{"order_id": "{key}", "lines": [{"n": 1}]}', '{"order_id": "k7f3q-000117", "lines": [{"n": 1}]}'),
        ("{{key}}", "{k7f3q-000117}"),
        ("{stores.dedup}{}{ key }{1}{a b}{", "redis{}{ key }{1}{a b}{"),
        ("", ""),
    ],
)
def test_filled(text: str, filled: str) -> None:
    assert fill(text, VALUES) == filled


def test_what_is_filled_in_is_not_looked_at_again() -> None:
    assert fill("{a}", {"a": "{b}", "b": "no"}) == "{b}"


def test_names_in_order() -> None:
    assert names_in('{"a": "{key}", "b": "{payment.effect.host}"} {effects.NAME}') == [
        "key",
        "payment.effect.host",
        "effects.NAME",
    ]


def test_an_unknown_one_lists_the_known() -> None:
    with pytest.raises(
        BadInput, match=r"in 'x \{borker\}': unknown template \{borker\}; did you mean \"broker\"\? \(known: "
    ):
        fill("x {borker}", VALUES)


def test_an_unknown_attribute_lists_those_there_are() -> None:
    assert problems_in("{broker.prot} {key}", VALUES) == [
        'unknown attribute "prot" of template {broker}; did you mean "port"? (known: host, port)'
    ]
