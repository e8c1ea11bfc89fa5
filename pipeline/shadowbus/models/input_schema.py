"""What a model is handed: the container it was fitted with, and each column's type.

A bundle's manifest has it as `input`, so that a row becomes the same thing wherever the bundle is loaded, and whatever
other rows are asked with it. It is found out once, when the bundle is made (by the adapter, or from a sample of rows).
"""

from typing import Any, Literal

import msgspec

from shadowbus.errors import BundleError

Container = Literal["numbers", "sparse", "objects", "frame", "texts", "dicts"]
"""A matrix of float64; the same with zeros left out (CSR); a matrix of objects; a pandas data frame; a list of texts; a
list of objects by name."""

Type = Literal["number", "integer", "boolean", "text", "category", "datetime", "object", "unknown"]
"""What a column holds. `object` keeps JSON's own values; `unknown` takes each row's own kind of value."""


class Column(msgspec.Struct, frozen=True, omit_defaults=True):
    """One column, as the model was fitted with it.

    Attributes:
        name: The feature, or None for a model that was fitted without names.
        type: What it holds.
        dtype: The exact pandas type, where it is known, such as "int32" or "datetime64[ns, UTC]".
        categories: The values of a category column, in their order.
        ordered: Whether their order has a meaning.
        none: Whether what is missing is None; else it is not-a-number (or not-a-time).
    """

    name: str | None = None
    type: Type = "number"
    dtype: str | None = None
    categories: tuple[str | int | float | bool, ...] | None = None
    ordered: bool = False
    none: bool = False


class InputSchema(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a model's `predict` receives.

    Attributes:
        container: What holds the rows.
        columns: Its columns in training order; None where they are not known, or have no meaning.
    """

    container: Container = "numbers"
    columns: tuple[Column, ...] | None = None

    @property
    def names(self) -> tuple[str, ...] | None:
        """The features in training order, or None when a row has to be a list."""
        names = [column.name for column in self.columns or () if column.name is not None]
        return tuple(names) if names else None

    @property
    def unknown(self) -> tuple[str, ...]:
        """Columns whose type nobody knows: it is taken from each row's own value."""
        return tuple(str(column.name) for column in self.columns or () if column.type == "unknown")

    def as_json(self) -> Any:
        """The same in JSON's types."""
        return msgspec.to_builtins(self)


def schema_from(value: object, where: object) -> InputSchema:
    """Read a manifest's `input`.

    Args:
        value: JSON's types.
        where: The file it comes from, for the error's sentence.

    Raises:
        BundleError: It does not describe an input.
    """
    try:
        return msgspec.convert(value, InputSchema)
    except msgspec.ValidationError as error:
        raise BundleError(
            f"{where}: 'input' does not say what the model reads ({error}); make the bundle again."
        ) from None
