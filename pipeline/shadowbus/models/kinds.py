"""Which adapter loads which kind of bundle.

In: a bundle. Out: a model that can be asked. To add a kind of model, write its adapter, add a line here, and add it to
the contract suite in `tests/unit/test_models_contract.py`.
"""

import importlib
from collections.abc import Sequence

from shadowbus.errors import BundleError
from shadowbus.models.bundle import Bundle
from shadowbus.models.model import Model
from shadowbus.models.sample import check
from shadowbus.models.sklearn.loading import MOST_BYTES, check_opening

# Named, not imported: a worker loads the libraries of the one kind of model it runs.
KINDS = {"sklearn": ("shadowbus.models.sklearn.model", "load_sklearn")}


def load_model(
    bundle: Bundle, *, allow_pickle: bool, trusted: Sequence[str] = (), most_bytes: int = MOST_BYTES
) -> Model:
    """Load a bundle's model with the adapter of its kind; its hash is checked first, its sample last.

    Args:
        bundle: What to load.
        allow_pickle: Whether a joblib or pickle file may be opened, which runs the code in it.
        trusted: Full names of more types that skops may build.
        most_bytes: How large the file may become when it is unpacked.

    Raises:
        BundleError: When no adapter knows the kind, its library is absent, the bundle cannot be trusted or loaded, or
            it answers its sample otherwise than where it was made.
    """
    model = load_unasked(bundle, allow_pickle=allow_pickle, trusted=trusted, most_bytes=most_bytes)
    ask_sample(bundle, model)
    return model


def check_loadable(bundle: Bundle, *, allow_pickle: bool) -> None:
    """What can be told without opening the model: whether an adapter knows its kind, and whether it may be opened.

    Raises:
        BundleError: One of them is not so.
    """
    if bundle.manifest.kind not in KINDS:
        raise BundleError(
            f"{bundle.folder} holds a model of kind '{bundle.manifest.kind}'; the kinds known here are: "
            f"{', '.join(sorted(KINDS))}."
        )
    check_opening(bundle.manifest.format, allow_pickle=allow_pickle)


def ask_sample(bundle: Bundle, model: Model) -> None:
    """Ask a bundle's model its sample, if it has one.

    Raises:
        BundleError: It answers otherwise than where the bundle was made.
    """
    if (sample := bundle.read_sample()) is not None:
        check(model, sample)


def load_unasked(
    bundle: Bundle, *, allow_pickle: bool, trusted: Sequence[str] = (), most_bytes: int = MOST_BYTES
) -> Model:
    """Load a bundle's model as `load_model` does, without asking it anything.

    Raises:
        BundleError: As `load_model`, but for the sample.
    """
    check_loadable(bundle, allow_pickle=allow_pickle)
    module, function = KINDS[bundle.manifest.kind]
    try:
        load = getattr(importlib.import_module(module), function)
    except ModuleNotFoundError as error:
        raise BundleError(
            f"{bundle.model} needs '{error.name}', which is not installed; pip install 'shadowbus[models]'."
        ) from error
    model: Model = load(bundle, allow_pickle=allow_pickle, trusted=trusted, most_bytes=most_bytes)
    return model
