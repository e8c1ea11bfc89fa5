"""A model bundle: a folder with `manifest.json` and the model's file.

In: a fitted estimator saved as `.skops`, `.joblib` or a pickle. Out: a folder that names the model, its features and
the hash of its file. Guaranteed: a bundle appears whole or not at all, is never replaced by a different one, and nobody
gets a byte of the model's file that does not have the hash the manifest vouches for.

The hash shows that a file is the one that was bundled; it does not show who made it. That is why pickles are opened
only by an explicit choice: see `estimator.py`.
"""

import hashlib
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path

from shadowbus.errors import BundleError
from shadowbus.shadows.estimator import check_width, feature_names, load_estimator
from shadowbus.shadows.manifest import FORMATS, MANIFEST_FILE, Manifest, check_features, check_word

_LIBRARIES = ("scikit-learn", "numpy", "scipy", "skops", "joblib")


@dataclass(frozen=True, slots=True)
class Bundle:
    """A folder whose manifest has been read and checked; its file has not been opened yet.

    Attributes:
        folder: Where the bundle is.
        manifest: What it says about itself.
    """

    folder: Path
    manifest: Manifest

    @property
    def model(self) -> str:
        """The model's full name, `name@version`."""
        return f"{self.manifest.name}@{self.manifest.version}"

    @property
    def features(self) -> tuple[str, ...] | None:
        """The features' names in training order, or None when the model takes lists only."""
        return self.manifest.features

    @property
    def path(self) -> Path:
        """The model's file."""
        return self.folder / self.manifest.file

    def read(self) -> bytes:
        """The bytes of the model's file, which are exactly those that were hashed.

        Raises:
            BundleError: When the file is absent, lies outside the folder, or has another hash.
        """
        _check_inside(self.folder, self.manifest.file)
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise BundleError(
                f"The model's file {self.path} cannot be read ({error.strerror}); make the bundle again."
            ) from error
        if hashlib.sha256(data).hexdigest() != self.manifest.sha256:
            raise BundleError(
                f"{self.path} is not the file that {MANIFEST_FILE} vouches for (its sha256 differs); "
                "do not load it, find out who changed it, or make the bundle again."
            )
        return data

    def verify(self) -> None:
        """Check that the model's file is the one the manifest vouches for.

        Raises:
            BundleError: When it is not.
        """
        self.read()


def read_bundle(path: Path) -> Bundle:
    """Read and check a bundle's manifest, without opening the model's file.

    Args:
        path: The bundle's folder.

    Raises:
        BundleError: When there is no manifest, it is malformed, or its file lies outside the folder.
    """
    where = path / MANIFEST_FILE
    try:
        data = where.read_bytes()
    except OSError as error:
        raise BundleError(
            f"{path} is not a model bundle: {MANIFEST_FILE} cannot be read there ({error.strerror}); "
            "make one with 'shadowbus bundle'."
        ) from error
    manifest = Manifest.decode(data, where)
    _check_inside(path, manifest.file)
    return Bundle(path, manifest)


def write_bundle(
    file: Path,
    *,
    name: str,
    version: str,
    out: Path,
    features: Sequence[str] | None,
    now_ms: int,
    allow_pickle: bool = False,
    trusted: Sequence[str] = (),
) -> Bundle:
    """Make a bundle of a saved, fitted estimator.

    A `.skops` file is loaded (with skops' check of its types) to see that it can be and to take its features' names
    when none are given. A `.joblib` or pickle file runs code of its own when it is opened, so it is only copied and
    hashed unless `allow_pickle` is given; without that and without `features` the bundle takes lists only.

    Writing the same bundle again is fine and changes nothing, also from two processes at once.

    Args:
        file: The saved estimator; its suffix says the format.
        name: The model's name.
        version: The model's version.
        out: The bundle's folder, which appears whole or not at all.
        features: The features' names in training order; None takes them from the estimator.
        now_ms: The time to record.
        allow_pickle: Whether to open a `.joblib` or pickle file, which runs the code in it.
        trusted: More types that skops may build, for a `.skops` file.

    Raises:
        BundleError: When the file cannot be read or loaded, a name is not allowed, the features do not fit the
            estimator, or `out` holds something else.
    """
    check_word("name", name)
    check_word("version", version)
    kind_of_file = FORMATS.get(file.suffix.lower())
    if kind_of_file is None:
        raise BundleError(f"{file} must end in one of {', '.join(FORMATS)}, which says how it was saved.")
    try:
        data = file.read_bytes()
    except OSError as error:
        raise BundleError(f"{file} cannot be read ({error.strerror}); check the path.") from error
    manifest = Manifest(
        name=name,
        version=version,
        kind="sklearn",
        format=kind_of_file,
        file=f"model.{kind_of_file}",
        sha256=hashlib.sha256(data).hexdigest(),
        features=_features(data, kind_of_file, features, allow_pickle, trusted),
        libraries=_installed(),
        created_ms=now_ms,
    )
    return _place(manifest, data, out)


def _features(
    data: bytes, saved_as: str, given: Sequence[str] | None, allow_pickle: bool, trusted: Sequence[str]
) -> tuple[str, ...] | None:
    if given is not None:
        check_features(given)
    names = None if given is None else tuple(given)
    if saved_as == "joblib" and not allow_pickle:
        return names
    estimator = load_estimator(data, saved_as, allow_pickle=allow_pickle, trusted=trusted)
    names = names or feature_names(estimator)
    check_width(estimator, names)
    return names


def _place(manifest: Manifest, data: bytes, out: Path) -> Bundle:
    if out.is_dir() and any(out.iterdir()):
        return _same_or_refuse(manifest, out)
    out.parent.mkdir(parents=True, exist_ok=True)
    building = out.parent / f".{out.name}.{secrets.token_hex(8)}"
    building.mkdir()
    try:
        (building / manifest.file).write_bytes(data)
        (building / MANIFEST_FILE).write_bytes(manifest.encode())
        building.rename(out)
    except OSError as error:
        # Another writer may have been quicker: a folder that is not empty cannot be renamed over.
        if out.is_dir():
            return _same_or_refuse(manifest, out)
        raise BundleError(f"The bundle cannot be put at {out} ({error.strerror}).") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return Bundle(out, manifest)


def _same_or_refuse(manifest: Manifest, out: Path) -> Bundle:
    present = read_bundle(out)
    if present.manifest.identity != manifest.identity:
        raise BundleError(
            f"{out} already holds another bundle ({present.model}, sha256 {present.manifest.sha256[:12]}…); "
            "give this one a version and a folder of its own."
        )
    present.verify()
    return present


def _check_inside(folder: Path, file: str) -> None:
    if not (folder / file).resolve().is_relative_to(folder.resolve()):
        raise BundleError(
            f"{folder / MANIFEST_FILE}: 'file' ({file}) leads outside the bundle's folder; make the bundle again."
        )


def _installed() -> dict[str, str]:
    found = {}
    for library in _LIBRARIES:
        try:
            found[library] = installed_version(library)
        except PackageNotFoundError:
            continue
    return found
