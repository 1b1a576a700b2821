"""Who says which image a server is run from.

What an engine says of one: suites/delivery/test_docker_bad_input.py.
"""

from __future__ import annotations

import pytest

from chaosharness.servers.docker.images import image_of

OFFICIAL = "redis:8.0.2"
FLOW_FILE = {"redis": "shop/redis:7"}
VARIABLE = {"CHAOSHARNESS_IMAGE_REDIS": "mine/redis:1"}
PREFIX = {"CHAOSHARNESS_IMAGE_PREFIX": "mirror.example/library"}
OTHERS = "CHAOSHARNESS_IMAGE_REDIS or [images] redis names another, and the backend local needs none"


@pytest.mark.parametrize(
    ("flow_file", "environ", "name", "named_by"),
    [
        ({}, {}, OFFICIAL, f"the default; {OTHERS}"),
        ({}, PREFIX, f"mirror.example/library/{OFFICIAL}", f"the default behind CHAOSHARNESS_IMAGE_PREFIX; {OTHERS}"),
        (FLOW_FILE, {}, "shop/redis:7", "[images] redis of the flow file"),
        (FLOW_FILE, PREFIX, "shop/redis:7", "[images] redis of the flow file"),
        (FLOW_FILE, VARIABLE, "mine/redis:1", "CHAOSHARNESS_IMAGE_REDIS"),
        ({}, {**VARIABLE, **PREFIX}, "mine/redis:1", "CHAOSHARNESS_IMAGE_REDIS"),
        ({"rabbitmq": "x"}, {"CHAOSHARNESS_IMAGE_REDIS": "", "CHAOSHARNESS_IMAGE_RABBITMQ": "y"}, OFFICIAL, None),
    ],
)
def test_who_names_it(flow_file: dict[str, str], environ: dict[str, str], name: str, named_by: str | None) -> None:
    image = image_of("redis", OFFICIAL, flow_file, environ)
    assert image.name == name
    assert image.named_by == (named_by or f"the default; {OTHERS}")


def test_a_prefix_may_end_with_a_slash() -> None:
    assert image_of("redis", OFFICIAL, None, {"CHAOSHARNESS_IMAGE_PREFIX": "mirror.example/"}).name == (
        "mirror.example/redis:8.0.2"
    )
