"""A payment service: takes orders from a queue, charges each by a request to an API, and acknowledges last.

It keeps its promise by three habits: the acknowledgement comes after the charge has been answered, a charge is repeated
under the same Idempotency-Key, and a lost connection is opened again. Take one away, and see which window finds it.
Needs AMQP_URL and CHARGES_URL in the environment, and pika.
"""

from __future__ import annotations

import http.client
import json
import os
import urllib.request

import pika
import pika.exceptions

QUEUE = "payments"
TIMEOUT_S = 10
RETRY_S = 0.2


def charge(order: dict[str, object]) -> None:
    """One request. Raises OSError or HTTPException where it is not known to have been answered well."""
    request = urllib.request.Request(
        os.environ["CHARGES_URL"] + "/v1/charges",
        method="POST",
        data=json.dumps(order).encode(),
        headers={"Content-Type": "application/json", "Idempotency-Key": str(order["order_id"])},
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        answer.read()


def consume() -> None:
    """Works until the connection is lost."""
    parameters = pika.URLParameters(os.environ["AMQP_URL"])
    parameters.heartbeat = 10
    parameters.connection_attempts, parameters.retry_delay = 600, RETRY_S
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=10)
        for method, _, body in channel.consume(QUEUE):
            try:
                charge(json.loads(body))
            except (OSError, http.client.HTTPException) as error:
                print(f"not charged, will be tried again: {error}", flush=True)
                connection.process_data_events(time_limit=RETRY_S)
                channel.basic_nack(method.delivery_tag, requeue=True)
            else:
                channel.basic_ack(method.delivery_tag)


def main() -> None:
    """Consumes for ever."""
    while True:
        try:
            consume()
        except (pika.exceptions.AMQPError, OSError) as error:
            print(f"connection lost, opening another: {error!r}", flush=True)


if __name__ == "__main__":
    main()
