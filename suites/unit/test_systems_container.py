"""A service as a container's recipe: its words, its environment, its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaosharness.model.errors import BadInput
from chaosharness.model.flow import Service
from chaosharness.ports.launch import ContainerRecipe
from chaosharness.systems.container import HTTP, container_recipe


def fill(text: str) -> str:
    return text.replace("{broker}", "amqp://h:1/v w")


def test_all_that_a_flow_says_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "t")
    service = Service(
        "payment",
        "pay 'to whom' {broker}",
        env={"BROKER": "{broker}"},
        pass_env=("TOKEN",),
        cwd="/srv",
        restart="never",
        image="shop:1",
        network="shop_default",
    )
    assert container_recipe(service, "payment.1", fill, tmp_path, host="payment-1", port=4711) == ContainerRecipe(
        name="payment.1",
        image="shop:1",
        env={"TOKEN": "t", "BROKER": "amqp://h:1/v w"},
        log=tmp_path / "payment.1.log",
        command=("pay", "to whom", "amqp://h:1/v w"),
        ports={HTTP: 4711},
        hostname="payment-1",
        workdir="/srv",
        network="shop_default",
        service=True,
        restart="never",
    )


def test_without_a_command_the_image_says_what_runs(tmp_path: Path) -> None:
    recipe = container_recipe(Service("a", "", image="shop:1"), "a.0", fill, tmp_path, host="a-0", stdio=(3, 4))
    assert (recipe.command, recipe.workdir, recipe.ports, recipe.env, recipe.stdio) == ((), None, {}, {}, (3, 4))


def test_a_name_to_pass_that_is_not_set_is_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOKEN", raising=False)
    with pytest.raises(BadInput, match="a: pass_env names TOKEN, which is not set here"):
        container_recipe(Service("a", "", image="i", pass_env=("TOKEN",)), "a.0", fill, tmp_path, host="a-0")
