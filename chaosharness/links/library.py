"""toxiproxy-python 0.1.1 with a transport that tells the truth.

In: the address of a running Toxiproxy. Out: the library's own classes, bound to that one server.
To try it: `suites/conformance/test_links_library.py`, which also shows what the bare library gets wrong.

What is mended here: host and port of the whole process (now of one object), no time-outs, HTTP_PROXY obeyed, answers of
500 and above taken for success (`create` then fails with KeyError, `enable` claims to have enabled), every 400 called
InvalidToxic. What the library's methods leave unsaid (`add_toxic`, `enable` and `disable` return nothing) is read back
in links/link.py; the arguments that they ignore are found in links/toxics.py.
"""

from __future__ import annotations

import importlib.util
import time
import warnings
from types import ModuleType
from typing import Any

import requests

from chaosharness.model.address import Address
from chaosharness.model.errors import HarnessBroke

CALL_TIMEOUT_S = 2.0
IDLE_S = 20.0
"""Toxiproxy closes a kept connection that was idle for 60 s: one idle this long is not used again."""


class Refused(HarnessBroke):
    """Toxiproxy answered with an error."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Unanswered(HarnessBroke):
    """Toxiproxy did not answer in time: whether it did what it was asked is unknown."""


class Consumer:
    """Stands where the library has its class `APIConsumer`: the same methods, of one object instead of the process.

    Raises Refused, Unanswered, and HarnessBroke where nobody listens; never returns anything but a 2xx response.
    """

    def __init__(self, address: Address, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self.host = address.host
        self.port = address.port
        self.timeout_s = timeout_s
        self._base = f"http://{address}"
        self._used = time.monotonic()
        self._session = requests.Session()
        self._session.trust_env = False

    def get(self, url: str, params: Any = None, **kwargs: Any) -> requests.Response:
        return self._send("GET", url, params=params, **kwargs)

    def post(self, url: str, data: Any = None, json: Any = None, **kwargs: Any) -> requests.Response:
        return self._send("POST", url, data=data, json=json, **kwargs)

    def delete(self, url: str, **kwargs: Any) -> requests.Response:
        return self._send("DELETE", url, **kwargs)

    def close(self) -> None:
        """Closes the kept connection."""
        self._session.close()

    def _send(self, method: str, url: str, **kwargs: Any) -> requests.Response:
        asked = f"Toxiproxy at {self.host}:{self.port}: {method} {url}"
        if time.monotonic() - self._used > IDLE_S:
            self._session.close()
        try:
            answer = self._session.request(method, self._base + url, timeout=self.timeout_s, **kwargs)
        except requests.Timeout as error:
            raise Unanswered(f"{asked} was not answered within {self.timeout_s:g} s") from error
        except requests.RequestException as error:
            raise HarnessBroke(f"{asked} failed, is the server still there? {error}") from error
        finally:
            self._used = time.monotonic()
        if not answer.ok:
            raise Refused(
                f"{asked} was answered with {answer.status_code}: {answer.text.strip()[:300]}", answer.status_code
            )
        return answer


class Library:
    """The library's classes, private to one server: `server` is its Toxiproxy object, which makes its Proxy objects.

    `proxy_exists` is the error of the library's own that `server.create` raises where the name is in use.
    """

    def __init__(self, consumer: Consumer) -> None:
        proxy, server = _copy_of("toxiproxy.proxy"), _copy_of("toxiproxy.server")
        # The library's methods look APIConsumer up in their own module, so one server a process is all it can serve.
        # Only these copies are bound anew: whoever else imports toxiproxy in this process keeps what it knows.
        vars(proxy).update(APIConsumer=consumer)
        vars(server).update(APIConsumer=consumer, Proxy=proxy.Proxy)
        self.server: Any = server.Toxiproxy()
        self.proxy_exists: type[Exception] = server.ProxyExists


def _copy_of(name: str) -> ModuleType:
    """The module executed once more, outside sys.modules."""
    with warnings.catch_warnings():
        # `future`, which the library needs, may warn of what it uses itself.
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"(future|past)(\.|$)")
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            raise HarnessBroke(f"the module {name} is not installed; expected toxiproxy-python 0.1.1")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module
