"""Many small fits on few processors."""

from contextlib import AbstractContextManager
from typing import Any

__all__ = ["one_blas_thread"]


def one_blas_thread() -> AbstractContextManager[Any]:
    """Keep linear algebra to one thread while a context lasts.

    A refit multiplies matrices of ten to fifty rows some ten thousand times. Handing those to threads takes longer than
    multiplying them; where other processes want the processors, five times as long (measured).
    """
    import scipy.linalg  # noqa: F401  (brings a library of its own, and only loaded ones are limited)
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1, user_api="blas")
