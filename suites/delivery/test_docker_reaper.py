"""testcontainers' reaper, where its image is to be had, removes a session by itself, and goes.

Nothing here has an owner that is dead, so that no sweep may do it first.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import docker.errors
import pytest
from product import ENDS_WITHIN_S

from chaosharness.model.wait import wait_for
from chaosharness.servers.docker.engine import Engine
from chaosharness.servers.docker.sweep import connect, found

VARIABLE = "RYUK_CONTAINER_IMAGE"
OWN = "chaosharness/ryuk:0.8.1"
HARNESS = """
import json, os, sys
from pathlib import Path
from chaosharness.keeper.client import KeeperClient
from chaosharness.servers.docker import ground as module
from chaosharness.servers.docker.engine import find_engine
from chaosharness.servers.docker.labels import OWNER, labels, owner

outlives_this = {OWNER: owner(int(sys.argv[2]))}
module.labels = lambda *arguments: {**labels(*arguments), **outlives_this}
with KeeperClient.start(Path(sys.argv[1])) as keeper:
    ground = module.Ground(find_engine(), keeper)
    ground.create(os.environ["CHAOSHARNESS_IMAGE_REDIS"], "a").start()
    reaper = module.Reaper._container.get_wrapped_container().id if ground.reaped else None
    print(json.dumps({"keeper": keeper.pid, "reaper": reaper, "session": ground.session}), flush=True)
    input()
    ground.close()
"""


@pytest.fixture
def client(docker_engine: Engine) -> Iterator[Any]:
    with closing(connect(docker_engine.url)) as client:
        yield client


@pytest.fixture
def reaper_image(client: Any) -> str:
    """Of the environment, else the project's own; it cannot be had everywhere."""
    image = os.environ.get(VARIABLE, OWN)
    try:
        client.images.get(image)
    except docker.errors.ImageNotFound:
        pytest.skip(
            f"the engine has no {image}: `ci/images ryuk` builds testcontainers' reaper, {VARIABLE} names another"
        )
    return image


@contextmanager
def harness(folder: Path, image: str) -> Iterator[tuple[subprocess.Popen[str], Mapping[str, Any]]]:
    """A harness as a process of its own, and what it says of itself."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", HARNESS, str(folder / "keeper"), str(os.getpid())],
        env={**os.environ, VARIABLE: image, "TESTCONTAINERS_RYUK_DISABLED": "false"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            yield process, json.loads(line)
        finally:
            process.kill()


def there(client: Any, container: str) -> bool:
    try:
        client.api.inspect_container(container)
    except docker.errors.NotFound:
        return False
    return True


def left(client: Any, session: str) -> set[str]:
    return {f"{one.kind} {one.name}" for one in found(client, session)}


ALL = {"container a", "network links", "network servers"}


def test_after_a_kill_of_harness_and_keeper_the_reaper_alone_removes_all(
    client: Any, reaper_image: str, tmp_path: Path
) -> None:
    with harness(tmp_path, reaper_image) as (process, told):
        assert told["reaper"]
        assert left(client, told["session"]) == ALL
        process.send_signal(signal.SIGSTOP)  # so that it can do nothing in between
        os.kill(told["keeper"], signal.SIGKILL)
        process.kill()
    session = told["session"]
    wait_for("the reaper to have removed all", ENDS_WITHIN_S, lambda: not left(client, session), poll_s=0.1)
    wait_for("the reaper to be gone", ENDS_WITHIN_S, lambda: not there(client, told["reaper"]), poll_s=0.1)


def test_after_the_end_of_the_harness_no_reaper_is_left(client: Any, reaper_image: str, tmp_path: Path) -> None:
    with harness(tmp_path, reaper_image) as (process, told):
        assert there(client, told["reaper"])
        _, errors = process.communicate("\n", timeout=ENDS_WITHIN_S)
    assert (process.returncode, errors) == (0, "")
    assert left(client, told["session"]) == set()
    assert not there(client, told["reaper"])


def test_without_the_image_a_session_goes_without(client: Any, tmp_path: Path) -> None:
    with harness(tmp_path, "chaosharness/nobody-has-this:1") as (process, told):
        assert told["reaper"] is None
        assert left(client, told["session"]) == ALL
        process.communicate("\n", timeout=ENDS_WITHIN_S)
    assert process.returncode == 0
    assert left(client, told["session"]) == set()
