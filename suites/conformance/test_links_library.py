"""Each silent failure of toxiproxy-python 0.1.1, shown on the bare library, then on ours, which raises."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import requests
import toxiproxy
import toxiproxy.proxy
import toxiproxy.server
from links_peers import Upstream, passes
from toxiproxy.api import APIConsumer
from toxiproxy.exceptions import InvalidToxic

from chaosharness.links.library import Consumer, Refused
from chaosharness.links.toxiproxy_api import Toxiproxies
from chaosharness.model.address import Address, LinkId
from chaosharness.model.errors import BadInput, HarnessBroke
from chaosharness.ports.launch import Instance
from chaosharness.servers.local import LocalLauncher
from chaosharness.servers.toxiproxy import Toxiproxy

ID = LinkId("payment", 0, "broker")
ANYWHERE = Address("127.0.0.1", 0)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with closing(Upstream()) as upstream:
        yield upstream


@pytest.fixture
def bare(toxiproxy_server: Instance, toxiproxies: Toxiproxies, monkeypatch: pytest.MonkeyPatch) -> toxiproxy.Toxiproxy:
    """The library as it is installed, led to the same server; `toxiproxies` (ours) removes what it makes."""
    monkeypatch.setattr(APIConsumer, "host", toxiproxy_server.nodes["api"].host)
    monkeypatch.setattr(APIConsumer, "port", toxiproxy_server.nodes["api"].port)
    return toxiproxy.Toxiproxy()


def test_create_on_a_taken_port(bare: toxiproxy.Toxiproxy, toxiproxies: Toxiproxies, upstream: Upstream) -> None:
    taken = upstream.address
    with pytest.raises(KeyError, match="name"):
        bare.create(upstream=str(taken), name="a", listen=str(taken))
    with pytest.raises(HarnessBroke, match="address already in use"):
        toxiproxies.link(ID, taken, taken)


def test_enable_on_a_taken_port(
    launcher: LocalLauncher, bare: toxiproxy.Toxiproxy, toxiproxies: Toxiproxies, upstream: Upstream
) -> None:
    listen = Address("127.0.0.1", launcher.free_port())
    link = toxiproxies.link(ID, listen, upstream.address)
    link.disable()
    proxy = bare.get_proxy("payment.0>broker.0")
    with socket.create_server((listen.host, listen.port)):
        assert proxy.enable() is None
        assert proxy.enabled is True
        assert link.read_back()["enabled"] is False
        with pytest.raises(HarnessBroke, match="address already in use"):
            link.enable()


def test_add_toxic_says_nothing(bare: toxiproxy.Toxiproxy, toxiproxies: Toxiproxies, upstream: Upstream) -> None:
    proxy = bare.create(upstream=str(upstream.address), name="bare")
    assert proxy.add_toxic(type="timeout", attributes={"timeout": 0}) is None
    with toxiproxies.link(ID, ANYWHERE, upstream.address).apply({"type": "timeout", "stream": "upstream"}) as evidence:
        assert evidence.facts["toxics"] == [
            {
                "name": "timeout_upstream",
                "type": "timeout",
                "stream": "upstream",
                "toxicity": 1,
                "attributes": {"timeout": 0},
            }
        ]


def test_misspelt_arguments_and_attributes(
    bare: toxiproxy.Toxiproxy, toxiproxies: Toxiproxies, upstream: Upstream
) -> None:
    proxy = bare.create(upstream=str(upstream.address), name="bare")
    proxy.add_toxic(type="latency", straem="upstream", attributes={"latncy": 5})
    (found,) = proxy.toxics().values()
    assert (found.stream, found.attributes) == ("downstream", {"latency": 0, "jitter": 0})
    link = toxiproxies.link(ID, ANYWHERE, upstream.address)
    with pytest.raises(BadInput) as refused:
        link.apply({"type": "latency", "straem": "upstream", "attributes": {"latncy": 5}})
    assert all(word in str(refused.value) for word in ("'straem'", "stream is None", "'latncy'"))


def test_every_400_is_called_an_invalid_toxic(bare: toxiproxy.Toxiproxy, toxiproxy_server: Instance) -> None:
    with pytest.raises(InvalidToxic):
        bare.create(upstream="", name="bare")
    consumer = Consumer(toxiproxy_server.nodes["api"])
    with pytest.raises(Refused, match="missing required field: upstream") as refused:
        consumer.post("/proxies", json={"name": "ours", "upstream": ""})
    assert refused.value.status == 400
    consumer.close()


def test_answers_of_500_pass_in_silence(
    bare: toxiproxy.Toxiproxy, toxiproxy_server: Instance, upstream: Upstream
) -> None:
    wrong = {"name": "a", "upstream": "127.0.0.1:1", "listen": str(upstream.address)}
    assert APIConsumer.post("/proxies", json=wrong).status_code == 500
    consumer = Consumer(toxiproxy_server.nodes["api"])
    with pytest.raises(Refused, match="answered with 500"):
        consumer.post("/proxies", json=wrong)
    consumer.close()


def test_a_proxy_of_the_environment_is_not_asked(
    bare: toxiproxy.Toxiproxy, toxiproxies: Toxiproxies, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(requests.exceptions.ProxyError):
        bare.proxies()
    with toxiproxies.link(ID, ANYWHERE, upstream.address).apply({"type": "timeout", "stream": "upstream"}) as evidence:
        assert evidence.ok


def test_two_servers_at_once(
    launcher: LocalLauncher, toxiproxies: Toxiproxies, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> None:
    second = Toxiproxy().start(launcher, tmp_path_factory.mktemp("second"))
    before = (APIConsumer.host, APIConsumer.port)
    with Toxiproxies(second.nodes["api"]) as theirs:
        here = toxiproxies.link(ID, ANYWHERE, upstream.address)
        there = theirs.link(ID, ANYWHERE, upstream.address)
        assert here.listen != there.listen
        with here.apply({"type": "timeout", "stream": "upstream"}):
            assert there.read_back()["toxics"] == []
            with upstream.through(there) as (client, end):
                assert passes(client, end)
        theirs.remove_all()
        assert here.read_back()["listen"] == str(here.listen)
    # the library that a test suite may use beside ours is as it was
    assert (APIConsumer.host, APIConsumer.port) == before
    assert toxiproxy.proxy.APIConsumer is APIConsumer
    assert toxiproxy.server.APIConsumer is APIConsumer
    assert toxiproxy.server.Proxy is toxiproxy.Proxy
    assert second.stop(5).ok


def test_it_can_be_used_where_warnings_are_errors(toxiproxy_server: Instance) -> None:
    program = (
        "from chaosharness.links.toxiproxy_api import Toxiproxies\n"
        "from chaosharness.model.address import Address\n"
        f"with Toxiproxies(Address.parse('{toxiproxy_server.nodes['api']}')) as t: print(t.version())\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


def test_a_connection_that_was_idle_for_long_is_not_used_again(
    toxiproxies: Toxiproxies, monkeypatch: pytest.MonkeyPatch
) -> None:
    toxiproxies.version()
    kept = _local_ports(toxiproxies)
    toxiproxies.version()
    assert _local_ports(toxiproxies) == kept
    monkeypatch.setattr("chaosharness.links.library.IDLE_S", -1.0)
    toxiproxies.version()
    assert _local_ports(toxiproxies) != kept


def _local_ports(toxiproxies: Toxiproxies) -> list[int]:
    """Our ends of the connections to the API, as the kernel lists them."""
    rows = Path("/proc/self/net/tcp").read_text().splitlines()[1:]
    theirs = f"0100007F:{toxiproxies.address.port:04X}"
    return sorted(int(row.split()[1].split(":")[1], 16) for row in rows if row.split()[2:4] == [theirs, "01"])
