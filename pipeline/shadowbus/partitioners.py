"""Which partition each Kafka client chooses for a key, unless it is told otherwise.

murmur2 is what Java, Faust, aiokafka and this project use; CRC32 is the default of librdkafka (confluent-kafka, node,
.NET, Go's confluent client, Ruby); FNV-1a is Sarama's, and librdkafka's under the name `fnv1a`. Each is tested against
a real producer in `tests/kafka/test_doctor.py`.
"""

import zlib
from collections.abc import Callable, Mapping

_M = 0x5BD1E995
_MASK = 0xFFFFFFFF
_FNV_START = 0x811C9DC5
_FNV_PRIME = 0x01000193
_SIGN = 0x80000000


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key among so many, as Kafka's default partitioner has it.

    >>> partition_of(b"churn@1~challenger@4", 4)
    3
    """
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def crc32_partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key as librdkafka's default has it."""
    return zlib.crc32(key) % partitions


def fnv1a_partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key as Sarama's default has it: the hash is signed there, and its sign is dropped."""
    unsigned = fnv1a(key)
    return (unsigned if unsigned < _SIGN else (1 << 32) - unsigned) % partitions


PARTITIONERS: Mapping[str, Callable[[bytes, int], int]] = {
    "murmur2": partition_of,
    "CRC32": crc32_partition_of,
    "FNV-1a": fnv1a_partition_of,
}
"""Every one that is known here, by the name people know it under."""


def murmur2(data: bytes) -> int:
    """Austin Appleby's MurmurHash2 with Kafka's seed, as an unsigned 32-bit number."""
    length = len(data)
    h = 0x9747B28C ^ length
    whole = length & ~3
    for start in range(0, whole, 4):
        k = int.from_bytes(data[start : start + 4], "little") * _M & _MASK
        k = (k ^ k >> 24) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    if rest := data[whole:]:
        h = (h ^ int.from_bytes(rest, "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


def fnv1a(data: bytes) -> int:
    """The 32-bit FNV-1a hash of Fowler, Noll and Vo, as an unsigned number.

    >>> hex(fnv1a(b"foobar"))
    '0xbf9cf968'
    """
    h = _FNV_START
    for byte in data:
        h = (h ^ byte) * _FNV_PRIME & _MASK
    return h
