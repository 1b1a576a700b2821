"""Bad input: nothing is started, exit code 2, and a message that says where, what was found and what was expected."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from product import flow

from chaosharness.cli import main
from chaosharness.servers import redis

GOOD = flow()

FILES = {
    "unknown key": (
        ("drain_within_s", "drain_withn_s"),
        'flows.toml:4: flow.shipper.drain_withn_s: unknown key; did you mean "drain_within_s"? (known: semantic, ',
    ),
    "semantic": (
        ("effectively_once", "exactly_once"),
        'flows.toml:2: flow.shipper.semantic: unknown semantic "exactly_once"; did you mean "effectively_once"?',
    ),
    "window": (
        ('"effect-ack:crash"', '"effect-akc:crash"'),
        'flows.toml:5: flow.shipper.scenarios: unknown window "effect-akc"; did you mean "effect-ack"? (known: ',
    ),
    "fault": (
        ('"effect-ack:crash"', '"effect-ack:crush"'),
        'flows.toml:5: flow.shipper.scenarios: unknown fault "crush"; did you mean "crash"? (known: ',
    ),
    "template": (
        ("{effect}", "{efect}"),
        'flows.toml:10: flow.shipper.consumer.env.CARRIER_URL: unknown template {efect}; did you mean "effect"?',
    ),
    "command": (
        ("python3", "no-such-command"),
        "flows.toml:9: flow.shipper.consumer.command: command not found: no-such-command (on PATH: ",
    ),
    "broker": (("redis_list", "redis_lst"), 'unknown key; did you mean "redis_list"?'),
    "TOML": (("[flow.shipper.source]", "[flow.shipper.source"), "flows.toml:6: not TOML: "),
    "no flow": ((GOOD, ""), "flows.toml: no flow is declared; expected a table [flow.NAME]"),
}

OPTIONS = {
    "only": (["--only", "nothing*"], "--only nothing*: matches no scenario; an id has the form flow[window:fault]; "),
    "only, nearly": (["--only", "shipper[effect-akc:crash]"], "nearest: shipper[effect-ack:crash], "),
    "only, one of two": (["--only", "shipper[*", "--only", "nothing[*"], "--only nothing[*: matches no scenario"),
    "left out": (
        ["--only", "shipper[effect-ack:freeze]"],
        "--only shipper[effect-ack:freeze]: matches only what the flow's own `scenarios` leave out; it has shipper[pub",
    ),
    "pair left out": (["--only", "shipper[effect-ack:crash+broker-kill]"], "matches only what the flow's own `scen"),
    "no such pair": (["--only", "shipper[effect-ack:crash+cras]"], "matches no scenario; nearest: shipper[effect-"),
    "target beyond": (
        ["--target", "999"],
        "flows.toml: target '999': of 30 messages, 0 to 26 are sent before the heal",
    ),
    "target kept back": (["--target", "27"], "flows.toml: target '27': of 30 messages, 0 to 26 are sent"),
    "target": (["--target", "some"], "target 'some': expected a message's number, a key or module:function"),
    "target function": (["--target", "nowhere:is_it"], "target 'nowhere:is_it': cannot be loaded: No module named 'no"),
    "no plan": (["--replay", "flows.toml"], "--replay flows.toml: cannot be read as a scenario plan: "),
    "plan is nowhere": (["--replay", "plan.json"], "--replay plan.json: cannot be read as a scenario plan: "),
    "runs": (["--runs", "flows.toml/runs"], "--runs flows.toml/runs: the run's folder cannot be made: "),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current one, with a good flow file in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flows.toml").write_text(GOOD, encoding="utf-8")
    return tmp_path


def started(folder: Path) -> list[Path]:
    """What a run that has started something leaves in its folder."""
    return [*folder.glob(".chaosharness/runs/*/keeper"), *folder.glob(".chaosharness/runs/*/servers")]


@pytest.mark.parametrize("name", FILES)
def test_a_bad_flow_file(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (good, bad), said = FILES[name]
    assert GOOD.count(good) == 1 or name == "no flow"
    (folder / "flows.toml").write_text(GOOD.replace(good, bad, 1), encoding="utf-8")
    assert main(["run", "flows.toml"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("chaosharness: ")
    assert said in err
    assert not (folder / ".chaosharness").exists()


@pytest.mark.parametrize("name", OPTIONS)
def test_a_bad_option(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    arguments, said = OPTIONS[name]
    assert main(["run", "flows.toml", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert started(folder) == []


@pytest.mark.parametrize("arguments", [[], ["run", "--seed", "x"], ["run", "--backend", "podman"], ["report"], ["boo"]])
def test_bad_usage(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: chaosharness" in capsys.readouterr().err


def test_a_backend_of_the_environment_that_there_is_not(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAOSHARNESS_BACKEND", "dokcer")
    assert main(["run", "flows.toml"]) == 2
    said = "CHAOSHARNESS_BACKEND: unknown backend 'dokcer'; did you mean \"docker\"?"
    assert said in capsys.readouterr().err
    assert not (folder / ".chaosharness").exists()


def test_no_flow_file_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "nowhere.toml"]) == 2
    assert "nowhere.toml: cannot be read: No such file" in (said := capsys.readouterr().err)
    assert "`chaosharness init` writes one" in said
    assert main(["run"]) == 2
    assert "run: expected a flow file, or --replay with a scenario plan" in capsys.readouterr().err


def test_a_toxiproxy_that_is_missing(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAOSHARNESS_TOXIPROXY", "/nowhere")
    assert main(["run", "flows.toml", "--backend", "local"]) == 2
    said = capsys.readouterr().err
    assert "toxiproxy cannot be started here: CHAOSHARNESS_TOXIPROXY names /nowhere, which is no program" in said
    assert "to add it: GOBIN=" in said
    assert "`chaosharness doctor` shows what this machine has" in said
    assert started(folder) == []
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")  # with an engine, all could be run
    assert main(["doctor"]) == 2
    assert "toxiproxy    missing" in capsys.readouterr().out


@pytest.mark.parametrize(("source", "remedy"), [("redis_list", "redis-server"), ("rabbitmq", "rabbitmq-server")])
def test_a_broker_that_is_missing(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, source: str, remedy: str
) -> None:
    """PATH leads to Python and to nothing else."""
    bare = folder / "bin"
    bare.mkdir()
    (bare / "python3").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(bare))
    monkeypatch.setattr(redis, "ALSO_IN", (str(bare),))
    (folder / "flows.toml").write_text(GOOD.replace("redis_list", source), encoding="utf-8")
    assert main(["run", "flows.toml", "--backend", "local"]) == 2
    said = capsys.readouterr().err
    assert f"{source.removesuffix('_list')} cannot be started here: " in said
    assert "to add it: apt-get install" in said
    assert remedy in said
    assert started(folder) == []


def test_a_report_of_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "nowhere"]) == 2
    assert "nowhere: expected the folder of a run, found nothing there" in capsys.readouterr().err
    assert main(["report", str(folder)]) == 2
    assert str(folder) in capsys.readouterr().err


def test_a_term_that_nobody_uses(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "effect-akc"]) == 2
    assert 'no term "effect-akc"; did you mean effect-ack' in capsys.readouterr().err


def test_init_overwrites_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init"]) == 2
    assert (
        capsys.readouterr().err == "chaosharness: flows.toml: there already; `chaosharness init` overwrites nothing\n"
    )
    assert (folder / "flows.toml").read_text(encoding="utf-8") == GOOD
    assert [path.name for path in folder.iterdir()] == ["flows.toml"]
