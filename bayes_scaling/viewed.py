"""Results that show themselves: a table as text where they are printed, the same table as HTML in a notebook."""

from typing import Any

__all__ = ["Viewed"]


class Viewed:
    """A result with a view, which says once what its text and its HTML show.

    Dataclasses that are one need ``repr=False``, or their own representation takes its place.
    """

    def _view(self) -> Any:
        """What rich renders: titles, tables and notes."""
        raise NotImplementedError

    def __str__(self) -> str:
        from bayes_scaling.display import plain

        return plain(self._view())

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        from bayes_scaling.html import html

        return html(self._view())
