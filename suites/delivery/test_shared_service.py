"""One deployment for two flows, `[service.NAME]`: each flow has scenarios of its own, over the same running service."""

from __future__ import annotations

from pathlib import Path

import pytest
from product import FIXTURES, cli

from chaosharness.ledger.reader import read
from chaosharness.model.event import Kind

FLOWS = FIXTURES / "flows" / "services.toml"


@pytest.mark.parametrize("scenario", ["charge[effect-ack:crash]", "notice[deliver-effect:crash]"])
def test_each_flow_of_a_shared_service(tmp_path: Path, scenario: str) -> None:
    said = cli(tmp_path, "run", str(FLOWS), "--only", scenario, "--seed", "5", "--json")
    (result,) = said.json()["scenarios"]
    assert (said.code, result["verdict"]) == (0, "upheld"), said
    assert result["counts"]["owed"] == 100
    (folder,) = tmp_path.glob(".chaosharness/runs/*/scenarios/*")
    events = read(folder / "relay.ledger.jsonl")[0]
    sinks = {str(event.data["sink"]) for event in events if event.kind is Kind.EFFECT}
    assert sinks == {"effect"}, "the other flow's sink is there, and gets nothing"
    reached = {event.link for event in events if event.kind is Kind.SUBSCRIBED and event.data.get("source")}
    assert reached == {"shop.0>broker.0"}
