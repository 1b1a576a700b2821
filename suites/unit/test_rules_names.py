"""What stands above the brokers names none: neither in code nor in strings, docstrings or comments.

So a new broker is one file and one entry point, and no `if` anywhere else knows that it is there.
"""

from __future__ import annotations

import re
from importlib.metadata import entry_points

import pytest
from sources import python_files, shown

ABOVE = ("scenario", "checkers", "faults", "session", "report", "pytest_plugin", "cli")
"""Packages of chaosharness. What `init` writes is flowfile's business; what `doctor` prints, each server's."""
NAMES = {
    "rabbit", "rabbitmq", "amqp", "pika", "pamqp", "redis", "resp", "kafka", "nats", "mqtt", "mosquitto", "pulsar",
    "sqs", "activemq", "artemis", "zookeeper", "postgres", "postgresql", "mysql",
}  # fmt: skip
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def names(text: str) -> list[str]:
    """`line: name` for each broker, protocol or client library named, however it is spelt: RabbitMQ, redis_list."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        words = {word.lower() for word in WORD.findall(line)}
        found += [f"{number}: {word}" for word in sorted(words & NAMES)]
    return found


@pytest.mark.parametrize(
    "bad",
    [
        "if broker == 'rabbitmq': ...",
        "class RabbitMQFault: ...",
        '"""As redis_list does."""',
        "import pika",
        "AMQP_PORT = 5672",
        "# only RESP does this",
        "codec = AmqpCodec()",
    ],
)
def test_a_name_is_seen(bad: str) -> None:
    assert names(bad)


def test_other_words_are_none() -> None:
    assert names("broker, response, redistribute, correspond, natural, Kafkaesque") == []


@pytest.mark.parametrize("group", ["servers", "codecs", "brokers"])
def test_every_plugin_of_ours_is_known_by_its_name(group: str) -> None:
    for point in entry_points(group=f"chaosharness.{group}"):
        if point.dist and point.dist.name == "chaosharness":
            assert names(point.name), f"{group} has {point.name}: add it to NAMES"


@pytest.mark.parametrize("package", ABOVE)
def test_nothing_above_the_brokers_names_one(package: str) -> None:
    paths = list(python_files(f"chaosharness/{package}"))
    assert paths
    assert [f"{shown(path)}:{where}" for path in paths for where in names(path.read_text())] == []
