"""Holds a plugin to its port: every breach at once.

In: a plugin (or, for codecs and stubs, its class) and the protocol it must be. Out: the breaches, in words. Attributes
must be there with the right type, methods must take the protocol's parameters by their names. To try it:
`breaches(MyFault(), Fault)`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, get_type_hints


def breaches(plugin: object, protocol: type) -> list[str]:
    """What of the protocol is missing or different, attributes first."""
    is_class = inspect.isclass(plugin)
    found = (
        []
        if is_class
        else [text for name, hint in _attributes(protocol).items() for text in _attribute(plugin, name, hint)]
    )
    for name, method in vars(protocol).items():
        if inspect.isfunction(method) and not name.startswith("_"):
            found += _method(plugin, name, inspect.signature(method))
        elif isinstance(method, property) and not is_class and not hasattr(plugin, name):
            found.append(f"has no attribute {name}")
    return found


def constructor_breaches(plugin: type, parameters: tuple[str, ...]) -> list[str]:
    """What is wrong with the constructor of a class that is to be called with `parameters`, in this order."""
    wanted = inspect.Signature(
        [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in parameters]
    )
    try:
        return _parameters("its constructor", inspect.signature(plugin), wanted)
    except (TypeError, ValueError):  # one written in C says nothing of itself
        return []


def _attributes(protocol: type) -> Mapping[str, Any]:
    return {name: hint for name, hint in get_type_hints(protocol).items() if not name.startswith("_")}


def _attribute(plugin: object, name: str, hint: Any) -> list[str]:
    if not hasattr(plugin, name):
        return [f"has no attribute {name}"]
    value = getattr(plugin, name)
    if inspect.isclass(hint) and not isinstance(value, hint):
        return [f"attribute {name}: expected {hint.__name__}, found {value!r}"]
    return []


def _method(plugin: object, name: str, wanted: inspect.Signature) -> list[str]:
    member = getattr(plugin, name, None)
    if member is None:
        return [f"has no method {name}{_shown(wanted)}"]
    if not callable(member):
        return [f"{name}: expected a method {name}{_shown(wanted)}, found {member!r}"]
    try:
        actual = inspect.signature(member)
    except (TypeError, ValueError):
        return []
    unbound = inspect.isclass(plugin) and inspect.isfunction(inspect.getattr_static(plugin, name))
    return _parameters(f"method {name}", _without_self(actual) if unbound else actual, _without_self(wanted))


def _parameters(what: str, actual: inspect.Signature, wanted: inspect.Signature) -> list[str]:
    """Callable with the wanted parameters by position and by name, and without those that have a default."""
    names = list(wanted.parameters)
    required = [name for name, parameter in wanted.parameters.items() if parameter.default is parameter.empty]
    try:
        placed = actual.bind(*names).arguments  # parameter of the plugin -> name of the wanted one that it would get
        actual.bind(**dict.fromkeys(names))
        actual.bind(*required)
        fits = all(got == name for name, got in placed.items() if isinstance(got, str))
    except TypeError:
        fits = False
    return [] if fits else [f"{what}: expected the parameters {_shown(wanted)}, found {_shown(actual)}"]


def _without_self(signature: inspect.Signature) -> inspect.Signature:
    parameters = list(signature.parameters.values())
    return signature.replace(parameters=parameters[1:])


def _shown(signature: inspect.Signature) -> str:
    """Names and defaults only: annotations would hide them."""
    parameters = [p.replace(annotation=p.empty) for name, p in signature.parameters.items() if name != "self"]
    return str(inspect.Signature(parameters))
