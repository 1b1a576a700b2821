"""Containers for tests: a script as a service under test, what its ledger says, what the engine still has.

Goes in: a launcher of containers, a folder. Comes out: instances, each stopped at the end. To try it:
`suites/conformance/test_docker_instance.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaosharness.ledger.reader import read
from chaosharness.model.event import Event, Kind
from chaosharness.model.wait import wait_for
from chaosharness.ports.launch import ContainerRecipe
from chaosharness.servers.docker.instance import DockerInstance
from chaosharness.servers.docker.launcher import DockerLauncher

PYTHON = "chaosharness/service:debian12"
"""What `ci/images` builds for the sample services; it runs as a user of its own."""
WITHIN_S = 30.0
LIFE = (Kind.STARTED, Kind.SIGNALLED, Kind.EXITED)


@dataclass
class DockerRig:
    """One test's containers."""

    launcher: DockerLauncher
    folder: Path
    instances: list[DockerInstance] = field(default_factory=list)
    shared: list[str] = field(default_factory=list)

    def recipe(self, name: str, script: str, **settings: Any) -> ContainerRecipe:
        """A Python script as a service under test."""
        image = settings.pop("image", PYTHON)
        return ContainerRecipe(
            name=name,
            image=image,
            env=settings.pop("env", {}),
            log=self.folder / f"{name}.log",
            command=settings.pop("command", ("python3", "-u", "/service.py")),
            files={"/service.py": script.encode()},
            service=settings.pop("service", True),
            **settings,
        )

    def launch(self, name: str, script: str, **settings: Any) -> DockerInstance:
        """The script, running."""
        instance = self.launcher.launch(self.recipe(name, script, **settings))
        assert isinstance(instance, DockerInstance)
        self.instances.append(instance)
        return instance

    def events(self, name: str, *kinds: Kind) -> list[Event]:
        """What the ledger has of an instance's life."""
        events, _ = read(self.folder / "docker.ledger.jsonl")
        return [event for event in events if event.kind in (kinds or LIFE) and event.data["instance"] == name]

    def ids(self) -> list[str]:
        """Of the session's containers that the engine has, but for servers that other tests share."""
        ground = self.launcher.ground
        label = f"chaosharness.session={ground.session}"
        found = [one["Id"] for one in ground.client.api.containers(all=True, filters={"label": label})]
        return [id for id in found if id not in self.shared]

    def threads(self) -> set[str]:
        """Names of those of this process that watch over a container."""
        return {thread.name for thread in threading.enumerate() if " of " in thread.name}


@contextmanager
def rigged(launcher: DockerLauncher, folder: Path) -> Iterator[DockerRig]:
    launcher.ensure_image(PYTHON, "the tests of containers")
    launcher.record_to(folder)
    rig = DockerRig(launcher, folder)
    rig.shared = rig.ids()
    try:
        yield rig
    finally:
        for instance in rig.instances:
            instance.stop(0)
        launcher.record_to(None)


def log_of(instance: DockerInstance) -> list[str]:
    """Its lines, without their times."""
    return [line.partition(" ")[2] for line in instance.log.read_text("utf-8").splitlines()]


def wait_line(instance: DockerInstance, text: str, times: int = 1) -> None:
    """Until it has said so, that often."""
    until(f"{instance.name} to say {text!r}", lambda: sum(text in line for line in log_of(instance)) >= times)


def until(what: str, check: Callable[[], Any]) -> None:
    wait_for(what, WITHIN_S, check, poll_s=0.02)
