"""The errors that a user can cause and mend."""

__all__ = ["InputError"]


class InputError(ValueError):
    """The input is wrong: one sentence that names where, what was found and what is allowed.

    The command line prints the sentence alone and exits with status 2.
    """
