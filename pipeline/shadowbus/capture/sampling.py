"""Which requests are kept when not all are: decided by the request id alone.

The request, its prediction and its label, in whatever process or language, come to the same decision:

    kept  <=>  first 8 bytes of BLAKE2b(request id as UTF-8, digest_size=8), big-endian, < floor(sample * 2**64)

`digest_size` is a parameter of BLAKE2b (it changes the hash), not a cut of a longer digest. A higher rate keeps
everything a lower rate keeps.
"""

import math
from hashlib import blake2b

from shadowbus.errors import SettingsError

_RANGE = 1 << 64


class Sampler:
    """Keeps a fixed share of all request ids."""

    __slots__ = ("_threshold", "everything")

    def __init__(self, rate: object) -> None:
        """`rate` is the share to keep, from 0 to 1.

        Raises:
            SettingsError: The rate is not a number from 0 to 1.
        """
        if isinstance(rate, bool) or not isinstance(rate, int | float) or math.isnan(rate) or not 0 <= rate <= 1:
            raise SettingsError(f"sample has to be a number from 0 to 1, not {rate!r}.")
        self._threshold = int(rate * _RANGE)
        self.everything = self._threshold >= _RANGE
        """Whether there is nothing to decide, which saves the hash."""

    def keeps(self, key: bytes) -> bool:
        """Whether the request with this id (as UTF-8) is kept."""
        return int.from_bytes(blake2b(key, digest_size=8).digest(), "big") < self._threshold
