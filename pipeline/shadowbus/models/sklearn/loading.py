"""From the bytes of a saved estimator to the estimator, without running code nobody vouched for.

In: bytes whose hash has been checked. Out: the estimator. Guaranteed: a skops file builds only types from its trusted
lists; a joblib or pickle file, which runs code of its own when opened, is opened only by an explicit choice.
"""

import contextlib
import importlib
import io
import sys
import zipfile
from collections.abc import Sequence
from types import ModuleType

from shadowbus.errors import BundleError
from shadowbus.models.kinds import MOST_BYTES, check_opening

# scikit-learn's own building blocks that skops does not trust by itself. Exact names, never a prefix such as
# 'sklearn.': under a prefix lie functions that run text as code. The trees and neighbour indices among them hold raw
# node numbers that scikit-learn follows unchecked, so a forged file can make predict read stray memory or crash: that
# cannot run code, and a shadow is only ever asked in a child process whose crash is data.
TRUSTED_TYPES = (
    "numpy.dtype",
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    "scipy.interpolate._bsplines.BSpline",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.feature_selection._univariate_selection.chi2",
    "sklearn.feature_selection._univariate_selection.f_classif",
    "sklearn.feature_selection._univariate_selection.f_regression",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    "sklearn.gaussian_process.kernels.ConstantKernel",
    "sklearn.gaussian_process.kernels.DotProduct",
    "sklearn.gaussian_process.kernels.Matern",
    "sklearn.gaussian_process.kernels.Product",
    "sklearn.gaussian_process.kernels.RBF",
    "sklearn.gaussian_process.kernels.RationalQuadratic",
    "sklearn.gaussian_process.kernels.Sum",
    "sklearn.gaussian_process.kernels.WhiteKernel",
    "sklearn.metrics._dist_metrics.ChebyshevDistance64",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.metrics._dist_metrics.MinkowskiDistance64",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
)


def load_estimator(
    data: bytes, saved_as: str, *, allow_pickle: bool, trusted: Sequence[str] = (), most_bytes: int = MOST_BYTES
) -> object:
    """Load an estimator from the bytes of its file.

    Args:
        data: The file's bytes, whose hash the caller has checked.
        saved_as: "skops" or "joblib".
        allow_pickle: Whether a joblib or pickle file may be opened, which runs the code in it.
        trusted: Full names of more types that skops may build, such as "mypackage.steps.Clip".
        most_bytes: How large a skops file, which is a zip archive, may become when it is unpacked.

    Raises:
        MemoryError: There is not enough memory to load it.
        BundleError: When it may not be, or cannot be, loaded.
    """
    check_opening(saved_as, allow_pickle=allow_pickle)
    if saved_as == "joblib":
        return _load_pickle(data)
    _check_unpacked(data, most_bytes)
    return _load_skops(data, trusted)


def estimators_among(names: Sequence[str]) -> tuple[str, ...]:
    """Those of some full type names that are classes of estimators, and installed here.

    A bundle's manifest may name them: skops makes such an object without calling anything but the class's own code, and
    fills it in. A function, or a class of another kind, could be anything; whoever runs the model has to name it.
    """
    from sklearn.base import BaseEstimator

    found = []
    for name in names:
        module, _, attribute = name.rpartition(".")
        if module.partition(".")[0] in sys.stdlib_module_names:
            continue
        with contextlib.suppress(Exception):  # what is not installed here, skops will say
            kind = getattr(importlib.import_module(module), attribute)
            if isinstance(kind, type) and issubclass(kind, BaseEstimator):
                found.append(name)
    return tuple(found)


def feature_names(estimator: object) -> tuple[str, ...] | None:
    """The names an estimator was fitted with, in order, or None when it was fitted without names."""
    names = getattr(estimator, "feature_names_in_", None)
    return None if names is None else tuple(str(name) for name in names)


def check_width(estimator: object, names: Sequence[str] | None) -> None:
    """Refuse features' names that cannot be the ones the estimator was fitted on.

    Raises:
        BundleError: When their number is not the estimator's number of features.
    """
    width = getattr(estimator, "n_features_in_", None)
    if names is not None and width is not None and len(names) != width:
        raise BundleError(
            f"The model was fitted on {width} features and the bundle names {len(names)}; "
            "give the names in the order the model was trained on."
        )


def _load_skops(data: bytes, trusted: Sequence[str]) -> object:
    skops = _library("skops.io")
    try:
        asked = set(skops.get_untrusted_types(data=data)) - set(TRUSTED_TYPES) - set(trusted)
        if asked:
            raise BundleError(
                f"The model's file holds types that are not trusted: {', '.join(sorted(asked))}; "
                "name those you trust in `trusted_types` of that shadow's settings (a transformer's class may be named "
                "once, when bundling: --trust), or save the model without them."
            )
        loaded: object = skops.loads(data, trusted=[*TRUSTED_TYPES, *trusted])
    except (BundleError, MemoryError):
        raise
    except Exception as error:  # a damaged or foreign file fails in as many ways as there are files
        raise BundleError(_unloadable("skops", error)) from error
    return loaded


def _check_unpacked(data: bytes, most: int) -> None:
    """Refuse an archive that becomes too large; no more is ever unpacked than its index says."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(part.file_size for part in archive.infolist())
    except Exception as error:  # a damaged archive fails in as many ways as a damaged estimator
        raise BundleError(_unloadable("skops", error)) from error
    if size > most:
        raise BundleError(
            f"The model's file becomes {size / 1e6:,.0f} MB when it is unpacked, and may become {most / 1e6:,.0f} MB; "
            "raise memory_mb of that shadow if you know who made it."
        )


def _load_pickle(data: bytes) -> object:
    joblib = _library("joblib")
    try:
        loaded: object = joblib.load(io.BytesIO(data))
    except MemoryError:
        raise
    except Exception as error:  # unpickling runs foreign code, which may raise anything
        raise BundleError(_unloadable("joblib", error)) from error
    return loaded


def _unloadable(saved_as: str, error: Exception) -> str:
    return (
        f"The model's file cannot be loaded with {saved_as} ({type(error).__name__}: {error}); "
        "save it again with the library versions that are installed here."
    )


def _library(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise BundleError(f"Loading this model needs '{error.name}'; pip install 'shadowbus[models]'.") from error
