"""What a kind of model provides: a module with these two functions, named in `kinds.py`."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol

from shadowbus.models.bundle import Bundle
from shadowbus.models.input_schema import InputSchema
from shadowbus.models.manifest import Manifest
from shadowbus.models.model import Model
from shadowbus.models.sample import SampleRows


@dataclass(frozen=True, slots=True)
class Inspected:
    """What opening a saved model shows when its bundle is made.

    Attributes:
        model: The model, ready to be asked.
        schema: The input it was fitted with.
        packages: The distributions that its parts come from.
    """

    model: Model
    schema: InputSchema
    packages: AbstractSet[str]


class Adapter(Protocol):
    """The module of one kind of model. Whoever calls it has checked the file's hash, and that it may be opened."""

    def load(self, bundle: Bundle, *, allow_pickle: bool, trusted: Sequence[str], most_bytes: int) -> Model:
        """Load a bundle's model, without asking it anything.

        Args:
            bundle: The bundle.
            allow_pickle: Whether a format that runs code when it is opened may be opened.
            trusted: Full names of more types that may be built.
            most_bytes: How large the file may become when it is unpacked, in bytes.

        Raises:
            BundleError: It cannot be trusted or loaded.
        """
        ...

    def inspect(self, manifest: Manifest, data: bytes, sample: SampleRows | None, trusted: Sequence[str]) -> Inspected:
        """Open a saved model to find out what it reads.

        Args:
            manifest: What is known so far: name, version, format, and features where somebody named them.
            data: The bytes of its file.
            sample: Rows whose types tell what the model itself does not, if there are any.
            trusted: Full names of more types that may be built.

        Raises:
            BundleError: It cannot be loaded, or its input cannot be built from requests.
        """
        ...
