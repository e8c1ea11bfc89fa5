"""A change of verdict as a message: for chats, or as JSON for programs. Pure.

Names come out of records and are foreign. In a chat they stand between backquotes, where no chat looks for mentions,
links or formatting, and `&`, `<` and `>` are written as chats want them.
"""

from collections.abc import Callable, Iterator, Mapping

import orjson

from shadowbus.gates import sentence as gate_sentence
from shadowbus.notify.due import Change
from shadowbus.story.criteria import read
from shadowbus.story.figures import counted
from shadowbus.verdict.obstacles import told as sentences

MOST_CRITERIA = 12
NAME_CHARACTERS = 200
SENTENCE_CHARACTERS = 1_000
WEIGHTS = {"fails": 0, "open": 1, "holds": 2}
"""What is shown first."""


def chat(change: Change, _id: str) -> bytes:
    """What Slack takes, and what Mattermost, Rocket.Chat, Google Chat and others take as Slack does: `{"text"}`."""
    return orjson.dumps({"text": "\n".join(_lines(change))})


def plain(change: Change, message_id: str) -> bytes:
    """The verdict's record, what it was before, and an id that is the same when this is posted again."""
    content = {"event": "verdict", "id": message_id, "before": change.before, "link": change.receiver.link}
    return orjson.dumps({"v": 1, **content, "verdict": change.verdict})


TEMPLATES: dict[str, Callable[[Change, str], bytes]] = {"chat": chat, "json": plain}
"""By what `format` in the settings may be."""


def _lines(change: Change) -> Iterator[str]:
    verdict = change.verdict
    stays, in_the_way = verdict.verdict == change.before, sentences(verdict.obstacles)
    was = "as before" if stays else f"it was {_words(change.before)}"
    yield f"*{_words(verdict.verdict)}* {_code(verdict.trial)} ({was})"
    yield f"{counted(verdict.requests, 'request')}, {counted(verdict.labels, 'label')}"
    yield from (_code(one, SENTENCE_CHARACTERS) for one in (*in_the_way, gate_sentence(verdict.gate)) if one)
    if stays and not in_the_way:
        yield "What was in the way is no more: it goes on."
    criteria = sorted((one for one in verdict.criteria if isinstance(one, Mapping)), key=_weight)
    yield from map(_criterion, criteria[:MOST_CRITERIA])
    if len(criteria) > MOST_CRITERIA:
        yield f"and {len(criteria) - MOST_CRITERIA} more criteria"
    if change.receiver.link:
        yield change.receiver.link


def _weight(criterion: Mapping[str, object]) -> int:
    return WEIGHTS.get(str(criterion.get("state")), len(WEIGHTS))


def _criterion(one: Mapping[str, object]) -> str:
    name, state = f"\u2022 {_code(one.get('name'))}", _words(one.get("state"))
    for told in read(one):
        basis = "; ".join(filter(None, (told.interval_text, told.basis_text)))
        limit = f", has to be {told.limit_text}" if told.limit_text else ""
        value = "none yet" if told.value is None else told.value_text
        return f"{name} {state}: {value}{f' ({basis})' if basis else ''}{limit}"
    return f"{name} {state}"


def _words(value: object) -> str:
    return "".join(
        letter for letter in str(value)[:NAME_CHARACTERS].replace("_", " ") if letter.isalpha() or letter == " "
    )


def _code(value: object, most: int = NAME_CHARACTERS) -> str:
    plain = "".join(letter for letter in str(value)[:most] if letter.isprintable())
    for letter, written in (("`", "'"), ("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        plain = plain.replace(letter, written)
    return f"`{plain}`"
