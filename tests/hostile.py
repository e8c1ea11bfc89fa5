"""Records that no stage may stop at: every field of every input with everything JSON can hold, and some that it cannot.

Each is the text of one value; what is made of them is put into a record as it stands, next to fields that are fine.
"""

import json
from collections.abc import Iterator

NOW_MS = 1_760_000_000_000


def nested(depth: int, opening: str = "[", closing: str = "]") -> str:
    return opening * depth + closing * depth


VALUES: dict[str, str] = {
    "null": "null",
    "true": "true",
    "zero": "0",
    "negative": "-1",
    "minus zero": "-0.0",
    "fraction": "1.5",
    "largest float": "1.7976931348623157e308",
    "beyond float": "1e999",
    "smallest": "5e-324",
    "not JSON": "NaN",
    "64 bits": "9223372036854775807",
    "65 bits": "18446744073709551616",
    "minus 65 bits": "-9223372036854775809",
    "30 digits": "1" * 30,
    "400 digits": "1" * 400,
    "5000 digits": "1" * 5_000,
    "long fraction": "0." + "1" * 5_000,
    "seconds": str(NOW_MS // 1_000),
    "milliseconds": str(NOW_MS),
    "microseconds": str(NOW_MS * 1_000),
    "nanoseconds": str(NOW_MS * 1_000_000),
    "empty text": '""',
    "text": '"yes"',
    "number as text": '"1"',
    "bars": '"a|b~c=d@e"',
    "NUL": '"\\u0000"',
    "line breaks": '"a\\nb\\u2028c"',
    "surrogate": '"\\ud800"',
    "bidi": '"\\u202egnp.exe"',
    "proto": '"__proto__"',
    "long text": json.dumps("x" * 700),
    "huge text": json.dumps("x" * 5_000_000),
    "escapes": '"' + "\\u0001" * 100_000 + '"',
    "empty list": "[]",
    "empty object": "{}",
    "list": "[1,null,true]",
    "probabilities": "[0.25,0.75]",
    "object": '{"yes":0.5,"no":0.5}',
    "odd object": '{"":null,"a|b":[1],"__proto__":{"a":1},"c=d":1e300}',
    "huge numbers in it": "[" + "1" * 400 + "]",
    "grows when written": "[" + ",".join(["1e15"] * 900_000) + "]",
    "many names": json.dumps({f"name {number}": number for number in range(3_000)}),
    "huge name": json.dumps({"x" * 5_000_000: 1}),
    "240 deep": nested(240),
    "260 deep": nested(260),
    "980 deep": nested(980),
    "100,000 deep": nested(100_000),
    "260 objects deep": '{"a":' * 260 + "1" + "}" * 260,
}


HUGE = 100_000
"""Texts longer than this are looked at once, not for every kind of answer: what they are does not matter to those."""


def record(**fields: str | None) -> bytes:
    """A record of fields as they stand; one that is None is left out."""
    return ("{" + ",".join(f'"{name}":{text}' for name, text in fields.items() if text is not None) + "}").encode()


def values(*, huge: bool) -> Iterator[tuple[str, str]]:
    """The values by their names, with or without those that are huge."""
    return ((kind, text) for kind, text in VALUES.items() if huge or len(text) < HUGE)


def variants(good: dict[str, str], *, huge: bool) -> Iterator[tuple[str, dict[str, str | None]]]:
    """A record with each field of each kind, by a name of its own; the id stays, because it is the key."""
    for name in good:
        if name != "request_id":
            yield f"no {name}", {**good, name: None}
            for kind, text in values(huge=huge):
                yield f"{name} is {kind}", {**good, name: text}
