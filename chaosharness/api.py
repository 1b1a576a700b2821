"""The Python face of a flow file: `chaosharness.Flow(...)` and what its parts are made with.

In: the same keys as in `flows.toml`, as keyword arguments. Out: the same `model.flow.Flow`, through the same checks:
the arguments become the tables of a flow file, and its parser reads them, so that there is one set of rules.
To try it: `Flow("payment", source=rabbitmq("payments"), consumer=command("python -m shop.payment"), …)`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from chaosharness.flowfile import load as load_flow_file
from chaosharness.flowfile import parse
from chaosharness.model.errors import BadInput
from chaosharness.model.flow import Flow as CheckedFlow
from chaosharness.model.flow import FlowFile
from chaosharness.registry import Registry


@dataclass(frozen=True, slots=True)
class Part:
    """A table of a flow file that has not been checked yet; every factory below makes one."""

    table: Mapping[str, Any] = field(default_factory=dict)


@lru_cache(maxsize=1)
def registry() -> Registry:
    """The plugins of this interpreter, looked up once."""
    return Registry.load()


def load(path: Path, *, probe: bool = False) -> FlowFile:
    """`flowfile.load` with the installed plugins. Raises BadInput, NotAvailableYet."""
    return load_flow_file(path, registry(), probe=probe)


def Flow(
    name: str,
    *,
    source: Part,
    consumer: Part | str | None = None,
    effect: Part | None = None,
    effects: Mapping[str, Part] | None = None,
    producer: Part | None = None,
    semantic: Part | str | None = None,
    because: str | None = None,
    workload: Part | None = None,
    probe: bool = False,
    **rest: Any,
) -> CheckedFlow:
    """A declared flow; `rest` are the other keys of `[flow.NAME]`: `scenarios`, `waive`, `recover_within_s`, …

    Relative paths start from the folder of the calling file. Raises BadInput and NotAvailableYet as a flow file does,
    with the caller's file and line in front.
    """
    caller = sys._getframe(1)
    file, line = caller.f_code.co_filename, caller.f_lineno
    promise = semantic.table if isinstance(semantic, Part) else {"semantic": semantic}
    given = {
        "because": because,
        "source": source,
        "consumer": consumer,
        "effect": effect,
        "effects": effects,
        "producer": producer,
        "workload": workload,
    }
    table = _plain({**promise, **rest, **{key: value for key, value in given.items() if value is not None}})
    folder = Path(file).absolute().parent if os.path.exists(file) else Path.cwd()
    origin = f"{_short(file)}:{line}"
    if not isinstance(name, str):
        raise BadInput(f"{origin}: a flow's name is a string, found {name!r}")
    return parse({"flow": {name: table}}, origin, folder, registry(), probe=probe).flows[0]


def rabbitmq(queue: str, **options: Any) -> Part:
    """A queue: as a source with `declare`, `arguments`, `exchange`, `routing_key`, `dead_letter`, `key`, `unkeyed`."""
    return Part({"rabbitmq": queue, **options})


def redis_list(key: str, **options: Any) -> Part:
    """A Redis list as a source, with `declare`, `key`, `unkeyed`."""
    return Part({"redis_list": key, **options})


def redis_stream(key: str, **options: Any) -> Part:
    """A Redis stream as a source, with `declare`, `group`, `key`, `unkeyed`."""
    return Part({"redis_stream": key, **options})


def kafka(topic: str, **options: Any) -> Part:
    """A Kafka topic: as a source with `declare`, `partitions`, `dead_letter`, `group`, `evict`, `key`, `unkeyed`."""
    return Part({"kafka": topic, **options})


def source(broker: str, name: str, **options: Any) -> Part:
    """A source of any installed broker, by its entry point's name."""
    return Part({broker: name, **options})


def http(request: str = "", **options: Any) -> Part:
    """Requests as effects: `METHOD /path`, or empty for any but GET, HEAD, OPTIONS.

    Options: `idempotent_by`, `key`, `count`, `answer`.
    """
    return Part({"http": request, **options})


def sink(kind: str, target: str = "", **options: Any) -> Part:
    """An effect of any installed sink, by its entry point's name."""
    return Part({kind: target, **options})


def command(command: str, **options: Any) -> Part:
    """A service run as a process: `env`, `pass_env`, `replicas`, `cwd`, `restart`, `stop_grace_s`."""
    return Part({"command": command, **options})


def container(image: str, **options: Any) -> Part:
    """A service run as a container: `command` in place of the image's own, `network`, and the options of a process.

    `cwd` is an absolute path inside. It needs the backend docker.
    """
    return Part({"image": image, **options})


def producer(run: Part | str, *, drive: str = "stdin", **options: Any) -> Part:
    """A service that publishes when it is driven: by lines on its standard input, or `METHOD /path` at its `{port}`."""
    base = run.table if isinstance(run, Part) else {"command": run}
    return Part({**base, "drive": drive, **options})


def workload(**options: Any) -> Part:
    """What is sent: `messages`, `in_flight` or `rate_per_s`, `payload`, `headers`, `properties`, `target`, …"""
    return Part(options)


def at_most_once(**promise: Any) -> Part:
    """Nothing duplicated; loss is measured, and held to `max_loss` if given. Bounds: `recover_within_s`, …"""
    return Part({"semantic": "at_most_once", **promise})


def at_least_once(**promise: Any) -> Part:
    """Nothing lost; duplicates are reported, and held to `max_duplicates` if given. Bounds: `recover_within_s`, …"""
    return Part({"semantic": "at_least_once", **promise})


def effectively_once(**promise: Any) -> Part:
    """Nothing lost, nothing duplicated. Bounds: `recover_within_s`, `drain_within_s`, `max_parked`, …"""
    return Part({"semantic": "effectively_once", **promise})


def _plain(value: Any) -> Any:
    """Parts, tuples and mappings of any make as tomllib would give them."""
    if isinstance(value, Part):
        return _plain(value.table)
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def _short(file: str) -> str:
    """Relative to the working folder where it is below it, as a person would write it."""
    path = os.path.relpath(file) if os.path.isabs(file) else file
    return file if path.startswith("..") else path
