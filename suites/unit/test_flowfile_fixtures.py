"""Flow files of this repository, read with the plugins that are installed: no stand-ins."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from chaosharness.flowfile import init_files, load
from chaosharness.model.errors import NotAvailableYet
from chaosharness.registry import Registry, select

FOLDER = Path(__file__).parents[2] / "fixtures" / "flows"
LANGUAGES = set(FOLDER.glob("languages*.toml"))
"""Not every machine has what these run: test_languages.py."""
FLOWS = sorted(path for path in set(FOLDER.glob("*.toml")) - LANGUAGES if "[flow." in path.read_text(encoding="utf-8"))
CONTRACT = """
[flow.payment]
semantic = "effectively_once"
because = "a double charge costs real money"
recover_within_s = 30
[flow.payment.source]
kafka = "order.created"
[flow.payment.consumer]
command = "sh -m shop.payment"
env = { KAFKA = "{broker}", STRIPE_URL = "{effect}", REDIS = "{stores.dedup}" }
[flow.payment.effect]
http = "POST /v1/charges"
[flow.payment.stores]
dedup = "redis"
[flow.payment.workload]
messages = 200
in_flight = 10
payload = '{"order_id": "{key}", "amount": 2500}'
[flow.payment.producer]
command = "sh -m shop.orders --port {port}"
env = {}
drive = "POST /orders"
[flow.payment.waive]
"dedup:wipe" = { duplicated = 1, because = "one more e-mail after a Redis restart is accepted" }
"""


def test_there_are_some() -> None:
    assert FLOWS


@pytest.mark.parametrize("path", FLOWS, ids=lambda path: path.stem)
def test_it_loads_and_every_flow_has_scenarios(path: Path) -> None:
    registry = Registry.load()
    for flow in load(path, registry).flows:
        assert any(cell.not_applicable is None for cell in select(registry.cells(flow), flow.scenarios)), flow.name


def test_what_init_writes_loads_and_has_scenarios(tmp_path: Path) -> None:
    for name, text in init_files(sys.executable).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    registry = Registry.load()
    flow = load(tmp_path / "flows.toml", registry).flows[0]
    ids = [str(cell.id) for cell in registry.cells(flow) if cell.not_applicable is None]
    assert "payment[effect-ack:crash]" in ids
    assert len(ids) == len(set(ids))


def test_the_contracts_own_example_asks_for_more_than_there_is(tmp_path: Path) -> None:
    (tmp_path / "flows.toml").write_text(CONTRACT)
    with pytest.raises(NotAvailableYet) as caught:
        load(tmp_path / "flows.toml", Registry.load())
    assert [line.split(": ", 3)[1:] for line in str(caught.value).splitlines()] == [
        ["flow.payment.source.kafka", "not available yet", "the source kafka"],
    ]
