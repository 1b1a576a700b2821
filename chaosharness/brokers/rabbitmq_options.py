"""What can be wrong with a RabbitMQ source before any server runs: options in, problems out, each naming its key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from chaosharness.model.flow import Source
from chaosharness.model.names import did_you_mean

OPTIONS = ("arguments", "exchange", "routing_key", "dead_letter")
LONGEST = 255
"""Bytes of a short string: AMQP 0-9-1, section 4.2.5.3."""
PLACES = ("header", "property", "body")


def problems_of(source: Source) -> Sequence[str]:
    return tuple(_problems(source))


def _problems(source: Source) -> Iterator[str]:
    options = source.options
    for unknown in (name for name in options if name not in OPTIONS):
        yield f"{unknown}: not an option of a rabbitmq source{did_you_mean(unknown, OPTIONS)}"
    yield from _name("rabbitmq", source.name)
    if source.key and source.key.partition(":")[0] not in PLACES:
        yield f"key: a message of RabbitMQ has header:…, property:… and body:json:…, found {source.key!r}"
    for name in ("exchange", "dead_letter"):
        if name in options:
            yield from _name(name, options[name])
    if "routing_key" in options:
        yield from _routing_key(options)
    if "arguments" in options:
        yield from _arguments(source)
    if options.get("dead_letter") == source.name:
        yield "dead_letter: expected another queue than the source itself"


def _name(key: str, value: object) -> Iterator[str]:
    if not isinstance(value, str) or not value:
        yield f"{key}: expected a name, found {value!r}"
    elif len(value.encode()) > LONGEST:
        yield f"{key}: expected a name of at most {LONGEST} bytes, found {len(value.encode())}"
    elif value.startswith("amq."):
        yield f"{key}: names that begin with amq. are RabbitMQ's own, found {value!r}"


def _routing_key(options: Mapping[str, Any]) -> Iterator[str]:
    value = options["routing_key"]
    if not isinstance(value, str) or len(value.encode()) > LONGEST:
        yield f"routing_key: expected a string of at most {LONGEST} bytes, found {value!r}"
    elif "exchange" not in options:
        yield "routing_key: of no use without exchange: the default exchange routes by the queue's name"


def _arguments(source: Source) -> Iterator[str]:
    value = source.options["arguments"]
    if not isinstance(value, Mapping):
        yield f"arguments: expected a table, found {value!r}"
        return
    for name, argument in value.items():
        if not _carriable(argument):
            yield f"arguments.{name}: expected a string, number, boolean, list or table, found {argument!r}"
    if value and not source.declare:
        yield "arguments: of no use with declare = false: the service declares the queue"
    taken = sorted({"x-dead-letter-exchange", "x-dead-letter-routing-key"} & set(value))
    if taken and "dead_letter" in source.options:
        yield f"arguments.{taken[0]}: dead_letter sets it; give one of the two"


def _carriable(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(name, str) and _carriable(each) for name, each in value.items())
    if isinstance(value, list | tuple):
        return all(_carriable(each) for each in value)
    return isinstance(value, str | int | float)
