"""Who posted this, and when: HMAC-SHA256 over the time and the body.

The sender adds two headers: `X-Shadowbus-Timestamp`, in seconds since the epoch, and `X-Shadowbus-Signature`, which is
`v1=` and the digest, in hexadecimal, of the timestamp, a full stop and the body. A receiver works out the same with the
shared secret, compares in constant time, and refuses what is old, so that a post cannot be played again later.
"""

import hashlib
import hmac

TIMESTAMP_HEADER = "X-Shadowbus-Timestamp"
SIGNATURE_HEADER = "X-Shadowbus-Signature"
TOLERANCE_S = 300


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """The value of the signature's header.

    >>> signature("secret", 1700000000, b"{}")[:15]
    'v1=b8569b78799f'
    """
    return "v1=" + hmac.new(secret.encode(), b"%d." % timestamp + body, hashlib.sha256).hexdigest()


def signed(secret: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers that sign a body; none without a secret."""
    if not secret:
        return {}
    return {TIMESTAMP_HEADER: str(timestamp), SIGNATURE_HEADER: signature(secret, timestamp, body)}


def genuine(secret: str, timestamp: str, body: bytes, given: str, now: float, tolerance_s: float = TOLERANCE_S) -> bool:
    """For receivers: whether whoever knows the secret posted this body, not long ago.

    Args:
        secret: What both sides know.
        timestamp: The header of that name, as it came.
        body: The body, byte for byte.
        given: The signature's header, as it came.
        now: Seconds since the epoch.
        tolerance_s: How far the clocks may be apart, the way included.
    """
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 16):
        return False
    if abs(now - int(timestamp)) > tolerance_s:
        return False
    return hmac.compare_digest(signature(secret, int(timestamp), body).encode(), given.encode())
