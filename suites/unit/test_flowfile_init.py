"""What `chaosharness init` writes is a good flow file beside a service that can be run."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest
from flowfile_example import Plugins

from chaosharness.flowfile import init_files, load


@pytest.mark.parametrize("python", [sys.executable, "sh"])
def test_it_loads_as_it_is(tmp_path: Path, python: str) -> None:
    for name, text in init_files(python).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    file = load(tmp_path / "flows.toml", Plugins())
    assert [flow.name for flow in file.flows] == ["payment"]
    consumer = file.flows[0].consumer
    assert consumer
    assert consumer.command == f"{python} payment_service.py"


def test_an_interpreter_with_odd_letters_in_its_path(tmp_path: Path) -> None:
    python = tmp_path / 'my "own" py'
    python.symlink_to(sys.executable)
    (tmp_path / "flows.toml").write_text(init_files(str(python))["flows.toml"], encoding="utf-8")
    assert load(tmp_path / "flows.toml", Plugins()).flows


def test_what_is_commented_out_is_good_too(tmp_path: Path) -> None:
    """Every line of it that looks like TOML is what it says, once its comment mark is gone."""
    files = init_files("sh")
    lines = [
        line.removeprefix("# ") if line.startswith("# [") or (line.startswith("# ") and "=" in line) else line
        for line in files["flows.toml"].splitlines()
    ]
    text = "\n".join(lines).replace("python3 order_service.py", "sh orders.sh").replace('pass_env = ["JAVA_HOME"]', "")
    assert "producer" in tomllib.loads(text)["flow"]["payment"]
    (tmp_path / "flows.toml").write_text(text, encoding="utf-8")
    flow = load(tmp_path / "flows.toml", Plugins()).flows[0]
    assert flow.producer
    assert flow.promise.waivers
    assert flow.consumer
    assert flow.consumer.replicas == 2


def test_the_service_is_python(tmp_path: Path) -> None:
    compile(init_files("sh")["payment_service.py"], "payment_service.py", "exec")
