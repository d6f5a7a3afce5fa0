"""Laws with tables of their own: they are about something else than the loss of runs of some size, data and sparsity.

`batch` is about steps to a target loss, `mixture` about amounts of data per domain; `solvable` has no table to fit but
makes run tables whose law is known. Each is one file with the same shape: a formula, `fit`, and what may be asked.
"""

__all__ = ["FITTED"]

FITTED = ("batch", "mixture", "transfer", "rectified", "effects")
"""Studies that posteriors come from: the values of a posterior's attribute ``law`` beside the names of laws."""
