"""The harness as consumer: `python -m chaosharness.brokers.rabbitmq_reader`, for a flow in which arrival is the effect.

In: the environment of `readers`; READER_BROKER is amqp://…. It posts each body to the effect, with the message's id as
X-Message-Id, and acknowledges when that was answered; it connects again after every loss.
"""

from __future__ import annotations

import os
from typing import Any

import pika
import pika.exceptions

from chaosharness.brokers.readers import Effect
from chaosharness.model.wait import wait_for

PREFETCH = 50
BACK_WITHIN_S = 600.0
"""How long the broker may be away; the harness ends this process long before."""
AGAIN_AFTER_S = 0.05


def read(broker: str, queue: str, effect: Effect) -> None:
    """Consumes until the connection is lost; raises what pika raises."""
    parameters = pika.URLParameters(broker)
    parameters.socket_timeout = parameters.stack_timeout = 5

    def on_message(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        if effect.post(body, properties.message_id) is None:
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
