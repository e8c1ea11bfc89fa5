"""Wrong tokens, by where they come from: after a few of them an address has to wait."""

import ipaddress
from collections import OrderedDict

from shadowbus.clock import monotonic

FREE = 10
"""So many wrong tokens are answered at once."""
EACH_S = 6.0
"""After so long one more is."""
MOST_ADDRESSES = 1_024


class Guesses:
    """Counts wrong tokens; a count goes down by one every `EACH_S` seconds."""

    def __init__(self) -> None:
        self._until: OrderedDict[str, float] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """How long this address has to wait until a token of it is looked at; 0 if not at all."""
        ahead = self._until.get(_place(address), 0.0) - monotonic()
        return max(0.0, ahead - (FREE - 1) * EACH_S)

    def wrong(self, address: str) -> None:
        """Count one."""
        place = _place(address)
        self._until[place] = max(self._until.pop(place, 0.0), monotonic()) + EACH_S
        while len(self._until) > MOST_ADDRESSES:
            self._until.popitem(last=False)


def _place(address: str) -> str:
    """What one party has of its own: an IPv4 address, or a /64 of IPv6."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((known, 64), strict=False)) if known.version == 6 else str(known)
