"""Builds one image of `image_set.IMAGES`: a Debian release by debootstrap, any other by `docker build`.

In: an image and its hash. Out: the image in the engine, labelled with the hash; or Failed, with the end of the build's
log, which is .cache/images/NAME.log. To try it: `ci/images redis:debian12`.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO

from image_set import EXCLUDED, IMAGES, PREFIX, ROOT, Failed, Image, Parts, files, mirror

from chaosharness.model.errors import TimedOut
from chaosharness.model.wait import wait_for

LABEL = "chaosharness.inputs"
CACHE = ROOT / ".cache" / "images"
ATTEMPTS = 2
"""What asks the network may fail for a moment."""
STEP_TIMEOUT_S = 900
ASK_TIMEOUT_S = 60
LOCK_TIMEOUT_S = 1800
TAIL_LINES = 20

_running: set[subprocess.Popen[bytes]] = set()
_locks: list[int] = []
_ending = False


@dataclass(frozen=True, slots=True)
class Present:
    """An image that the engine has."""

    id: str
    hash: str | None
    size_mb: float


def present() -> Mapping[str, Present]:
    """Those of our images that the engine has, by full name; none where no engine answers."""
    command = ["docker", "image", "inspect", *(image.full_name for image in IMAGES)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=ASK_TIMEOUT_S)
        found = json.loads(done.stdout or b"[]")
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return {}
    return {
        name: Present(one["Id"], (one["Config"].get("Labels") or {}).get(LABEL), one["Size"] / 1e6)
        for one in found
        for name in one["RepoTags"]
        if name.startswith(PREFIX)
    }


@contextmanager
def alone() -> Iterator[None]:
    """Two at once would build the same images. Raises Failed."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:

        def taken() -> bool:
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            return False

        try:
            wait_for("another ci/images to end", LOCK_TIMEOUT_S, taken, poll_s=0.2)
        except TimedOut as error:
            raise Failed(str(error)) from error
        _locks.append(lock.fileno())
        yield
        _locks.clear()


def need_debootstrap() -> None:
    """Installs it where it is missing. Raises Failed."""
    if shutil.which("debootstrap"):
        return
    script = "set -euo pipefail; . ci/lib.sh; need_packages debootstrap"
    if subprocess.run(["bash", "-c", script, "images"], cwd=ROOT, stdin=subprocess.DEVNULL).returncode:
        raise Failed("debootstrap cannot be installed")


def build(image: Image, hash: str) -> float:
    """Builds it; its size in MB. Raises Failed, with the end of the log."""
    path = CACHE / f"{slug(image)}.log"
    for attempt in range(1, ATTEMPTS + 1):
        with path.open("wb", buffering=0) as log:
            try:
                (import_release if image.release else docker_build)(image, hash, log)
                break
            except Failed as error:
                if _ending:
                    raise Failed("ended, unfinished") from error
                if attempt == ATTEMPTS:
                    tail = path.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
                    raise Failed("\n    ".join([f"{error}; the end of {path.relative_to(ROOT)}:", *tail])) from error
    if built := present().get(image.full_name):
        return built.size_mb
    raise Failed("was built, and the engine does not have it")


def import_release(image: Image, hash: str, log: IO[bytes]) -> None:
    """A Debian release, by debootstrap, with the files of `rootfs` laid over it. Raises Failed."""
    assert image.release
    rootfs, debs = CACHE / slug(image), CACHE / "debs" / image.release
    debs.mkdir(parents=True, exist_ok=True)
    remove = as_root("rm", "-rf", "--one-file-system", str(rootfs))
    # what debootstrap mounts ends with it, however it ends
    debootstrap = ["unshare", "--mount", "debootstrap", "--variant=minbase", f"--cache-dir={debs}"]
    pack = as_root("tar", "-C", str(rootfs), *(f"--exclude={pattern}" for pattern in EXCLUDED), "-c", ".")
    changes = [f"--change=LABEL {LABEL}={hash}", '--change=CMD ["bash"]']
    load = ["docker", "import", *changes, "-", image.full_name]
    try:
        run(remove, log)  # of one that was killed
        run(as_root(*debootstrap, image.release, str(rootfs), *filter(None, [mirror()])), log)
        run(as_root("tar", "-C", str(rootfs), "--strip-components=1", "-x"), log, feed=image.context())
        run(["bash", "-o", "pipefail", "-c", f"{shlex.join(pack)} | {shlex.join(load)}"], log)
    finally:
        run(remove, log, cleans=True)


def docker_build(image: Image, hash: str, log: IO[bytes]) -> None:
    """An image by its Dockerfile. Raises Failed."""
    context = {**image.context(), **image.unread()}
    # a proxy or a mirror of this machine's may have an address that only this machine can reach
    command = ["docker", "build", "--network=host", "--force-rm", f"--label={LABEL}={hash}", f"--tag={image.full_name}"]
    arguments = dict(image.args())
    if image.parent:
        arguments["PARENT"] = PREFIX + image.parent
    command += [f"--build-arg={name}={value}" for name, value in arguments.items()]
    command += [
        f"--build-arg={name}" for name in os.environ if name.lower() in ("http_proxy", "https_proxy", "no_proxy")
    ]
    into = CACHE / slug(image)
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir()
    try:
        if fetch := image.fetch:
            env = {name: value.format(into=into) for name, value in fetch.env.items()}
            run([word.format(into=into, python=sys.executable) for word in fetch.command], log, env=env)
            context[fetch.part] = into / fetch.program if fetch.program else into
        run([*command, "-"], log, env={"DOCKER_BUILDKIT": "0"}, feed=context)
    finally:
        shutil.rmtree(into, ignore_errors=True)


def remove_replaced(before: Mapping[str, Present], built: Sequence[Image]) -> None:
    """Removes what had these names before, children first; what is still in use stays."""
    now = present()
    for image in reversed(built):
        old, new = before.get(image.full_name), now.get(image.full_name)
        if old and new and old.id != new.id:
            subprocess.run(["docker", "rmi", old.id], capture_output=True, timeout=ASK_TIMEOUT_S)


def slug(image: Image) -> str:
    return image.name.replace(":", "-")


def as_root(*command: str) -> list[str]:
    return [*([] if os.geteuid() == 0 else ["sudo", "-n"]), *command]


def run(
    command: Sequence[str],
    log: IO[bytes],
    *,
    env: Mapping[str, str] | None = None,
    feed: Parts | None = None,
    cleans: bool = False,
) -> None:
    """Runs it with its output in the log, and `feed` as a tar on its standard input; no interrupt ends what cleans.

    Raises Failed.
    """
    log.write(f"$ {shlex.join(command)}\n".encode())
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if feed is None else subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            start_new_session=True,  # so that all of it can be ended
            pass_fds=_locks,  # so that the lock is held while any of it lives, should this process be killed
        )
    except OSError as error:
        raise Failed(f"{command[0]}: {error.strerror}") from error
    if not cleans:
        _running.add(process)
    try:
        if _ending and not cleans:
            end(process)
        if feed is not None:
            assert process.stdin
            with suppress(BrokenPipeError), process.stdin:
                pack(process.stdin, feed)
        code = process.wait(STEP_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        end(process)
        raise Failed(f"{shlex.join(command[:2])} did not end within {STEP_TIMEOUT_S} s") from error
    finally:
        _running.discard(process)
    if code:
        raise Failed(f"{shlex.join(command[:2])} ended with exit code {code}")


def pack(stream: IO[bytes], parts: Parts) -> None:
    """A tar of the parts, root's, with modes that owe nothing to the umask of this machine."""
    with tarfile.open(fileobj=stream, mode="w|") as tar:
        for name, content, executable in files(parts):
            entry = tarfile.TarInfo(name)
            entry.mode = 0o755 if executable else 0o644
            if isinstance(content, bytes):
                entry.size, entry.mtime = len(content), int(time.time())
                tar.addfile(entry, io.BytesIO(content))
                continue
            with content.open("rb") as file:
                status = os.fstat(file.fileno())
                entry.size, entry.mtime = status.st_size, int(status.st_mtime)
                tar.addfile(entry, file)


def end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def end_all() -> None:
    """Ends what still runs; what is begun after this ends too."""
    global _ending
    _ending = True
    for process in list(_running):
        end(process)


__all__ = ["Present", "alone", "build", "end_all", "need_debootstrap", "present", "remove_replaced"]
