"""The store's address as other processes and machines need it."""

from bayes_scaling.runs import InputError
from runners.store import Store

__all__ = ["address_elsewhere"]


def address_elsewhere(store: Store) -> str:
    """The address of a store, the same from every working folder.

    Raises
    ------
    InputError
        The store lies in the memory of this process.
    """
    if store.folder.path is not None:
        return str(store.folder.path.absolute())
    if str(store).startswith("memory:"):
        raise InputError(f"the store {store} lies in this process's memory, which workers of their own cannot see")
    return str(store)
