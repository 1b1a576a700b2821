"""AMQP 0-9-1 as it passes: bytes of one connection in, frames and whole messages with what they mean out.

`framing` cuts the bytes, `methods` reads the few methods that matter, `routes` tells the source's messages from others,
`channel` remembers what is unconfirmed and unsettled, `dialogue` makes sightings of it, `codec` puts it together.

To try it: `suites/unit/test_taps_amqp*.py`, and with a broker `suites/conformance/test_amqp_codec_live.py`.
"""

from chaosharness.taps.amqp.codec import AmqpCodec

__all__ = ["AmqpCodec"]
