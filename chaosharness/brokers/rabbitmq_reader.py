"""The harness as consumer: `python -m chaosharness.brokers.rabbitmq_reader`, for a flow in which arrival is the effect.

In (environment): READER_BROKER (amqp://…), READER_QUEUE, READER_EFFECT (http://host:port). It posts each body there,
with the message's id as X-Message-Id, and acknowledges when that was answered; it connects again after every loss.
"""

from __future__ import annotations

import http.client
import os
from typing import Any
from urllib.parse import urlsplit

import pika
import pika.exceptions

from chaosharness.model.wait import wait_for

PREFETCH = 50
POST_WITHIN_S = 30.0
BACK_WITHIN_S = 600.0
"""How long the broker may be away; the harness ends this process long before."""
AGAIN_AFTER_S = 0.05


class Effect:
    """Keeps one connection to the effect's stub and opens it again when it was lost."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._path = parts.path or "/"
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=POST_WITHIN_S)

    def post(self, body: bytes, message_id: str | None) -> bool:
        """Whether it was answered with less than 400."""
        headers = {"Content-Type": "application/octet-stream"}
        if message_id:
            headers["X-Message-Id"] = message_id
        try:
            self._connection.request("POST", self._path, body, headers)
            with self._connection.getresponse() as answer:
                answer.read()
                return answer.status < http.client.BAD_REQUEST
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return False

    def close(self) -> None:
        self._connection.close()


def read(broker: str, queue: str, effect: Effect) -> None:
    """Consumes until the connection is lost; raises what pika raises."""
    parameters = pika.URLParameters(broker)
    parameters.socket_timeout = parameters.stack_timeout = 5

    def on_message(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        if effect.post(body, properties.message_id):
            channel.basic_ack(method.delivery_tag)
        else:
            channel.basic_nack(method.delivery_tag, requeue=True)

    connection = pika.BlockingConnection(parameters)
    try:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=PREFETCH)
        channel.basic_consume(queue, on_message)
        channel.start_consuming()
    finally:
        if connection.is_open:
            connection.close()


def main() -> None:
    """Runs until it is ended."""
    effect = Effect(os.environ["READER_EFFECT"])

    def once() -> None:
        try:
            read(os.environ["READER_BROKER"], os.environ["READER_QUEUE"], effect)
        except (pika.exceptions.AMQPError, OSError) as lost:
            print(f"connecting again: {lost!r}", flush=True)

    try:
        wait_for("the broker to come back", BACK_WITHIN_S, once, poll_s=AGAIN_AFTER_S)
    finally:
        effect.close()


if __name__ == "__main__":
    main()
