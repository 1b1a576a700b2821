"""A service as a recipe: its words, its clean environment, its folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaosharness.model.errors import BadInput
from chaosharness.model.flow import Service
from chaosharness.systems.command import command_recipe


def fill(text: str) -> str:
    return text.replace("{broker}", "amqp://h:1/v w")


def test_a_command_is_split_before_its_templates_are_filled(tmp_path: Path) -> None:
    service = Service("payment", "python -m 'shop payment' --to {broker}", env={"KAFKA": "{broker}"}, restart="never")
    recipe = command_recipe(service, "payment.1", fill, tmp_path)
    assert recipe.argv == ("python", "-m", "shop payment", "--to", "amqp://h:1/v w")
    assert recipe.env["KAFKA"] == "amqp://h:1/v w"
    assert (recipe.name, recipe.restart, recipe.stdio) == ("payment.1", "never", None)


def test_the_environment_is_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "s")
    monkeypatch.setenv("JAVA_HOME", "/opt/java")
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.delenv("LANG", raising=False)
    recipe = command_recipe(Service("a", "a", pass_env=("JAVA_HOME",)), "a.0", fill, tmp_path)
    assert sorted(recipe.env) == ["HOME", "JAVA_HOME", "LANG", "PATH", "TMPDIR"]
    assert (recipe.env["JAVA_HOME"], recipe.env["PATH"], recipe.env["LANG"]) == ("/opt/java", "/bin", "C.UTF-8")
    own = command_recipe(Service("a", "a", env={"PATH": "/own"}), "a.0", fill, tmp_path)
    assert own.env["PATH"] == "/own"


def test_a_relative_part_of_path_means_what_it_means_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "venv/bin::/bin")
    recipe = command_recipe(Service("a", "a"), "a.0", fill, tmp_path)
    assert recipe.env["PATH"] == f"{tmp_path}/venv/bin:/bin"


def test_a_name_to_pass_that_is_not_set_is_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(BadInput, match="pass_env names JAVA_HOME"):
        command_recipe(Service("a", "a", pass_env=("JAVA_HOME",)), "a.0", fill, tmp_path)


def test_its_folders_are_its_own_but_for_the_one_that_is_declared(tmp_path: Path) -> None:
    recipe = command_recipe(Service("a", "a"), "a.0", fill, tmp_path)
    assert recipe.folder == tmp_path
    assert recipe.log == tmp_path / "a.0.log"
    assert Path(recipe.env["TMPDIR"]) == tmp_path / "a.0.tmp"
    assert (tmp_path / "a.0.tmp").is_dir()
    assert command_recipe(Service("a", "a", cwd="/elsewhere"), "a.0", fill, tmp_path).folder == Path("/elsewhere")
