"""Toxics: what Toxiproxy would take and ignore is refused before it is sent."""

from __future__ import annotations

import pytest

from chaosharness.links.link import proxy_name
from chaosharness.links.toxics import ATTRIBUTES, BLACK_HOLE_IN, BLACK_HOLE_OUT, checked
from chaosharness.model.address import LinkId
from chaosharness.model.errors import BadInput


def test_defaults_are_filled_in() -> None:
    assert checked([{"type": "latency", "stream": "upstream", "attributes": {"latency": 100}}]) == [
        {
            "name": "latency_upstream",
            "type": "latency",
            "stream": "upstream",
            "toxicity": 1.0,
            "attributes": {"latency": 100, "jitter": 0},
        }
    ]


def test_the_black_holes_are_two_directions_and_go_together() -> None:
    assert [toxic["name"] for toxic in checked([BLACK_HOLE_IN, BLACK_HOLE_OUT])] == [
        "timeout_downstream",
        "timeout_upstream",
    ]


@pytest.mark.parametrize("kind", ATTRIBUTES)
def test_every_documented_attribute_is_taken(kind: str) -> None:
    attributes = dict.fromkeys(ATTRIBUTES[kind], 3)
    toxic = {"type": kind, "stream": "downstream", "attributes": attributes, "name": "of-mine", "toxicity": 0.5}
    assert checked([toxic]) == [toxic]


@pytest.mark.parametrize(
    ("toxic", "says"),
    [
        ({"type": "timeuot", "stream": "upstream"}, "nearest: timeout"),
        ({"type": ["timeout"], "stream": "upstream"}, "type is ['timeout']"),
        ({"stream": "upstream"}, "type is None"),
        ({"type": "timeout"}, "stream is None, expected upstream or downstream"),
        ({"type": "timeout", "stream": "up"}, "stream is 'up'"),
        ({"type": "timeout", "straem": "upstream"}, "unknown field 'straem' (nearest: stream)"),
        (
            {"type": "timeout", "stream": "upstream", "attributes": {"latency": 1}},
            "no attribute 'latency', only timeout",
        ),
        ({"type": "timeout", "stream": "upstream", "attributes": {"timeout": "5"}}, "timeout is '5'"),
        ({"type": "timeout", "stream": "upstream", "attributes": {"timeout": True}}, "timeout is True"),
        ({"type": "timeout", "stream": "upstream", "attributes": {"timeout": -1}}, "timeout is -1"),
        ({"type": "timeout", "stream": "upstream", "attributes": 5}, "attributes is 5"),
        ({"type": "timeout", "stream": "upstream", "toxicity": 1.5}, "toxicity is 1.5"),
        ({"type": "timeout", "stream": "upstream", "name": "a/b"}, "name is 'a/b'"),
        ({"type": "timeout", "stream": "upstream", "name": ""}, "name is ''"),
    ],
)
def test_what_is_wrong_is_named(toxic: dict[str, object], says: str) -> None:
    with pytest.raises(BadInput) as refused:
        checked([toxic])
    assert says in str(refused.value)


def test_all_that_is_wrong_is_listed_at_once() -> None:
    with pytest.raises(BadInput) as refused:
        checked([{"type": "timeout", "stream": "up", "toxicity": 2}, {"type": "none", "stream": "upstream"}])
    assert all(part in str(refused.value) for part in ("toxic 1: stream", "toxic 1: toxicity", "toxic 2: type"))


def test_nothing_to_apply_and_one_name_twice_are_refused() -> None:
    with pytest.raises(BadInput, match="no toxic given"):
        checked([])
    with pytest.raises(BadInput, match="timeout_upstream"):
        checked([BLACK_HOLE_OUT, BLACK_HOLE_OUT])


def test_proxy_names_fit_a_path_and_differ_where_ids_differ() -> None:
    assert proxy_name(LinkId("payment", 0, "broker")) == "payment.0>broker.0"
    services = ["a/b", "a~2f~b", "a b", "a?b", "a#b", "a%2Fb", "ä"]
    names = [proxy_name(LinkId(service, 0, "broker")) for service in services]
    assert len(set(names)) == len(services)
    assert not any(set(name) & set("/?#% ä") for name in names)
