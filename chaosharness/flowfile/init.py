"""What `chaosharness init` writes: a commented flow file, and a small service that it runs.

In: the interpreter that the service is to be run with. Out: names and texts of the files. To try it:
`init_files("python3")["flows.toml"]`.
"""

from __future__ import annotations

import json
import shlex

SERVICE = "payment_service.py"


def init_files(python: str) -> dict[str, str]:
    """File name to text; `python`: a command on PATH or an absolute path, which must be able to import pika."""
    from importlib.resources import files  # here, since only `init` needs it, and it is slow to import

    here = files("chaosharness.flowfile")
    command = json.dumps(shlex.join([python, SERVICE]), ensure_ascii=False)  # a JSON string is a TOML string
    return {
        "flows.toml": (here / "init.toml").read_text(encoding="utf-8").replace("@COMMAND@", command),
        SERVICE: (here / SERVICE).read_text(encoding="utf-8"),
    }
