"""What the contract knows and this version does not run: said as such, with exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest
from flowfile_example import GOOD, error

from chaosharness.model.errors import NotAvailableYet

LATER = [
    (
        'rabbitmq = "payments"',
        'kafka = "t"\nevict = false\npartitions = 3',
        "5: flow.payment.source.kafka: not available",
    ),
    (
        'rabbitmq = "payments"',
        'redis_stream = "t"\ngroup = "g"',
        "5: flow.payment.source.redis_stream: not available yet",
    ),
    (
        'http = "POST /v1/charges"',
        'sql = "select a, b"',
        "10: flow.payment.effect.sql: not available yet: the effect sql",
    ),
    ('http = "POST /v1/charges"', "smtp = true", "10: flow.payment.effect.smtp: not available yet: the effect smtp"),
    (
        "because =",
        'scenarios = ["slow:crash"]\nbecause =',
        "3: flow.payment.scenarios: not available yet: the window of ",
    ),
    (
        "because =",
        'scenarios = ["effect-ack:freeze"]\nbecause =',
        "3: flow.payment.scenarios: not available yet: the fault",
    ),
    (
        "because =",
        'stores.dedup = "postgres"\nbecause =',
        "3: flow.payment.stores.dedup: not available yet: the store postgres",
    ),
    (
        "because =",
        'workload.key_as = "uuid"\nbecause =',
        "3: flow.payment.workload.key_as: not available yet: key_as = ",
    ),
    (
        "because =",
        'workload.partition_key = "{key}"\nbecause =',
        "3: flow.payment.workload.partition_key: not available",
    ),
]


@pytest.mark.parametrize(("good", "later", "message"), LATER)
def test_not_available_yet(tmp_path: Path, good: str, later: str, message: str) -> None:
    assert good in GOOD
    caught = error(tmp_path, GOOD.replace(good, later))
    assert isinstance(caught, NotAvailableYet)
    assert caught.exit_code == 2
    assert str(caught).replace(f"{tmp_path}/", "").startswith(f"flows.toml:{message}")
