"""A flow file to the model: all of CONTRACT's `flows.toml`, checked before anything is started.

In: the path of a file (or tables of the same shape, which is how `chaosharness.Flow` comes here), and the plugins.
Out: a `FlowFile`; or one BadInput that lists every problem with its line. To try it:
`load(Path("flows.toml"), Registry.load())`.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chaosharness.flowfile.cells import check_offered
from chaosharness.flowfile.effect import NAME
from chaosharness.flowfile.flow import Surroundings, read_flow
from chaosharness.flowfile.lines import KeyPath, key_lines
from chaosharness.flowfile.names import check_templates
from chaosharness.flowfile.plugins import Plugins, ask_plugin
from chaosharness.flowfile.problems import Problems
from chaosharness.flowfile.service import IMAGE, read_service
from chaosharness.flowfile.table import Table, found
from chaosharness.model.address import HARNESS
from chaosharness.model.errors import BadInput
from chaosharness.model.flow import Flow, FlowFile, Service
from chaosharness.model.names import did_you_mean
from chaosharness.servers.toxiproxy import Toxiproxy


def load(path: Path, plugins: Plugins, *, probe: bool = False) -> FlowFile:
    """Reads and checks a flow file. `probe`: semantic and because may be missing.

    Raises BadInput (every problem, a line each, `FILE:LINE: key: …`), or NotAvailableYet where the file is good and
    asks for what this version does not run.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        hint = "; `chaosharness init` writes one" if isinstance(error, FileNotFoundError) else ""
        raise BadInput(f"{path}: cannot be read: {error.strerror}{hint}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not UTF-8, which TOML is: byte {error.start}: {error.reason}") from error
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(_not_toml(path, text, error)) from error
    folder = Path(os.path.abspath(path)).parent
    return parse(tables, str(path), folder, plugins, probe=probe, lines=key_lines(text))


def parse(
    tables: Mapping[str, Any],
    origin: str,
    folder: Path,
    plugins: Plugins,
    *,
    probe: bool = False,
    lines: Mapping[KeyPath, int] | None = None,
) -> FlowFile:
    """The tables of a flow file, wherever they come from, to the model. `folder`: absolute. Raises as `load` does."""
    problems = Problems(origin, lines)
    top = Table(tables, (), problems)
    images = _images(top, plugins)
    services = _services(top.table("service"), folder)
    around = Surroundings(plugins, services, folder, origin, images, probe)
    declared = top.table("flow")
    read = [read_flow(name, table, around) for name, table in declared.tables()] if declared else []
    flows = tuple(flow for flow in read if flow)
    top.close()
    if not len(problems) and not flows:
        problems.add((), "no flow is declared; expected a table [flow.NAME]")
    _check_names(flows, services, problems)
    if len(flows) == len(read):  # else what a template could name is not known
        check_templates(flows, problems)
    if not len(problems):
        for flow in flows:
            _check_scenarios(flow, plugins, problems)
    problems.raise_any()
    return FlowFile(path=origin, flows=flows)


def _images(top: Table, plugins: Plugins) -> dict[str, str]:
    """`[images]`: by server, in place of the official ones."""
    images = top.strings("images") or {}
    servers = sorted({*plugins.names("servers"), Toxiproxy.name})
    for server, image in images.items():
        path = (*top.at("images"), server)
        if server not in servers:
            top.problems.add(path, f'unknown server "{server}"{did_you_mean(server, servers)}')
        elif not IMAGE.fullmatch(image):
            top.problems.add(path, f'expected the name of a container image, as in "redis:8", found {found(image)}')
    return images


def _services(table: Table | None, folder: Path) -> dict[str, Service | None]:
    services: dict[str, Service | None] = {}
    for name, inner in table.tables() if table else ():
        if not NAME.fullmatch(name):
            inner.problems.add(inner.path, "a service's name has letters, digits, - and _, at most 40")
        services[name] = read_service(inner, name, folder, shared=True)
        inner.close()
    return services


def _check_names(flows: tuple[Flow, ...], services: Mapping[str, Service | None], problems: Problems) -> None:
    """Links, logs and folders go by the names of services: each must be one service's alone."""
    owner: dict[str, KeyPath] = {HARNESS: ("the harness itself",)}
    for name in services:
        _claim(owner, name, ("service", name), problems)
    for flow in flows:
        path = ("flow", flow.name)
        if flow.consumer is None or not flow.consumer.shared:
            _claim(owner, flow.name, path, problems)
        if flow.producer:
            _claim(owner, flow.producer.service.name, (*path, "producer"), problems)


def _claim(owner: dict[str, KeyPath], name: str, path: KeyPath, problems: Problems) -> None:
    if name in owner:
        problems.add(path, f'the name "{name}" is taken by {".".join(owner[name])}; choose another')
    else:
        owner[name] = path


def _check_scenarios(flow: Flow, plugins: Plugins, problems: Problems) -> None:
    cells = ask_plugin(f'a broker or sink of the flow "{flow.name}"', lambda: plugins.cells(flow))
    check_offered(("flow", flow.name, "scenarios"), flow.scenarios, cells, plugins, problems)


def _not_toml(path: Path, text: str, error: Exception) -> str:
    said = str(error)
    place = re.search(r" ?\(at line (\d+), column (\d+)\)", said)
    if place:
        return f"{path}:{place.group(1)}: not TOML: {said[: place.start()]} (column {place.group(2)})"
    line = text.count("\n") + 1 if "end of document" in said else None
    what = "nested too deeply" if isinstance(error, RecursionError) else re.sub(r" ?\(at .*\)", "", said)
    return f"{path}{f':{line}' if line else ''}: not TOML: {what}{' at the end of the file' if line else ''}"
