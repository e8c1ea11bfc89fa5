"""Which environment variables a model's process gets: those that libraries need, and those that the settings name.

The worker's own environment often holds the password of Kafka; a model has no use for it.
"""

import importlib
import sys
from collections.abc import Iterable, Mapping

NAMES = frozenset(
    {
        "CUDA_VISIBLE_DEVICES",
        "DYLD_LIBRARY_PATH",
        "HOME",
        "LANG",
        "LANGUAGE",
        "LD_LIBRARY_PATH",
        "PATH",
        "PYTHONHASHSEED",
        "PYTHONHOME",
        "PYTHONIOENCODING",
        "PYTHONNOUSERSITE",
        "PYTHONPATH",
        "PYTHONUSERBASE",
        "PYTHONUTF8",
        "PYTHONWARNINGS",
        "TMPDIR",
        "TZ",
        "TZDIR",
    }
)
"""Where programs, libraries and files are, and how text and time are written."""

STARTS = (
    "LC_",
    "BLIS_",
    "GOTO_",
    "JOBLIB_",
    "KMP_",
    "LOKY_",
    "MALLOC_",
    "MKL_",
    "NPY_",
    "NUMEXPR_",
    "OMP_",
    "OPENBLAS_",
)
"""How the variables of numerical libraries begin."""


def model_environment(whole: Mapping[str, str], named: Iterable[str], threads: int) -> dict[str, str]:
    """The environment of a model's process.

    Args:
        whole: The environment there is.
        named: Which others the settings pass on; one that is not set stays so.
        threads: How many threads its libraries may use.

    >>> model_environment({"KAFKA_PASSWORD": "x", "TZ": "UTC", "REGION": "eu"}, ["REGION"], 1)["REGION"]
    'eu'
    >>> "KAFKA_PASSWORD" in model_environment({"KAFKA_PASSWORD": "x"}, ["REGION"], 1)
    False
    """
    passed = NAMES.union(named)
    kept = {name: value for name, value in whole.items() if name in passed or name.startswith(STARTS)}
    return {**kept, **thread_variables(threads)}


VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "LOKY_MAX_CPU_COUNT",
)


def thread_variables(threads: int) -> dict[str, str]:
    """The environment in which libraries use this many threads."""
    return dict.fromkeys(VARIABLES, str(threads))


def limit_joblib(threads: int) -> None:
    """Limit joblib, if it is loaded, to this many threads for this thread, and to no processes."""
    if "joblib" not in sys.modules:
        return
    joblib = importlib.import_module("joblib")
    threading_backend = importlib.import_module("joblib._parallel_backends").ThreadingBackend

    class Limited(threading_backend):  # type: ignore[misc,valid-type]
        def effective_n_jobs(self, n_jobs: int) -> int:
            return min(int(super().effective_n_jobs(n_jobs)), threads)

    joblib.parallel_config(backend=Limited())
