"""How each kind of value says what it is in plainer ones: of Python itself, of numpy and pandas, of model libraries.

A converter takes the value, and the reading that bounds what it may go through; what it returns is read again. numpy
and pandas are looked up among the loaded modules: a service that has their values has loaded them, and no other has to.
"""

import dataclasses
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Set
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from ipaddress import IPv4Address, IPv6Address
from pathlib import PurePath
from typing import Any, Protocol, TypeVar
from uuid import UUID

Item = TypeVar("Item")

METHODS = ("model_dump", "_asdict", "asDict", "to_dict", "tolist", "to_list", "to_pylist", "as_py")
"""How objects of other libraries say what they are: pydantic, named tuples, Spark, polars, torch, Arrow."""

_MISSING = ("NaTType", "NAType")


class UnwritableError(TypeError):
    """This value has no plain form."""


class Reading(Protocol):
    """Bounds what a converter may go through."""

    def room(self, size: int) -> None:
        """Go on only if there may be so many parts."""

    def limited(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items, unless there are too many or they take too long."""


Converter = Callable[[Any, Any], object]


def converter_of(kind: type) -> Converter:
    """How a value of this type becomes plainer.

    Raises:
        UnwritableError: It does not.
    """
    for find in (_scalar, _numpy, _pandas, _structure, _speaking, _collection):
        convert = find(kind)
        if convert is not None:
            return convert
    raise UnwritableError(f"{kind.__name__} cannot be written as JSON")


def _scalar(kind: type) -> Converter | None:
    if kind.__name__ in _MISSING and kind.__module__.startswith("pandas."):
        return lambda _value, _: None
    return next((convert for of, convert in _SCALARS if issubclass(kind, of)), None)


def _number(value: Decimal | Fraction, _: Reading) -> object:
    if isinstance(value, Decimal):
        if value.is_nan():
            return None
        if not value.is_finite():
            return float(value)
    number = float(value)
    return int(value) if 2**53 <= abs(number) < 2**64 and value == int(value) else number


def _utf8(value: bytes | bytearray | memoryview, reading: Reading) -> str:
    reading.room(value.nbytes if isinstance(value, memoryview) else len(value))
    return bytes(value).decode()


_SCALARS: tuple[tuple[type | tuple[type, ...], Converter], ...] = (
    (Enum, lambda value, _: value.value),
    (str, lambda value, _: str.__str__(value)),
    ((bytes, bytearray, memoryview), _utf8),
    ((datetime, date, time), lambda value, _: value.isoformat()),
    (timedelta, lambda value, _: value.total_seconds()),
    ((Decimal, Fraction), _number),
    ((UUID, PurePath, IPv4Address, IPv6Address), lambda value, _: str(value)),
    (int, lambda value, _: int(value)),
    (float, lambda value, _: float(value)),
)


def _numpy(kind: type) -> Converter | None:
    numpy: Any = sys.modules.get("numpy")
    if numpy is None or not issubclass(kind, numpy.generic | numpy.ndarray):
        return None
    if issubclass(kind, numpy.integer | numpy.bool_ | numpy.float32 | numpy.float16) and kind is not numpy.timedelta64:
        return lambda value, _: value.item()
    return lambda value, reading: _array(numpy, value, reading)


def _array(numpy: Any, value: Any, reading: Reading) -> object:
    """An array, or a scalar, which is one without dimensions, with Python's own values."""
    reading.room(value.size)
    letter = value.dtype.kind
    if letter == "c":
        raise UnwritableError("a complex number cannot be written as JSON")
    if letter == "m":
        return (value / numpy.timedelta64(1, "s")).tolist()
    if letter == "M":
        texts = numpy.where(numpy.isnat(value), None, numpy.datetime_as_string(value))
        return texts.tolist()
    if letter == "f" and value.dtype.itemsize > 8:
        value = value.astype(numpy.float64)
    if value.dtype.names and not value.ndim:
        return {name: value[name] for name in value.dtype.names}
    return list(value) if value.dtype.names else value.tolist()


def _pandas(kind: type) -> Converter | None:
    pandas: Any = sys.modules.get("pandas")
    if pandas is None:
        return None
    if issubclass(kind, pandas.DataFrame):
        return _frame
    if issubclass(kind, pandas.Series):
        return lambda value, reading: _series(pandas, value, reading)
    if issubclass(kind, pandas.Index | pandas.api.extensions.ExtensionArray):
        return lambda value, reading: list(reading.limited(value))
    if issubclass(kind, pandas.Interval | pandas.Period):
        return lambda value, _: str(value)
    return None


def _frame(value: Any, reading: Reading) -> object:
    if len(value) != 1:
        raise UnwritableError(f"a frame of {len(value)} rows is not one request")
    reading.room(len(value.columns))
    (row,) = value.itertuples(index=False, name=None)
    return _named(value.columns, reading.limited(row))


def _series(pandas: Any, value: Any, reading: Reading) -> object:
    members = reading.limited(value)
    if isinstance(value.index, pandas.RangeIndex):
        return list(members)
    return _named(value.index, members)


def _named(names: Iterable[Any], members: Iterable[Any]) -> object:
    pairs = list(zip(names, members, strict=True))
    found = dict(pairs)
    if len(found) < len(pairs):
        raise UnwritableError("two columns have the same name")
    return found


def _structure(kind: type) -> Converter | None:
    names = _field_names(kind)
    if names is not None:
        return lambda value, _: {name: getattr(value, name) for name in names}
    if issubclass(kind, Mapping):
        return lambda value, reading: dict(reading.limited(value.items()))
    return _ordered if issubclass(kind, Set) else None


def _field_names(kind: type) -> Iterable[str] | None:
    """Those of a dataclass, a class of attrs or msgspec, or a named tuple."""
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind)]
    if hasattr(kind, "__attrs_attrs__"):
        return [field.name for field in kind.__attrs_attrs__]
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        names: Iterable[str] = kind._fields
        return names
    return getattr(kind, "__struct_fields__", None)


def _ordered(value: Set[Any], reading: Reading) -> object:
    """Sets have an order that differs from process to process; the same set should be the same bytes."""
    members = list(reading.limited(value))
    try:
        return sorted(members)
    except TypeError:
        return members


def _speaking(kind: type) -> Converter | None:
    method = next((name for name in METHODS if callable(getattr(kind, name, None))), None)
    if method is None or issubclass(kind, type):
        return None

    def ask(value: Any, reading: Reading) -> object:
        size = getattr(value, "nbytes", 0)
        reading.room(size // 8 if type(size) is int else 0)
        return getattr(value, method)()

    return ask


def _collection(kind: type) -> Converter | None:
    """Not iterators: what is taken from one is gone for the service."""
    plainly = issubclass(kind, Collection) and not issubclass(kind, Iterator | type)
    return (lambda value, reading: list(reading.limited(value))) if plainly else None
