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


class Watch:
    """Turns the calls of one function into requests and predictions.

    Args:
        recorder: Where they go.
        questions: How `features`, `segments`, `context` and `request_id` are picked from the arguments.
        answers: How `prediction` and `scores` are picked from the result.
    """

    def __init__(self, recorder: Recorder, questions: Mapping[str, Pick | None], answers: Mapping[str, Pick | None]):
        self._recorder = recorder
        self._questions = questions
        self._answers = answers

    def around(self, function: Callable[P, R]) -> Callable[P, R]:
        """The function with its calls watched; its results, exceptions and metadata stay as they are."""
        features = self._questions.get("features") or _features_of(function)

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def watch_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                call = self._asked(features, args, kwargs)
                if call is None:
                    return await function(*args, **kwargs)
                with call:
                    result = await function(*args, **kwargs)
                    self._answered(call, result)
                return result

            return cast(Callable[P, R], watch_async)

        @functools.wraps(function)
        def watch(*args: P.args, **kwargs: P.kwargs) -> R:
            call = self._asked(features, args, kwargs)
            if call is None:
                return function(*args, **kwargs)
            with call:
                result = function(*args, **kwargs)
                self._answered(call, result)
            return result

        return watch

    def _asked(self, features: Pick, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        try:
            picked = (self._pick(name, args, kwargs) for name in ("segments", "context"))
            return Call(self._recorder, self._pick("request_id", args, kwargs), features(*args, **kwargs), *picked)
        except Exception:  # a pick failed: both halves are lost, and the call itself goes on as if nobody watched
            self._recorder.count(self._recorder.count(EXTRACTION_FAILED))
            return None

    def _pick(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
        pick = self._questions.get(name)
        return None if pick is None else pick(*args, **kwargs)

    def _answered(self, call: Call, result: object) -> None:
        try:
            prediction, scores = self._answers.get("prediction"), self._answers.get("scores")
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
