"""One target of the fuzzer: `ci/fuzz` starts it with atheris and suites/unit on PYTHONPATH.

In: the target's name, arguments of libFuzzer. Out: libFuzzer's words; a traceback for an input that breaks a rule.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import atheris  # type: ignore[import-untyped, import-not-found, unused-ignore]

with atheris.instrument_imports(include=["chaosharness"], enable_loader_override=False):
    import hostile  # type: ignore[import-not-found, unused-ignore]


def main() -> None:
    name = sys.argv.pop(1)
    target: Callable[[bytes], object] = hostile.TARGETS[name]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
