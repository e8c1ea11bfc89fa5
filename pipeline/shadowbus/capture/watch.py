"""The decorator: a function's arguments are the request, its return value is the prediction."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar, cast

from shadowbus.capture.asking import asked
from shadowbus.capture.call import Call
from shadowbus.capture.counters import EXTRACTION_FAILED
from shadowbus.capture.plain import plain
from shadowbus.capture.recorder import Recorder
from shadowbus.capture.wire import is_structure

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
        features = self._questions.get("features") or _features_of(function, self._recorder.max_record_bytes)

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
            name = self._pick("request_id", args, kwargs)
            return Call(self._recorder, name, asked(features, *args, **kwargs), *picked)
        except Exception:  # a pick failed: both halves are lost, and the call itself goes on as if nobody watched
            self._recorder.count(self._recorder.count(EXTRACTION_FAILED))
            return None

    def _pick(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
        pick = self._questions.get(name)
        return None if pick is None else asked(pick, *args, **kwargs)

    def _answered(self, call: Call, result: object) -> None:
        try:
            prediction, scores = self._answers.get("prediction"), self._answers.get("scores")
            picked = result if prediction is None else prediction(result)
            call.scores = None if scores is None else scores(result)
            call.prediction = picked
        except BaseException as error:  # a pick that raises, whatever it is, costs the record and not the answer
            call.fail(error)


def _features_of(function: Callable[..., object], most: int) -> Pick:
    """Without a pick, the features are the only argument, or all by name: given, or by default (not `self`, `cls`).

    An only argument that is neither an object nor a list of values is a feature of its name. What a function takes as
    `**more` are features by their own names; a call that does not fit its function has none.
    """
    arguments = _arguments_of(function)
    unnamed = [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]
    only = unnamed[0] if len(unnamed) == 1 else None

    def features(*args: object, **kwargs: object) -> object:
        found = arguments(args, kwargs)
        if only not in found:
            return found
        value = found[only]
        return value if is_structure(plain(value, most)) else found

    return features


def _arguments_of(function: Callable[..., object]) -> Callable[[tuple[object, ...], dict[str, object]], dict[Any, Any]]:
    """By name what a function goes by when it is called so.

    `Signature.bind` knows, but takes as long as all the rest; for the usual kind of parameters a dict does.
    """
    signature = inspect.signature(function)
    kinds = {one.kind: name for name, one in signature.parameters.items()}
    more, rest = kinds.get(inspect.Parameter.VAR_KEYWORD), kinds.get(inspect.Parameter.VAR_POSITIONAL)
    names = frozenset(signature.parameters)
    places = [name for name, one in signature.parameters.items() if one.kind is one.POSITIONAL_OR_KEYWORD]
    defaults = {name: one.default for name, one in signature.parameters.items()}
    needed = frozenset(name for name, one in signature.parameters.items() if one.default is one.empty)
    usual = inspect.Parameter.POSITIONAL_ONLY not in kinds and not more and not rest
    owners = {"self", "cls"} & names

    def arguments(args: tuple[object, ...], kwargs: dict[str, object]) -> dict[Any, Any]:
        given: dict[Any, Any] = dict(zip(places, args, strict=False))
        given.update(kwargs)
        if usual and len(given) == len(args) + len(kwargs):
            if len(given) < len(names) and given.keys() >= needed:
                given = {**defaults, **given}
            if given.keys() == names:
                for name in owners:
                    del given[name]
                return given
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given = {name: value for name, value in bound.arguments.items() if name not in owners}
        if rest and not given[rest]:
            del given[rest]
        if more:
            given.update(given.pop(more))
        return given

    return arguments
