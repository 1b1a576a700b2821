"""chaosharness: declares what a message flow promises, breaks it where it hurts, and says whether the promise holds.

Importing it imports nothing else: the relay and the keeper live in this package too, and start in milliseconds. Each
name below is fetched when it is first used; `every_window` alone needs pytest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chaosharness.api import Flow as Flow
    from chaosharness.api import at_least_once as at_least_once
    from chaosharness.api import at_most_once as at_most_once
    from chaosharness.api import command as command
    from chaosharness.api import container as container
    from chaosharness.api import effectively_once as effectively_once
    from chaosharness.api import http as http
    from chaosharness.api import kafka as kafka
    from chaosharness.api import producer as producer
    from chaosharness.api import rabbitmq as rabbitmq
    from chaosharness.api import redis_list as redis_list
    from chaosharness.api import redis_stream as redis_stream
    from chaosharness.api import sink as sink
    from chaosharness.api import source as source
    from chaosharness.api import workload as workload
    from chaosharness.pytest_plugin.decorator import every_window as every_window

    __version__: str

_FROM_API = (
    "Flow",
    "at_least_once",
    "at_most_once",
    "command",
    "container",
    "effectively_once",
    "http",
    "kafka",
    "producer",
    "rabbitmq",
    "redis_list",
    "redis_stream",
    "sink",
    "source",
    "workload",
)


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name in _FROM_API:
        found = getattr(import_module("chaosharness.api"), name)
    elif name == "every_window":
        found = import_module("chaosharness.pytest_plugin.decorator").every_window
    elif name == "__version__":
        from importlib.metadata import version

        found = version("chaosharness")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *_FROM_API, "every_window", "__version__"])
