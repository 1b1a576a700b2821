"""The Python face: the same flow as in a flow file, through the same checks."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from flowfile_example import GOOD, Plugins, read
from test_flowfile_good import EVERYTHING

import chaosharness as chaos
from chaosharness import api
from chaosharness.model.errors import BadInput, NotAvailableYet
from chaosharness.model.flow import Flow

HERE = Path(__file__)


@pytest.fixture(autouse=True)
def _stand_in_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "registry", Plugins)


def same(python: Flow, toml: Flow) -> None:
    """Equal but for where they stand, and what stands around them there."""
    assert python == replace(
        toml,
        origin=python.origin,
        folder=python.folder,
        images=python.images,  # a table of the file's own, which Python has no word for
        consumer=toml.consumer and replace(toml.consumer, cwd=python.folder),
        producer=toml.producer and replace(toml.producer, service=replace(toml.producer.service, cwd=python.folder)),
    )


def test_the_smallest_flow(tmp_path: Path) -> None:
    line = inspect.currentframe().f_lineno + 1  # type: ignore[union-attr]
    flow = chaos.Flow(
        "payment",
        source=chaos.rabbitmq("payments"),
        consumer=chaos.command("sh pay.sh --queue payments", env={"AMQP_URL": "{broker}", "CHARGES_URL": "{effect}"}),
        effect=chaos.http("POST /v1/charges", idempotent_by="header:Idempotency-Key"),
        semantic=chaos.effectively_once(),
        because="a double charge costs real money",
    )
    same(flow, read(tmp_path, GOOD).flows[0])
    assert flow.origin.endswith(f"{HERE.name}:{line}")
    assert flow.folder == str(HERE.parent)


def test_a_flow_that_says_everything(tmp_path: Path) -> None:
    flow = chaos.Flow(
        "payment",
        source=chaos.rabbitmq(
            "payments", declare=False, dead_letter="dead", arguments={"x-max-length": 10}, unkeyed="ignore"
        ),
        consumer=chaos.command("sh shop.sh {effects.charge}", replicas=2, restart="never", stop_grace_s=0),
        effects={
            "charge": chaos.http("POST /v1/charges", count=2, answer={"status": 201, "body": '{"ok": true}'}),
            "mail": chaos.http(key="path:/orders/{key}", idempotent_by="body:json:$.id"),
        },
        semantic=chaos.at_least_once(
            recover_within_s=5, drain_within_s=2.5, redeliver_within_s=60, max_loss=0, max_duplicates=3, max_parked=1
        ),
        because="a charge that is missing costs a customer",
        workload=chaos.workload(
            messages=20,
            rate_per_s=12.5,
            payload='{"order_id": "{key}", "lines": [{"n": 1}]}',
            headers={"trace": "t-{key}"},
            properties={"priority": 3, "message_id": "{key}"},
            target=19,
            key_as="text",
        ),
        producer=chaos.producer("sh orders.sh --port {port} --as {replica}", drive="POST /orders"),
        scenarios=("effect-ack:*", "deliver-effect:crash"),
        waive={
            "effect-ack:crash": {"duplicated": 1, "late": 2, "because": "accepted"},
            "*:slow": {"lost": 1, "because": "accepted too"},
        },
    )
    (tmp_path / "sub").mkdir()
    toml = read(tmp_path, EVERYTHING).flows[0]
    own = replace(
        toml.consumer, name="payment", shared=False, pass_env=(), env={}, command="sh shop.sh {effects.charge}"
    )  # type: ignore[type-var]
    same(flow, replace(toml, consumer=own))


def test_errors_point_at_the_caller() -> None:
    with pytest.raises(BadInput) as caught:
        chaos.Flow("payment", source=chaos.rabbitmq("q", routing_kye="x"), semantic="exactly_once", because="b")
    lines = str(caught.value).splitlines()
    assert all(f"{HERE.name}:" in line for line in lines)
    assert 'flow.payment.semantic: unknown semantic "exactly_once"; did you mean "effectively_once"?' in lines[0]
    assert 'flow.payment.source.routing_kye: unknown key; did you mean "routing_key"?' in lines[1]


@pytest.mark.parametrize(
    "parts",
    [
        {"source": api.kafka("order.created")},
        {"source": api.redis_stream("s", group="g")},
        {"source": api.rabbitmq("q"), "consumer": api.command("sh"), "effect": api.kafka("out")},
    ],
)
def test_what_is_not_available_yet(parts: dict[str, api.Part]) -> None:
    with pytest.raises(NotAvailableYet, match=r"test_flowfile_api\.py:\d+: flow\.f\.\S+: not available yet: "):
        chaos.Flow("f", semantic=chaos.at_least_once(), because="b", **parts)  # type: ignore[arg-type]


def test_a_name_that_is_none() -> None:
    with pytest.raises(BadInput, match="a flow's name is a string, found 3"):
        chaos.Flow(3, source=chaos.rabbitmq("q"))  # type: ignore[arg-type]


def test_the_import_is_cheap() -> None:
    """The relay and the keeper live in the same package."""
    code = "import sys, chaosharness; print([m for m in sys.modules if m.startswith(('chaosharness.', 'pytest'))])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_python_face_needs_no_pytest() -> None:
    code = "import sys, chaosharness; chaosharness.Flow; print([m for m in sys.modules if 'pytest' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_names_are_listed_and_others_are_not_there() -> None:
    assert {"Flow", "every_window", "rabbitmq", "__version__"} <= set(dir(chaos))
    assert chaos.__version__
    with pytest.raises(AttributeError, match="no attribute 'nosuch'"):
        _ = chaos.nosuch  # type: ignore[attr-defined]


def test_types_and_names_agree() -> None:
    stub = Path(chaos.__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    declared = re.findall(r" as (\w+)$", stub, re.MULTILINE)
    assert sorted(declared) == sorted([*chaos._FROM_API, "every_window"])
