"""The service that `chaosharness init` writes, against a real RabbitMQ: every order is charged, broker dead or not."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pika
import pytest
from rabbitmq_rig import Rig, running

from chaosharness.flowfile import init_files
from chaosharness.model.wait import wait_for
from chaosharness.ports.launch import Namespace, Signal

SOON_S = 20.0


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("keeper")) as rig:
        yield rig


@contextmanager
def charges() -> Iterator[tuple[str, list[str]]]:
    """A payment API: its address, and the idempotency keys that came."""
    seen: list[str] = []

    class Api(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/charges"
            self.rfile.read(int(self.headers["Content-Length"]))
            seen.append(self.headers["Idempotency-Key"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()
            thread.join()


def publish(url: str, orders: list[str]) -> None:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.queue_declare("payments", durable=True)
        channel.confirm_delivery()
        lasting = pika.BasicProperties(delivery_mode=2)
        for order in orders:
            channel.basic_publish("", "payments", f'{{"order_id": "{order}"}}'.encode(), lasting)


def left(url: str) -> int:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        count: int = connection.channel().queue_declare("payments", durable=True).method.message_count
        return count


def connection_string(rig: Rig, namespace: Namespace) -> str:
    facts = namespace.facts
    return f"amqp://{facts['user']}:{facts['password']}@{rig.amqp}/{facts['vhost']}"


def test_every_order_is_charged_also_after_the_broker_died(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "payment_service.py").write_text(init_files(sys.executable)["payment_service.py"], encoding="utf-8")
    with rig.lease() as namespace, charges() as (api, seen):
        url = connection_string(rig, namespace)
        first, second = [f"first-{n}" for n in range(20)], [f"second-{n}" for n in range(20)]
        publish(url, first)
        service = subprocess.Popen(
            [sys.executable, "payment_service.py"],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "AMQP_URL": url, "CHARGES_URL": api},
        )
        try:
            wait_for("the first orders to be charged", SOON_S, lambda: {*first} <= {*seen})
            assert rig.instance.signal(Signal.KILL).ok
            assert rig.instance.restart().ok
            rig.server.wait_ready(rig.instance)
            publish(url, second)
            wait_for("the others to be charged", SOON_S, lambda: {*second} <= {*seen})
            wait_for("the queue to be empty", SOON_S, lambda: left(url) == 0)
            assert service.poll() is None
        finally:
            service.terminate()
            service.wait(SOON_S)
    assert {*seen} == {*first, *second}
