"""A consumer with a switch for each way to stall or deceive the harness; with all of them off it keeps its promise.

It charges each order of a RabbitMQ queue by `POST /v1/charges` and acknowledges last. Environment: AMQP_URL, QUEUE,
CHARGES_URL; the switches, off where not set: PAUSE_S before each charge; TIMEOUT_S of a request (10); BYPASS, a
host:port to consume from instead; PAST, a host:port to be connected to besides; GIBBERISH and UNKEYED, to be sent once.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sys
import threading
from urllib.parse import urlsplit

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPConnectionError

stopping = threading.Event()


def switch(name: str) -> str:
    return os.environ.get(name, "")


def charge(api: http.client.HTTPConnection, order: bytes) -> None:
    """Repeats the request until it is answered."""
    headers = {"Idempotency-Key": json.loads(order).get("order_id", "none"), "Content-Type": "application/json"}
    while not stopping.is_set():
        try:
            api.request("POST", "/v1/charges", order, headers)
            answer = api.getresponse()
            answer.read()
            return
        except (OSError, http.client.HTTPException) as failed:
            api.close()
            print(f"charge failed, will be repeated: {failed!r}", flush=True)
            stopping.wait(0.05)


def consume(channel: BlockingChannel, api: http.client.HTTPConnection, queue: str) -> None:
    channel.basic_qos(prefetch_count=20)
    for method, _, body in channel.consume(queue, inactivity_timeout=0.05):
        if method is not None:
            stopping.wait(float(switch("PAUSE_S") or 0))
            charge(api, body)
            if not stopping.is_set():
                channel.basic_ack(method.delivery_tag)
        if stopping.is_set():
            return


def deceive(url: pika.URLParameters, queue: str) -> list[socket.socket]:
    """Does once, before anything is consumed, what the switches say; the sockets are to stay open."""
    opened = []
    if switch("PAST"):
        host, _, port = switch("PAST").partition(":")
        opened.append(socket.create_connection((host, int(port))))
    if switch("GIBBERISH"):
        opened.append(socket.create_connection((url.host, url.port)))
        opened[-1].sendall(switch("GIBBERISH").encode())
        while opened[-1].recv(4096):  # until the broker has refused it
            pass
    if switch("UNKEYED"):
        with pika.BlockingConnection(url) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.basic_publish("", queue, switch("UNKEYED").encode())
    return opened


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    past = urlsplit(os.environ["AMQP_URL"])
    if switch("BYPASS"):
        past = past._replace(netloc=f"{past.netloc.rpartition('@')[0]}@{switch('BYPASS')}")
    url, queue = pika.URLParameters(past.geturl()), os.environ["QUEUE"]
    url.connection_attempts, url.retry_delay = 100, 0.1
    api = http.client.HTTPConnection(
        urlsplit(os.environ["CHARGES_URL"]).netloc, timeout=float(switch("TIMEOUT_S") or 10)
    )
    opened = deceive(url, queue)
    while not stopping.is_set():
        try:
            with pika.BlockingConnection(url) as connection:
                consume(connection.channel(), api, queue)
        except AMQPConnectionError as lost:
            print(f"connection lost: {lost!r}", file=sys.stderr, flush=True)
    for one in opened:
        one.close()


if __name__ == "__main__":
    main()
