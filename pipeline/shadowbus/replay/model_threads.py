"""How many threads a model's libraries may use: two workers with two threads each on two cores are slower than one.

BLAS and OpenMP read a variable when they are loaded; joblib, with which scikit-learn runs parts of an estimator side
by side, takes what the estimator was made with (`n_jobs=-1`), so it is given a pool that is never larger.
"""

import importlib
import sys

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
    """The environment in which libraries use so many threads."""
    return dict.fromkeys(VARIABLES, str(threads))


def limit_joblib(threads: int) -> None:
    """From now on joblib runs at most so many threads for this thread, and no processes, if it is loaded at all."""
    if "joblib" not in sys.modules:
        return
    joblib = importlib.import_module("joblib")
    threading_backend = importlib.import_module("joblib._parallel_backends").ThreadingBackend

    class Limited(threading_backend):  # type: ignore[misc,valid-type]
        def effective_n_jobs(self, n_jobs: int) -> int:
            return min(int(super().effective_n_jobs(n_jobs)), threads)

    joblib.parallel_config(backend=Limited())
