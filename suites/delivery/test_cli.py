"""The command line over real servers: exit codes, the one JSON document, seeds, replays, and what `init` writes."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from product import Said, cli, flow, twin

from chaosharness.cli import main
from chaosharness.model.verdict import Code, FindingKind
from chaosharness.model.window import FAULTS, WINDOWS

SERVERS = ("toxiproxy", "rabbitmq", "redis")
CELL = "shipper[effect-ack:crash]"
LOST = "brpop_worker[store-deliver:cut]"
SCHEMA = json.loads((files("chaosharness.report") / "run_schema.json").read_text(encoding="utf-8"))
DEAF = flow("deaf", drain_within_s=2).replace('command = "python3', 'restart = "never"\ncommand = "false')
"""A flow whose consumer ends at once: nothing is ever proven of it."""


def document(said: Said) -> Any:
    """Standard output as one JSON document, held to its schema."""
    found = said.json()
    jsonschema.validate(found, SCHEMA)
    return found


def scenarios(said: Said) -> dict[str, Any]:
    return {one["id"]: one for one in document(said)["scenarios"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a flow file of each kind."""
    folder = tmp_path_factory.mktemp("flows")
    (folder / "flows.toml").write_text(flow(), encoding="utf-8")
    (folder / "twin.toml").write_text(twin(), encoding="utf-8")
    (folder / "deaf.toml").write_text(DEAF, encoding="utf-8")
    (folder / "mixed.toml").write_text(twin() + DEAF, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def upheld(folder: Path) -> Said:
    """All windows of the flow that keeps its promise, run with seed 5."""
    return cli(folder, "run", "flows.toml", "--seed", "5", "--json", "--runs", "upheld")


@pytest.fixture(scope="module")
def violated(folder: Path) -> Said:
    """One window of the flow that does not."""
    return cli(folder, "run", "twin.toml", "--seed", "5", "--only", LOST, "--json", "--runs", "violated")


def the_run(folder: Path, runs: str) -> Path:
    (run,) = (folder / runs).iterdir()
    return run


def test_every_window_of_a_good_flow_is_upheld(upheld: Said) -> None:
    assert upheld.code == 0, upheld
    assert upheld.err == ""
    assert document(upheld)["exit_code"] == 0
    found = scenarios(upheld)
    verdicts = {scenario: one["verdict"] for scenario, one in found.items()}
    assert set(verdicts.values()) == {"upheld", "not_applicable"}, verdicts
    assert sum(verdict == "upheld" for verdict in verdicts.values()) == 8
    assert all(one["reason"] for one in found.values() if one["verdict"] == "not_applicable")
    assert found[CELL]["counts"]["owed"] == found[CELL]["counts"]["effects"] == 30


def test_the_run_leaves_a_folder(folder: Path, upheld: Said) -> None:
    run = the_run(folder, "upheld")
    assert json.loads((run / "run.json").read_text(encoding="utf-8")) == document(upheld)
    assert "<html" in (run / "report.html").read_text(encoding="utf-8")
    assert [path for path in run.rglob("*") if ":" in path.name] == []
    for name in ("keeper/keeper.log", "relay/relay.log", "servers/redis/redis.log", "servers/toxiproxy/toxiproxy.log"):
        assert (run / name).is_file(), name
    scenario = run / "scenarios" / "shipper-effect-ack-crash"
    kept = {path.name for path in scenario.iterdir()}
    assert {"harness.ledger.jsonl", "keeper.ledger.jsonl", "relay.ledger.jsonl", "shipper.0.log", "plan.json"} <= kept


def test_a_run_is_reported_again(folder: Path, upheld: Said, violated: Said) -> None:
    run = the_run(folder, "upheld")
    page = (run / "report.html").read_bytes()
    (run / "report.html").unlink()
    said = cli(folder, "report", str(run))
    assert (said.code, said.err) == (0, "")
    assert "8 upheld" in said.out
    assert (run / "report.html").read_bytes() == page
    assert document(cli(folder, "report", str(run), "--json")) == document(upheld)
    again = cli(folder, "report", str(the_run(folder, "violated")))
    assert again.code == 0
    assert f"{LOST}  violated" in again.out


def test_a_lost_message_is_a_violation(violated: Said) -> None:
    assert violated.code == document(violated)["exit_code"] == 1, violated
    (result,) = scenarios(violated).values()
    (lost,) = [one for one in result["findings"] if one["kind"] == "lost"]
    assert (result["verdict"], lost["keys"], lost["attribution"]) == ("violated", [result["target"]], "never delivered")
    assert lost["evidence"]
    assert result["reproduce"] == f"chaosharness run twin.toml --only '{LOST}' --seed 5"


def test_what_a_person_sees_of_a_violation(folder: Path) -> None:
    said = cli(folder, "run", "twin.toml", "--only", LOST, "--seed", "5", "--runs", "seen")
    assert said.code == 1, said
    for part in (f"{LOST}  violated", "because a parcel is sent, and sent once", "lost: 1 message", "reproduce: "):
        assert part in said.out, said
    assert f"report: {the_run(folder, 'seen') / 'report.html'}" in said.out
    assert LOST in said.err


def test_nothing_proven(folder: Path) -> None:
    said = cli(folder, "run", "deaf.toml", "--only", "deaf[effect-ack:crash]", "--json", "--runs", "deaf")
    assert said.code == 3, said
    (result,) = scenarios(said).values()
    assert result["verdict"] == "unproven"
    assert "ready_before_publish" in result["unproven_because"]
    assert any("deaf.0 ended before it subscribed to orders" in note for note in result["notes"])


def test_a_violation_counts_more_than_what_is_not_proven(folder: Path) -> None:
    only = ["--only", LOST, "--only", "deaf[effect-ack:crash]"]
    said = cli(folder, "run", "mixed.toml", *only, "--json", "--runs", "mixed")
    assert said.code == 1, said
    assert {one["verdict"] for one in scenarios(said).values()} == {"violated", "unproven"}


def test_the_same_seed_aims_at_the_same_message(folder: Path, upheld: Said) -> None:
    def run(*options: str) -> Any:
        return scenarios(cli(folder, "run", "flows.toml", "--only", CELL, "--json", "--runs", "again", *options))[CELL]

    first, second = scenarios(upheld)[CELL], run("--seed", "5")
    assert (second["target"], second["verdict"]) == (first["target"], "upheld")
    other = run("--seed", "6", "--target", "11")
    assert other["target"].endswith("-000011")
    assert other["target"] != first["target"]
    assert other["reproduce"].endswith("--seed 6 --target 11")


def test_a_plan_is_replayed(folder: Path, violated: Said) -> None:
    """The same key, the same verdict; the flow file is the one that the plan names."""
    (plan,) = the_run(folder, "violated").glob("scenarios/*/plan.json")
    said = cli(folder, "run", "--replay", str(plan), "--json", "--runs", "replayed")
    assert said.code == 1, said
    (first,), (second,) = scenarios(violated).values(), scenarios(said).values()
    for name in ("id", "target", "verdict", "seed"):
        assert second[name] == first[name]
    assert [one["kind"] for one in second["findings"]] == [one["kind"] for one in first["findings"]]
    assert second["reproduce"] == f"chaosharness run --replay {plan}"


def test_a_probe_needs_no_promise(folder: Path) -> None:
    declared = ('semantic = "effectively_once"\n', 'because = "a parcel is sent, and sent once"\n')
    undeclared = twin().replace(declared[0], "").replace(declared[1], "")
    assert "once" not in undeclared
    (folder / "undeclared.toml").write_text(undeclared, encoding="utf-8")
    said = cli(folder, "probe", "undeclared.toml", "--only", LOST, "--json", "--runs", "probed")
    assert said.code == 0, said
    (result,) = scenarios(said).values()
    assert (result["declared"], result["observed"]) == (None, "at_most_once")
    deaf = cli(folder, "probe", "deaf.toml", "--only", "deaf[effect-ack:crash]", "--runs", "probed")
    assert deaf.code == 3, deaf


def test_init_and_run(tmp_path: Path) -> None:
    """In an empty folder, as the first thing that anybody does; RabbitMQ is what it needs."""
    said = cli(tmp_path, "init")
    assert (said.code, said.err) == (0, "")
    assert said.out == "wrote flows.toml and payment_service.py; try: chaosharness run flows.toml\n"
    run = cli(tmp_path, "run", "flows.toml", "--only", "payment[effect-*:crash]", "--json")
    assert run.code == 0, run
    assert {one["verdict"] for one in scenarios(run).values()} == {"upheld"}


@pytest.mark.parametrize("command", ["", "run", "probe", "doctor", "init", "report", "explain"])
def test_help(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*([command] if command else []), "--help"])
    assert ended.value.code == 0
    out, err = capsys.readouterr()
    assert out.startswith("usage: chaosharness")
    assert err == ""
    if command in ("", "run", "probe"):
        assert "4 the harness broke" in " ".join(out.split())


def test_doctor_knows_every_server(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert {*SERVERS} <= {line.split()[0] for line in out.splitlines()}
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {(name, True) for name in SERVERS} <= {(one["server"], one["ok"]) for one in found["servers"]}
    assert found["plugins"] == []


def test_every_word_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    for term in (*WINDOWS, *FAULTS, *Code, *FindingKind, "effectively_once", "observed semantic"):
        assert main(["explain", *term.split()]) == 0, term
        assert len(capsys.readouterr().out) > 20, term
    assert main(["explain", "effect-ack", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["term"] == "effect-ack"
