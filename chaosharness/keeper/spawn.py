"""Starts a command in a session of its own, with nothing inherited but what is given.

Goes in: argv, environment, three file descriptors. Comes out: a process id, or the OSError of the exec.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Mapping, Sequence


def candidates(command: str, env: Mapping[str, str]) -> list[str]:
    """Where the command may be: itself if it holds a `/`, else in each folder of the PATH of `env`."""
    if "/" in command:
        return [command]
    return [os.path.join(folder, command) for folder in os.get_exec_path(env)]


def spawn(argv: Sequence[str], env: Mapping[str, str], stdio: tuple[int, int, int]) -> int:
    """The process id, once the exec has succeeded. Default signal handlers, empty mask, the current folder.

    A session of its own: a signal to "my process group" (`kill 0` in a shell) must not reach who started it.
    Raises OSError naming the command (ENOENT, EACCES, ENOEXEC, …), ValueError for a NUL byte.
    """
    actions = [(os.POSIX_SPAWN_DUP2, given, wanted) for wanted, given in enumerate(stdio)]
    failed = errno.ENOENT
    for path in candidates(argv[0], env):
        try:
            # looked for first: each attempt is a process, which a look at the tree would see
            os.stat(path)
            return os.posix_spawn(
                path,
                list(argv),
                dict(env),
                file_actions=actions,
                setsid=True,
                setsigmask=[],
                setsigdef=signal.valid_signals(),
            )
        except OSError as error:
            # as execvp does: a file that is there and cannot be run says more than one that is not there
            if error.errno and error.errno not in (errno.ENOENT, errno.ENOTDIR):
                failed = error.errno
    raise OSError(failed, os.strerror(failed), argv[0])
