"""The images that `ci/images` builds: what each is made of, and the hash that tells whether it has to be built again.

In: fixtures/images, constraints.txt, and this machine's settings for package indexes. Out: `IMAGES`, parents first.
To try it: `ci/images --list`.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "fixtures" / "images"
PREFIX = "chaosharness/"
RELEASES = {"debian12": "bookworm", "debian13": "trixie"}
TOXIPROXY = "2.12.0"
RYUK = "0.8.1"

EXCLUDED = (
    "./usr/share/doc/*",
    "./usr/share/info/*",
    "./usr/share/locale/*",
    "./usr/share/man/*",
    *(("./var/cache/apt/*", "./var/lib/apt/lists/*", "./var/log/*.log")),
)
"""What debootstrap makes and an image does without: tar's patterns."""

Parts = Mapping[str, Path | bytes]
"""What a build sees: paths relative to its context, each a file, a folder or a file's content."""
ASK_TIMEOUT_S = 60


class Failed(Exception):
    """Something that an image needs could not be had; the message says what."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """What is downloaded or compiled on this machine when the image is built, since its settings are here."""

    command: tuple[str, ...]
    """Run in the project's root. `{into}` is an empty folder, `{python}` the Python of .venv."""
    part: str
    """Where it goes in the context; `program` says which file."""
    program: str | None = None
    """The one file that is made; None: the folder itself is the part."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to the environment; `{into}` as above."""


@dataclass(frozen=True, slots=True)
class Image:
    """One image: `name` is without the prefix, `folder` is below fixtures/images."""

    name: str
    folder: str
    parent: str | None = None
    release: str | None = None
    """Debian's name of a release: the image is that release, and its folder's `rootfs` is laid over it."""
    parts: Callable[[], Parts] = field(default=dict)
    """What the build sees beside its folder."""
    fetch: Fetch | None = None
    args: Callable[[], Mapping[str, str]] = field(default=dict)
    """Build arguments."""
    unread: Callable[[], Parts] = field(default=dict)
    """Parts too large to be read each time for the hash; `versions` stand for them there."""
    versions: Callable[[], Sequence[str]] = field(default=list)
    """What else decides what comes out."""
    asked_only: bool = False
    """Whether it is built only when it is named."""

    @property
    def full_name(self) -> str:
        return PREFIX + self.name

    def context(self) -> Parts:
        """The folder's files and `parts`."""
        folder = FOLDER / self.folder
        return {path.name: path for path in sorted(folder.iterdir())} | dict(self.parts())

    def hash(self, parents: Mapping[str, str]) -> str:
        """Over all that decides what comes out, the hash of its parent included; `parents` has that by name."""
        digest = hashlib.sha256()
        fetch = self.fetch and (self.fetch.command, self.fetch.part, sorted(self.fetch.env.items()))
        parent = self.parent and parents[self.parent]
        told = [self.release, parent, sorted(self.args().items()), *self.versions(), fetch]
        digest.update(json.dumps(told).encode())
        for name, content, executable in files(self.context()):
            data = content if isinstance(content, bytes) else content.read_bytes()
            digest.update(f"\0{name}\0{executable}\0{len(data)}\0".encode() + data)
        return digest.hexdigest()[:16]


def files(parts: Parts) -> Iterator[tuple[str, Path | bytes, bool]]:
    """Each file: its path in the context, where it is or what is in it, and whether it may be executed."""
    for name, part in parts.items():
        if isinstance(part, bytes):
            yield name, part, False
        elif part.is_dir():
            for folder, folders, names in os.walk(part, followlinks=True):
                folders[:] = sorted(set(folders) - {"__pycache__"})
                for each in sorted(names):
                    path = Path(folder, each)
                    yield f"{name}/{path.relative_to(part)}", path, os.access(path, os.X_OK)
        else:
            yield name, part, os.access(part, os.X_OK)


def ask(*command: str) -> str:
    """What a command of this machine prints. Raises Failed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ASK_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"{' '.join(command)}: {error}") from error
    if done.returncode:
        raise Failed(f"{' '.join(command)}: exit code {done.returncode}: {done.stderr.strip()[-300:]}")
    return done.stdout


# This machine's settings


@cache
def mirror() -> str | None:
    """Where apt here gets this release from, for debootstrap; None: debootstrap's own default."""
    codename = re.search(r"^VERSION_CODENAME=(.+)$", Path("/etc/os-release").read_text(encoding="utf-8"), re.M)
    for line in ask("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)").splitlines():
        address, _, release = line.partition(" ")
        if codename and release == codename[1].strip('"') and re.match("https?:", address):
            return address
    return None


def certificates() -> Path | None:
    """The bundle of certificate authorities that this machine trusts."""
    paths = os.environ.get("SSL_CERT_FILE"), "/etc/ssl/certs/ca-certificates.crt", ssl.get_default_verify_paths().cafile
    return next((Path(path) for path in paths if path and Path(path).is_file()), None)


def apt_settings() -> Parts:
    """Proxies and checks of apt here; and what https needs, if packages come by it."""
    lines = ask("apt-config", "dump").splitlines()
    kept = [line for line in lines if re.match(r"Acquire::(https?|Check-|ForceIPv)", line) and not line.endswith('"";')]
    parts: dict[str, Path | bytes] = {"rootfs/etc/apt/apt.conf.d/host": "".join(f"{line}\n" for line in kept).encode()}
    bundle = certificates()
    if bundle and (mirror() or "").startswith("https:"):
        parts["rootfs/etc/ssl/certs/ca-certificates.crt"] = bundle
    return parts


PIP_KEYS = {"index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout"}
GO_UNNEEDED = {"api", "doc", "misc", "test"}
GO_KEYS = "GOPROXY", "GONOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE", "GOINSECURE", "GOFLAGS", "GOTOOLCHAIN"


def index_settings() -> Parts:
    """Where pip and Go here get packages from, and the certificates that they trust, as files of the image."""
    pip: dict[str, str] = {}
    # what the environment says comes first in the list, and counts most
    for line in reversed(ask(sys.executable, "-m", "pip", "config", "list").splitlines()):
        name, _, value = line.partition("=")
        key = name.rpartition(".")[2]
        if key in PIP_KEYS:
            pip[key] = str(ast.literal_eval(value)).replace("\n", "\n    ")
    go = json.loads(ask("go", "env", "-json", *GO_KEYS))
    parts: dict[str, Path | bytes] = {
        "host/etc/pip.conf": "".join(["[global]\n", *(f"{key} = {pip[key]}\n" for key in sorted(pip))]).encode(),
        "host/etc/go.env": "".join(f"{key}={go[key]}\n" for key in GO_KEYS if go.get(key)).encode(),
    }
    bundle = certificates()
    return parts | ({"host/etc/ssl/certs/ca-certificates.crt": bundle} if bundle else {})


@cache
def go_root() -> Path:
    """This machine's Go toolchain."""
    return Path(ask("go", "env", "GOROOT").strip())


# The images


def _base(tag: str) -> Image:
    return Image(
        f"base:{tag}",
        "base",
        release=RELEASES[tag],
        parts=apt_settings,
        versions=lambda: [mirror() or "", *EXCLUDED],
    )


def _go_program(name: str, tag: str, module: str, *, flags: str = "", asked_only: bool = False) -> Image:
    return Image(
        f"{name}:{tag}",
        name,
        fetch=Fetch(
            ("go", "install", f"-ldflags=-s -w {flags}".rstrip(), f"{module}@v{tag}"),
            name,
            program=module.rpartition("/")[2],
            env={"CGO_ENABLED": "0", "GOBIN": "{into}"},
        ),
        asked_only=asked_only,
    )


def _service(tag: str) -> Image:
    pip = "{python} -m pip install --quiet --no-input --disable-pip-version-check --no-compile --target={into}"
    of_debian_12 = "--python-version=3.11 --only-binary=:all:"
    wanted = "--constraint=constraints.txt --requirement=fixtures/images/service/requirements.txt"
    return Image(
        f"service:{tag}",
        "service",
        parent=f"base:{tag}",
        parts=lambda: (
            {
                f"{path.parent.name}/{path.name}": path
                for folder in ("services", "twins")
                for path in sorted((ROOT / "fixtures" / folder).glob("*.py"))
            }
            | {"constraints.txt": ROOT / "constraints.txt"}
        ),
        fetch=Fetch(tuple(f"{pip} {of_debian_12} {wanted}".split()), "packages"),
    )


def _bare(tag: str) -> Image:
    return Image(
        f"bare:{tag}",
        "bare",
        parent=f"base:{tag}",
        parts=index_settings,
        args=lambda: {"GOROOT": str(go_root())},
        unread=lambda: {f"go/{path.name}": path for path in go_root().iterdir() if path.name not in GO_UNNEEDED},
        versions=lambda: [(go_root() / "VERSION").read_text(encoding="utf-8")],
    )


IMAGES = (
    *(_base(tag) for tag in RELEASES),
    _go_program(
        "toxiproxy",
        TOXIPROXY,
        "github.com/Shopify/toxiproxy/v2/cmd/server",
        flags=f"-X github.com/Shopify/toxiproxy/v2.Version={TOXIPROXY}",
    ),
    *(Image(f"rabbitmq:{tag}", "rabbitmq", parent=f"base:{tag}") for tag in RELEASES),
    _bare("debian12"),
    *(Image(f"redis:{tag}", "redis", parent=f"base:{tag}") for tag in RELEASES),
    _service("debian12"),
    _go_program("ryuk", RYUK, "github.com/testcontainers/moby-ryuk", asked_only=True),
)

__all__ = ["IMAGES", "PREFIX", "RELEASES", "ROOT", "RYUK", "TOXIPROXY", "Failed", "Fetch", "Image", "Parts", "files"]
