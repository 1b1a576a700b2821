"""Plugins by entry points: found, made once, held to their ports, and named with their distribution where they fail."""

from __future__ import annotations

from importlib.metadata import distributions
from pathlib import Path

import pytest
from registry_toys import Generous, Good, HalfStub, Port, Strict, Swapped, ToyFault, ToySink, ToyStub, Unnamed, Wrong

from chaosharness.model.errors import BadInput
from chaosharness.registry import Registry, breaches
from chaosharness.registry.contract import constructor_breaches
from chaosharness.registry.registry import PORTS


def registry(tmp_path: Path, **groups: dict[str, str]) -> Registry:
    """Of one installed distribution `toys` with these entry points."""
    install(tmp_path, "toys", **groups)
    return found(tmp_path)


def install(tmp_path: Path, name: str, **groups: dict[str, str]) -> None:
    folder = tmp_path / f"{name}-1.2.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    lines = []
    for group, points in groups.items():
        lines += [f"[chaosharness.{group}]", *(f"{point} = {value}" for point, value in points.items())]
    (folder / "entry_points.txt").write_text("\n".join(lines))


def found(tmp_path: Path) -> Registry:
    return Registry(point for dist in distributions(path=[str(tmp_path)]) for point in dist.entry_points)


def test_a_plugin_is_found_and_made_once(tmp_path: Path) -> None:
    plugins = registry(tmp_path, faults={"toy": "registry_toys:ToyFault"}, unknown={"x": "y:z"})
    assert plugins.names("faults") == ["toy"]
    assert isinstance(plugins.fault("toy"), ToyFault)
    assert plugins.get("faults", "toy") is plugins.get("faults", "toy")
    assert plugins.check_all() == []


def test_stubs_and_codecs_stay_classes(tmp_path: Path) -> None:
    plugins = registry(tmp_path, sinks={"toy": "registry_toys:ToySink"}, sink_stubs={"toy": "registry_toys:ToyStub"})
    assert plugins.get("sink_stubs", "toy") is ToyStub
    assert isinstance(plugins.sink("toy"), ToySink)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("registry_toys:NoSuch", "cannot be loaded: AttributeError: module 'registry_toys' has no attribute 'NoSuch'"),
        ("no_such_module:X", "cannot be loaded: ModuleNotFoundError: No module named 'no_such_module'"),
        ("registry_toys:Explodes", "cannot be loaded: RuntimeError: no such thing"),
        ("registry_toys:Misnamed", "attribute id: expected the entry point's name toy, found other"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_named(tmp_path: Path, value: str, message: str) -> None:
    plugins = registry(tmp_path, faults={"toy": value})
    with pytest.raises(BadInput) as caught:
        plugins.get("faults", "toy")
    where = f"the entry point toy = {value} (group chaosharness.faults, distribution toys 1.2)"
    assert str(caught.value).startswith(where)
    assert message in str(caught.value)
    assert plugins.check_all() == [str(caught.value)]


def test_every_breach_at_once(tmp_path: Path) -> None:
    plugins = registry(tmp_path, faults={"toy": "registry_toys:BrokenFault"})
    with pytest.raises(BadInput) as caught:
        plugins.get("faults", "toy")
    where = "the entry point toy = registry_toys:BrokenFault (group chaosharness.faults, distribution toys 1.2)"
    assert str(caught.value).splitlines() == [
        f"{where} is not what Fault demands:",
        "  attribute id: expected str, found 3",
        "  attribute action: expected Action, found 'hold'",
        "  has no method inject(target)",
        "  attribute id: expected the entry point's name toy, found 3",
    ]


def test_a_server_says_its_image_and_its_version(tmp_path: Path) -> None:
    assert registry(tmp_path, servers={"toy": "registry_toys:ToyServer"}).server("toy").image == "redis:8.0.2"
    (tmp_path / "old").mkdir()
    old = registry(tmp_path / "old", servers={"toy": "registry_toys:ServerWithoutContainers"})
    with pytest.raises(BadInput) as caught:
        old.get("servers", "toy")
    assert str(caught.value).splitlines()[1:] == [
        "  has no attribute image",
        "  method start: expected the parameters (launcher, folder, image=None), found (launcher, folder)",
        "  has no method version(instance)",
    ]


def test_a_sink_without_its_stub(tmp_path: Path) -> None:
    plugins = registry(tmp_path, sinks={"toy": "registry_toys:ToySink"})
    with pytest.raises(BadInput, match=r"attribute stub: no entry point toy in the group chaosharness\.sink_stubs"):
        plugins.get("sinks", "toy")


def test_an_unknown_name_has_a_nearest(tmp_path: Path) -> None:
    plugins = registry(tmp_path, faults={"crash": "registry_toys:ToyFault"})
    with pytest.raises(BadInput, match=r'no plugin "crsh" in the group chaosharness\.faults; did you mean "crash"\?'):
        plugins.get("faults", "crsh")


def test_two_distributions_that_claim_one_name(tmp_path: Path) -> None:
    install(tmp_path, "toys", faults={"toy": "registry_toys:ToyFault"})
    install(tmp_path, "games", faults={"toy": "registry_toys:ToyFault"})
    with pytest.raises(BadInput, match=r"two entry points of chaosharness\.faults are named toy: .*") as caught:
        found(tmp_path)
    assert "toys 1.2" in str(caught.value)
    assert "games 1.2" in str(caught.value)


def test_one_distribution_found_twice_is_one(tmp_path: Path) -> None:
    install(tmp_path, "toys", faults={"toy": "registry_toys:ToyFault"})
    points = [point for dist in distributions(path=[str(tmp_path)]) for point in dist.entry_points]
    assert Registry([*points, *points]).names("faults") == ["toy"]


@pytest.mark.parametrize("plugin", [Good(), Generous()])
def test_a_port_is_kept(plugin: object) -> None:
    assert breaches(plugin, Port) == []


@pytest.mark.parametrize(
    ("plugin", "wrong"),
    [
        (Swapped(), ["method send: expected the parameters (key, body, again=False), found (body, key, again=False)"]),
        (
            Unnamed(),
            ["method send: expected the parameters (key, body, again=False), found (key, body, again=False, /)"],
        ),
        (
            Strict(),
            [
                "method send: expected the parameters (key, body, again=False), found (key, body, again)",
                "method close: expected the parameters (), found (when)",
            ],
        ),
        (
            Wrong(),
            [
                "attribute name: expected str, found 5",
                "attribute action: expected Action, found 'hold'",
                "has no attribute open",
                "has no method send(key, body, again=False)",
                "close: expected a method close(), found 'yes'",
            ],
        ),
    ],
)
def test_every_breach_of_a_port(plugin: object, wrong: list[str]) -> None:
    assert breaches(plugin, Port) == wrong


def test_a_class_is_held_to_its_methods_alone() -> None:
    assert breaches(Good, Port) == []
    assert breaches(Swapped, Port) == breaches(Swapped(), Port)


def test_constructors_are_held_to() -> None:
    assert constructor_breaches(ToyStub, ("options", "finder")) == []
    assert constructor_breaches(HalfStub, ("options", "finder")) == [
        "its constructor: expected the parameters (options, finder), found (finder)"
    ]


def test_this_versions_own_plugins_keep_their_contracts() -> None:
    plugins = Registry.load()
    assert plugins.check_all() == []
    assert all(plugins.names(group) for group in PORTS)
