"""Addresses and link ids are read back from what they are written as, and nothing else is taken for one."""

from __future__ import annotations

import pytest

from chaosharness.model.address import Address, LinkId


@pytest.mark.parametrize("address", [Address("127.0.0.1", 5672), Address("::1", 0)])
def test_an_address_and_its_text(address: Address) -> None:
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize("text", ["", "127.0.0.1", ":80", "host:", "host:http", "host:-1"])
def test_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="not host:port"):
        Address.parse(text)


@pytest.mark.parametrize(
    ("link", "text"),
    [
        (LinkId("payment", 0, "broker"), "payment.0>broker.0"),
        (LinkId("shop.payment", 2, "effect.mail", 1), "shop.payment.2>effect.mail.1"),
    ],
)
def test_a_link_and_its_text(link: LinkId, text: str) -> None:
    assert str(link) == text
    assert LinkId.parse(text) == link


@pytest.mark.parametrize("text", ["", "payment.0", "payment>broker.0", "payment.0>broker", "payment.x>broker.0"])
def test_no_link(text: str) -> None:
    with pytest.raises(ValueError, match="not a link id"):
        LinkId.parse(text)
