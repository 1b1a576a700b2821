"""Flow files that are good, and what they come to: the contract's defaults, and everything that it can say."""

from __future__ import annotations

from pathlib import Path

import pytest
from flowfile_example import GOOD, Plain, Plugins, read

from chaosharness.model.flow import Effect, Producer, Service, Source, Workload
from chaosharness.model.semantic import Promise, Semantic, Waiver


def test_defaults_are_the_contracts(tmp_path: Path) -> None:
    flow = read(tmp_path, GOOD).flows[0]
    assert flow.name == "payment"
    assert flow.source == Source("rabbitmq", "payments")
    assert flow.consumer == Service(
        name="payment",
        command="sh pay.sh --queue payments",
        env={"AMQP_URL": "{broker}", "CHARGES_URL": "{effect}"},
        cwd=str(tmp_path),
    )
    assert flow.effects == (Effect("effect", "http", "POST /v1/charges", idempotent_by="header:Idempotency-Key"),)
    assert flow.promise == Promise(Semantic.EFFECTIVELY_ONCE, "a double charge costs real money")
    assert flow.workload == Workload()
    assert flow.scenarios == ("*",)
    assert (flow.origin, flow.folder) == (str(tmp_path / "flows.toml"), str(tmp_path))


EVERYTHING = """\
[images]
rabbitmq = "rabbitmq:4"

[service.shop]
command = "sh shop.sh {payment.effects.charge} {orders.effect}"
replicas = 2
cwd = "sub"
restart = "never"
stop_grace_s = 0
pass_env = ["PATH"]
env = { BROKER = "{broker}", HOST = "{payment.effects.mail.host}", "ODD NAME" = '{"a": {"b": 1}}' }

[flow.payment]
semantic = "at_least_once"
because = "a charge that is missing costs a customer"
recover_within_s = 5
drain_within_s = 2.5
redeliver_within_s = 60
max_loss = 0
max_duplicates = 3
max_parked = 1
scenarios = ["effect-ack:*", "deliver-effect:crash"]
consumer = "shop"
[flow.payment.source]
rabbitmq = "payments"
declare = false
dead_letter = "dead"
arguments = { x-max-length = 10 }
unkeyed = "ignore"
[flow.payment.effects.charge]
http = "POST /v1/charges"
count = 2
answer = { status = 201, body = '{"ok": true}' }
[flow.payment.effects.mail]
key = "path:/orders/{key}"
idempotent_by = "body:json:$.id"
[flow.payment.workload]
messages = 20
rate_per_s = 12.5
payload = '{"order_id": "{key}", "lines": [{"n": 1}]}'
headers = { trace = "t-{key}" }
properties = { priority = 3, message_id = "{key}" }
target = 19
key_as = "text"
[flow.payment.producer]
command = "sh orders.sh --port {port} --as {replica}"
drive = "POST /orders"
[flow.payment.waive]
"effect-ack:crash" = { duplicated = 1, late = 2, because = "accepted" }
"*:slow" = { lost = 1, because = "accepted too" }

[flow.orders]
semantic = "at_most_once"
because = "a gap is harmless"
consumer = "shop"
[flow.orders.source]
rabbitmq = "orders"
[flow.orders.effect]
"""


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    payment, orders = read(tmp_path, EVERYTHING).flows
    assert payment.images == orders.images == {"rabbitmq": "rabbitmq:4"}
    assert payment.source == Source(
        broker="rabbitmq",
        name="payments",
        declare=False,
        options={"dead_letter": "dead", "arguments": {"x-max-length": 10}},
        unkeyed="ignore",
    )
    assert payment.promise == Promise(
        semantic=Semantic.AT_LEAST_ONCE,
        because="a charge that is missing costs a customer",
        count=3,
        recover_within_s=5.0,
        drain_within_s=2.5,
        redeliver_within_s=60.0,
        max_loss=0,
        max_duplicates=3,
        max_parked=1,
        unkeyed_ignored=True,
        waivers=(
            Waiver("effect-ack:crash", "duplicated", 1, "accepted"),
            Waiver("effect-ack:crash", "late", 2, "accepted"),
            Waiver("*:slow", "lost", 1, "accepted too"),
        ),
        counts={"charge": 2, "mail": 1},
    )
    assert payment.consumer is not None
    assert payment.consumer is orders.consumer
    assert payment.consumer.shared
    assert (payment.consumer.replicas, payment.consumer.restart, payment.consumer.stop_grace_s) == (2, "never", 0.0)
    assert payment.consumer.cwd == str(tmp_path / "sub")
    assert payment.consumer.pass_env == ("PATH",)
    assert payment.effects == (
        Effect("charge", "http", "POST /v1/charges", count=2, answer_status=201, answer_body='{"ok": true}'),
        Effect("mail", "http", "", key="path:/orders/{key}", idempotent_by="body:json:$.id"),
    )
    assert payment.producer == Producer(
        Service("payment-producer", "sh orders.sh --port {port} --as {replica}", cwd=str(tmp_path)), "POST /orders"
    )
    assert payment.workload == Workload(
        messages=20,
        rate_per_s=12.5,
        payload='{"order_id": "{key}", "lines": [{"n": 1}]}',
        headers={"trace": "t-{key}"},
        properties={"priority": 3, "message_id": "{key}"},
        target=19,
    )
    assert payment.scenarios == ("effect-ack:*", "deliver-effect:crash")
    assert orders.effects == (Effect("effect", "http", ""),)


def test_without_a_consumer_arrival_is_the_effect(tmp_path: Path) -> None:
    text = '[flow.f]\nsemantic = "at_least_once"\nbecause = "b"\nsource.redis_list = "jobs"\n'
    flow = read(tmp_path, text).flows[0]
    assert (flow.consumer, flow.effects, flow.promise.count) == (None, (), 1)


def test_probe_needs_no_semantic(tmp_path: Path) -> None:
    text = GOOD.replace('semantic = "effectively_once"\nbecause = "a double charge costs real money"\n', "")
    assert read(tmp_path, text, probe=True).flows[0].promise.semantic is None


def test_a_plugins_broker_and_sink_are_keys_like_any_other(tmp_path: Path) -> None:
    text = GOOD.replace('rabbitmq = "payments"', 'toy = "box"\nlid = { open = true }').replace(
        'http = "POST /v1/charges"', "toybox = true"
    )
    flow = read(tmp_path, text, Plugins(toy=Plain(), toybox=Plain())).flows[0]
    assert flow.source == Source("toy", "box", options={"lid": {"open": True}})
    assert flow.effects[0].sink == "toybox"


def test_a_relative_command_is_found_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "pay"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = GOOD.replace("sh pay.sh --queue payments", "./pay").replace("env =", 'cwd = "bin"\nenv =')
    assert read(tmp_path, text).flows[0].consumer


@pytest.mark.parametrize("target", ['"kabcd-000117"', '"shop.checks:large_order"', "0"])
def test_targets(tmp_path: Path, target: str) -> None:
    flow = read(tmp_path, GOOD + f"[flow.payment.workload]\ntarget = {target}\n").flows[0]
    assert str(flow.workload.target) == target.strip('"')
