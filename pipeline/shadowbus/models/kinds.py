"""The kinds of models there are: which files hold one, and which adapter opens it.

A kind is a line here and a module with two functions (`Adapter`); nothing else names one. The contract suite is
`tests/unit/test_models_contract.py`. Modules are named, not imported: a process loads the libraries of the one kind
of model that it runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shadowbus.errors import BundleError

MOST_BYTES = 4 * 1024**3
"""The default limit on how large a saved model may become when it is unpacked, in bytes."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of model.

    Attributes:
        name: Its name in manifests.
        adapter: The module with its `Adapter`.
        formats: The format of a file by its suffix.
        libraries: Distributions whose versions every bundle of the kind records.
        runs_code: Formats that run code of their own when they are opened: only by an explicit choice.
    """

    name: str
    adapter: str
    formats: Mapping[str, str]
    libraries: Sequence[str]
    runs_code: frozenset[str] = frozenset()


KINDS = (
    Kind(
        name="sklearn",
        adapter="shadowbus.models.sklearn.model",
        # joblib reads plain pickles as well.
        formats={".skops": "skops", ".joblib": "joblib", ".pkl": "joblib", ".pickle": "joblib"},
        libraries=("scikit-learn", "numpy", "scipy", "skops", "joblib"),
        runs_code=frozenset({"joblib"}),
    ),
)

FORMATS = {saved_as for kind in KINDS for saved_as in kind.formats.values()}
RUNS_CODE = {saved_as for kind in KINDS for saved_as in kind.runs_code}


def kind_named(name: str, where: Path) -> Kind:
    """The kind of that name; `where` is the bundle, for the error.

    Raises:
        BundleError: There is no such kind.
    """
    found = next((kind for kind in KINDS if kind.name == name), None)
    if found is None:
        known = ", ".join(sorted(kind.name for kind in KINDS))
        raise BundleError(f"{where} holds a model of kind '{name}'; the kinds known here are: {known}.")
    return found


def kind_of(file: Path) -> Kind:
    """The kind of model that a file holds, by its suffix.

    Raises:
        BundleError: No kind has that suffix.
    """
    suffix = file.suffix.lower()
    found = next((kind for kind in KINDS if suffix in kind.formats), None)
    if found is None:
        known = ", ".join(suffix for kind in KINDS for suffix in kind.formats)
        raise BundleError(f"{file} must end in one of {known}, which says how it was saved.")
    return found


def check_opening(saved_as: str, *, allow_pickle: bool) -> None:
    """Refuse a format that runs code when it is opened, unless that is allowed.

    Raises:
        BundleError: The format runs code, and nobody allowed it.
    """
    if saved_as in RUNS_CODE and not allow_pickle:
        raise BundleError(
            f"This model is a pickle ({saved_as}), which runs code of its own when opened: if you know who made it, "
            "set 'allow_pickle = true' for that shadow; otherwise save it with skops."
        )
