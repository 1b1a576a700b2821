"""`chaosharness`: run, probe, doctor, init, report, explain.

Goes in: a command line. Comes out: text or, with `--json`, one document on standard output; an exit code of the
contract. To try it: `chaosharness --help`.
"""

from chaosharness.cli.main import main

__all__ = ["main"]
