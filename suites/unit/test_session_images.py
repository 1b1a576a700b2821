"""Services that are images: who names them, and that the backend local refuses them."""

from __future__ import annotations

import pytest

from chaosharness.model.errors import BadInput
from chaosharness.model.flow import Flow, Producer, Service, Source
from chaosharness.model.semantic import Promise
from chaosharness.session.backend import Backend, check_images, images_of

LOCAL, DOCKER = Backend("local", "--backend says so"), Backend("docker", "--backend says so")


def flow(name: str, consumer: Service | None = None, producer: Service | None = None) -> Flow:
    return Flow(
        name,
        Source("rabbitmq", "q"),
        Promise(semantic=None),
        consumer=consumer,
        producer=Producer(producer) if producer else None,
    )


FLOWS = [
    flow("payment", Service("payment", "", image="pay:1"), Service("payment-producer", "", image="orders:1")),
    flow("mail", Service("shop", "", image="shop:1", shared=True)),
    flow("parcel", Service("shop", "", image="shop:1", shared=True)),
    flow("refund", Service("refund", "refund"), Service("refund-producer", "", image="pay:1")),
    flow("arrival"),
]


def test_each_image_has_the_first_place_that_names_it() -> None:
    assert images_of(FLOWS) == {
        "pay:1": "flow payment, consumer.image",
        "orders:1": "flow payment, producer.image",
        "shop:1": "service shop, image",
    }


def test_without_containers_all_are_told_at_once() -> None:
    with pytest.raises(BadInput) as caught:
        check_images(LOCAL, FLOWS)
    assert str(caught.value).splitlines() == [
        "flow payment, consumer.image: the image pay:1 needs the backend docker",
        "flow payment, producer.image: the image orders:1 needs the backend docker",
        "service shop, image: the image shop:1 needs the backend docker",
        "`--backend docker` runs it; the backend here is local (--backend says so)",
    ]
    check_images(LOCAL, FLOWS[-1:])
    check_images(DOCKER, FLOWS)
