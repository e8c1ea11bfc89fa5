"""Loads the model of a bundle with the adapter of its kind.

In: a bundle. Out: a model that can be asked. Guaranteed: the file's hash is checked before it is opened, and the
sample, if the bundle has one, is answered as it was where the bundle was made.
"""

import importlib
from collections.abc import Sequence
from typing import cast

from shadowbus.errors import BundleError
from shadowbus.models.adapter import Adapter
from shadowbus.models.bundle import Bundle
from shadowbus.models.kinds import MOST_BYTES, Kind, check_opening, kind_named
from shadowbus.models.model import Model
from shadowbus.models.sample import check


def load_model(
    bundle: Bundle, *, allow_pickle: bool, trusted: Sequence[str] = (), most_bytes: int = MOST_BYTES
) -> Model:
    """Load a bundle's model, and ask it its sample.

    Args:
        bundle: What to load.
        allow_pickle: Whether a format that runs code when it is opened, such as a pickle, may be opened.
        trusted: Full names of more types that the adapter may build.
        most_bytes: How large the file may become when it is unpacked, in bytes.

    Raises:
        BundleError: No adapter knows the kind, its library is absent, the bundle cannot be trusted or loaded, or it
            answers its sample differently here.
    """
    model = load_unasked(bundle, allow_pickle=allow_pickle, trusted=trusted, most_bytes=most_bytes)
    ask_sample(bundle, model)
    return model


def load_unasked(
    bundle: Bundle, *, allow_pickle: bool, trusted: Sequence[str] = (), most_bytes: int = MOST_BYTES
) -> Model:
    """Load a bundle's model as `load_model` does, without asking it anything.

    Raises:
        BundleError: As `load_model`, except for the sample.
    """
    check_loadable(bundle, allow_pickle=allow_pickle)
    adapter = adapter_of(kind_named(bundle.manifest.kind, bundle.folder), bundle.model)
    return adapter.load(bundle, allow_pickle=allow_pickle, trusted=trusted, most_bytes=most_bytes)


def check_loadable(bundle: Bundle, *, allow_pickle: bool) -> None:
    """Check, without opening the model, that an adapter knows its kind and that its file may be opened.

    Raises:
        BundleError: No adapter knows it, or it may not be opened.
    """
    kind_named(bundle.manifest.kind, bundle.folder)
    check_opening(bundle.manifest.format, allow_pickle=allow_pickle)


def ask_sample(bundle: Bundle, model: Model) -> None:
    """Ask a bundle's model its sample, if it has one.

    Raises:
        BundleError: It answers differently from where the bundle was made.
    """
    if (sample := bundle.read_sample()) is not None:
        check(model, sample)


def adapter_of(kind: Kind, model: str) -> Adapter:
    """The adapter of a kind; `model` names the model, for the error.

    Raises:
        BundleError: A library that it needs is not installed.
    """
    try:
        return cast("Adapter", importlib.import_module(kind.adapter))
    except ModuleNotFoundError as error:
        raise BundleError(
            f"{model} needs '{error.name}', which is not installed; pip install 'shadowbus[models]'."
        ) from error
