"""chaosharness: declares what a message flow promises, breaks it where it hurts, and says whether the promise holds.

Importing it imports nothing else: the relay and the keeper live in this package too, and start in milliseconds. Each
name below is fetched when it is first used; `every_window` alone needs pytest. Their types stand in `__init__.pyi`.
"""

from __future__ import annotations

_FROM_API = (
    "Flow",
    "Part",
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
