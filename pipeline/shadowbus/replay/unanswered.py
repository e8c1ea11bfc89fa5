"""The answers for requests that the model was not asked, or did not answer."""

from collections.abc import Sequence

from shadowbus.replay.model_messages import Answers
from shadowbus.replay.request_reader import RequestReader


def unanswered(keys: Sequence[bytes], values: Sequence[bytes], cause: tuple[str, str]) -> Answers:
    """Every row that is a request failed for one cause (status and text); the others are malformed."""
    found = RequestReader().read(list(keys), values)
    return Answers(
        tails=found.tails,
        failed=dict.fromkeys(found.rows, cause),
        malformed=found.malformed,
    )
