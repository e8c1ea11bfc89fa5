"""Which environment variables a model's process gets: those that libraries need, and those that the settings name.

The worker's own environment often holds the password of Kafka; a model has no use for it.
"""

from collections.abc import Iterable, Mapping

from shadowbus.replay.model_threads import thread_variables

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
