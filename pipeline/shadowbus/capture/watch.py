"""The decorator: a function's arguments are the request, its return value is the prediction."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar, cast

from shadowbus.capture.call import Call
from shadowbus.capture.counters import EXTRACTION_FAILED
from shadowbus.capture.recorder import Recorder

P = ParamSpec("P")
R = TypeVar("R")

Pick = Callable[..., object]
"""A function of the user's that picks a part of a call (from its arguments) or of an answer (from its result)."""


def watched(
    function: Callable[P, R],
    recorder: Recorder,
    questions: Mapping[str, Pick | None],
    answers: Mapping[str, Pick | None],
) -> Callable[P, R]:
    """Wrap a sync or async function; its result, its exceptions and its metadata stay as they are.

    Args:
        function: The function to watch.
        recorder: Where its calls are recorded.
        questions: How `features`, `segments`, `context` and `request_id` are picked from the arguments.
        answers: How `prediction` and `scores` are picked from the result.
    """
    picks = {name: pick for name, pick in questions.items() if pick is not None}
    picks.setdefault("features", _features_of(function))

    def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        try:
            question = {name: pick(*args, **kwargs) for name, pick in picks.items()}
            parts = (question.get(name) for name in ("request_id", "features", "segments", "context"))
            return Call(recorder, *parts)
        except Exception:  # the user's pick failed; the call itself goes on as if nobody watched
            recorder.count(EXTRACTION_FAILED)
            recorder.count(EXTRACTION_FAILED)
            return None

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def watch_async(*args: P.args, **kwargs: P.kwargs) -> Any:
            call = begin(args, kwargs)
            if call is None:
                return await function(*args, **kwargs)
            with call:
                result = await function(*args, **kwargs)
                _answer(call, result, answers)
            return result

        return cast(Callable[P, R], watch_async)

    @functools.wraps(function)
    def watch(*args: P.args, **kwargs: P.kwargs) -> R:
        call = begin(args, kwargs)
        if call is None:
            return function(*args, **kwargs)
        with call:
            result = function(*args, **kwargs)
            _answer(call, result, answers)
        return result

    return watch


def _answer(call: Call, result: object, answers: Mapping[str, Pick | None]) -> None:
    try:
        prediction, scores = answers.get("prediction"), answers.get("scores")
        picked = result if prediction is None else prediction(result)
        call.scores = None if scores is None else scores(result)
        call.prediction = picked
    except Exception as error:
        call.fail(error)


def _features_of(function: Callable[..., object]) -> Pick:
    """Without a pick, the features are the only argument, or all arguments by name (`self` and `cls` left out)."""
    signature = inspect.signature(function)
    names = [name for name in signature.parameters if name not in ("self", "cls")]

    def features(*args: object, **kwargs: object) -> object:
        given = signature.bind(*args, **kwargs).arguments
        return given[names[0]] if len(names) == 1 else {name: given[name] for name in names if name in given}

    return features
