"""Import this first: it sets this machine up (ci/setup) and goes on in .venv, with .venv/bin first on PATH.

In: a script of this folder, started by any Python, in any folder. Out: the same script in .venv/bin/python, the same
process and current folder. Set-up's lines go to standard error. To try it: `ci/demo --help`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_MARK = "CHAOSHARNESS_CI_READY"
"""Environment: the process that has been through here. It keeps its id over an exec; its children have others."""


def _go_on_in_venv() -> None:
    if os.environ.get(_MARK) == str(os.getpid()):
        del os.environ[_MARK]
        return
    bin_folder = ROOT / ".venv" / "bin"
    asks_for_help = not {"-h", "--help"}.isdisjoint(sys.argv[1:])
    if asks_for_help and not (bin_folder / "python").exists():
        print(getattr(sys.modules["__main__"], "__doc__", None))
        sys.exit(0)
    if not asks_for_help:
        status = subprocess.run([ROOT / "ci" / "setup"], stdin=subprocess.DEVNULL, stdout=sys.stderr).returncode
        if status:
            sys.exit(status)
    environment = {
        **os.environ,
        "PATH": f"{bin_folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        _MARK: str(os.getpid()),
    }
    python = str(bin_folder / "python")
    os.execve(python, [python, *sys.argv], environment)


_go_on_in_venv()
