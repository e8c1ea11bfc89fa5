"""The records that travel between stages: one frozen dataclass each, and how they are read from and written to bytes.

Keys are the UTF-8 bytes of the request id, or parts joined by `|` in the folded topics. Times are integer milliseconds
since the epoch; `latency_ms` is a float duration. Stages that write or read a record for every request do it without
these objects; `tests/unit/test_records.py` holds both to the same shape.
"""

from shadowbus.records.captured import Label, Prediction, Request
from shadowbus.records.codec import VERSION, decode, encode, from_object, parse_object
from shadowbus.records.comparison import SHADOW_FAILURES, STATUSES, TIMED, Answer, Comparison, Scores
from shadowbus.records.dead_letters import DeadLetter
from shadowbus.records.outcome import Answered, Outcome
from shadowbus.records.totals import Aggregate, Partial
from shadowbus.records.verdict import PreviousVerdict, Promotion, Told, Verdict
from shadowbus.records.vitals import Vitals

Record = (
    Request
    | Prediction
    | Label
    | Comparison
    | Outcome
    | Vitals
    | Partial
    | Aggregate
    | Verdict
    | Promotion
    | Told
    | DeadLetter
)
"""Any of them."""

__all__ = [
    "SHADOW_FAILURES",
    "STATUSES",
    "TIMED",
    "VERSION",
    "Aggregate",
    "Answer",
    "Answered",
    "Comparison",
    "DeadLetter",
    "Label",
    "Outcome",
    "Partial",
    "Prediction",
    "PreviousVerdict",
    "Promotion",
    "Record",
    "Request",
    "Scores",
    "Told",
    "Verdict",
    "Vitals",
    "decode",
    "encode",
    "from_object",
    "parse_object",
]
