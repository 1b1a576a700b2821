"""Services that are container images, in a flow file: which keys they have, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from flowfile_example import GOOD, Plugins, read, said

import chaosharness as chaos
from chaosharness import api
from chaosharness.model.errors import BadInput
from chaosharness.model.flow import Service

COMMAND = 'command = "sh pay.sh --queue payments"\n'
ENV = {"AMQP_URL": "{broker}", "CHARGES_URL": "{effect}"}


def contained(keys: str) -> str:
    """The good flow, its consumer with these keys in place of its command."""
    assert COMMAND in GOOD
    return GOOD.replace(COMMAND, keys + "\n")


def test_an_image_alone_runs_its_own_command_where_it_says(tmp_path: Path) -> None:
    (flow,) = read(tmp_path, contained('image = "shop/payment:1"')).flows
    assert flow.consumer == Service("payment", "", env=ENV, image="shop/payment:1")


def test_every_key_of_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "t")
    keys = """image = "registry.example:5000/shop/payment@sha256:abc"
command = "no-such-command-here --host {host} 'two words'"
cwd = "/srv/shop"
network = "shop_default"
replicas = 2
restart = "never"
stop_grace_s = 3
pass_env = ["TOKEN"]"""
    (flow,) = read(tmp_path, contained(keys)).flows
    assert flow.consumer == Service(
        "payment",
        "no-such-command-here --host {host} 'two words'",
        env=ENV,
        pass_env=("TOKEN",),
        cwd="/srv/shop",
        replicas=2,
        restart="never",
        stop_grace_s=3.0,
        image="registry.example:5000/shop/payment@sha256:abc",
        network="shop_default",
    )


def test_a_producer_and_a_shared_service_are_images_too(tmp_path: Path) -> None:
    text = contained('image = "shop:1"').replace("[flow.payment.consumer]", "[service.shop]")
    text = text.replace("[flow.payment.source]", 'consumer = "shop"\n[flow.payment.source]')
    text += '[flow.payment.producer]\nimage = "orders:1"\nenv = { PORT = "{port}" }\ndrive = "POST /orders"\n'
    (flow,) = read(tmp_path, text).flows
    assert flow.consumer
    assert flow.producer
    assert (flow.consumer.image, flow.consumer.shared) == ("shop:1", True)
    assert flow.producer.service == Service("payment-producer", "", env={"PORT": "{port}"}, image="orders:1")


BAD = [
    ('image = ""', "7: flow.payment.consumer.image: expected a string that is not empty"),
    ('image = "shop payment"', '7: flow.payment.consumer.image: expected the name of a container image, as in "shop/p'),
    ('image = "shop:{replica}"', "7: flow.payment.consumer.image: expected the name of a container image"),
    ("image = 5", "7: flow.payment.consumer.image: expected a string, found 5"),
    ('image = "a"\ncommand = "sh \'pay"', "8: flow.payment.consumer.command: cannot be split by shell rules: No clos"),
    ('image = "a"\ncommand = "sh {borker}"', "8: flow.payment.consumer.command: unknown template {borker}; did you "),
    (
        'image = "a"\ncwd = "srv"',
        '8: flow.payment.consumer.cwd: expected an absolute path inside the container, found "srv"',
    ),
    ('image = "a"\nnetwork = ""', "8: flow.payment.consumer.network: expected a string that is not empty"),
    (
        'command = "sh"\nnetwork = "n"',
        "8: flow.payment.consumer.network: only a container joins a network, and this ser",
    ),
    ('imgae = "a"', '7: flow.payment.consumer.imgae: unknown key; did you mean "image"?'),
]


@pytest.mark.parametrize(("keys", "message"), BAD)
def test_what_is_wrong_with_an_image(tmp_path: Path, keys: str, message: str) -> None:
    assert f"flows.toml:{message}" in said(tmp_path, contained(keys))


IMAGES = [
    (
        'redsi = "redis:8"',
        '13: images.redsi: unknown server "redsi"; did you mean "redis"? (known: rabbitmq, redis, toxi',
    ),
    ('redis = ""', '13: images.redis: expected the name of a container image, as in "redis:8", found ""'),
]


@pytest.mark.parametrize(("line", "message"), IMAGES)
def test_what_is_wrong_with_a_servers_image(tmp_path: Path, line: str, message: str) -> None:
    assert f"flows.toml:{message}" in said(tmp_path, GOOD + f"[images]\n{line}\n")


def test_images_of_servers_are_their_flows_own(tmp_path: Path) -> None:
    (flow,) = read(tmp_path, GOOD + '[images]\nrabbitmq = "mirror.example/rabbitmq:4"\ntoxiproxy = "tp:2"\n').flows
    assert flow.images == {"rabbitmq": "mirror.example/rabbitmq:4", "toxiproxy": "tp:2"}


def test_the_same_in_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "registry", Plugins)

    def flow(consumer: api.Part) -> Service | None:
        return chaos.Flow(
            "payment",
            source=chaos.rabbitmq("payments"),
            consumer=consumer,
            effect=chaos.http("POST /v1/charges"),
            producer=chaos.producer(chaos.container("orders:1", network="n")),
            semantic=chaos.effectively_once(),
            because="a double charge costs real money",
        ).consumer

    made = flow(chaos.container("shop:1", command="pay --to {broker}", cwd="/srv", network="n", replicas=2))
    assert made == Service("payment", "pay --to {broker}", cwd="/srv", replicas=2, image="shop:1", network="n")
    with pytest.raises(BadInput, match=r"test_flowfile_image.py:\d+: flow.payment.consumer.cwd: expected an absolute"):
        flow(chaos.container("shop:1", cwd="here"))
