"""A line of the table of public numbers: what was published, what we find, whether they agree."""

import json
from dataclasses import dataclass

import xarray as xr

from bayes_scaling.intervals import PROB, interval

__all__ = ["Row", "checked", "relative", "table"]


@dataclass(frozen=True)
class Row:
    """One published number, our point estimate by the published procedure, and our posterior's interval where asked.

    ``tolerance`` is the largest difference between the two numbers that passes, in the unit of both; ``said`` is how
    the table writes it.
    """

    data: str
    quantity: str
    published: float
    point: float | None = None
    tolerance: float | None = None
    said: str = ""
    draws: xr.DataArray | None = None

    @property
    def within(self) -> bool | None:
        """Whether the point estimate agrees."""
        if self.point is None or self.tolerance is None:
            return None
        return abs(self.point - self.published) <= self.tolerance

    @property
    def inside(self) -> bool | None:
        """Whether the interval contains the published number."""
        if self.draws is None:
            return None
        told = interval(self.draws, PROB)
        slack = 1e-9 * abs(self.published)
        return bool(told["lower"] - slack <= self.published <= told["upper"] + slack)

    def cells(self) -> list[str]:
        told = None if self.draws is None else interval(self.draws, PROB)
        return [
            self.data,
            self.quantity,
            _shown(self.published),
            self.said or ("–" if self.tolerance is None else f"{self.tolerance:g}"),
            "–" if self.point is None else _shown(self.point),
            _word(self.within),
            "–" if told is None else f"{told['median']:.4g} [{told['lower']:.4g}, {told['upper']:.4g}]",
            _word(self.inside),
        ]


def relative(data: str, quantity: str, published: float, point: float, share: float, said: str = "") -> Row:
    """A line whose tolerance is a share of the published number."""
    return Row(data, quantity, published, point, share * abs(published), said or f"{share:g} of it")


def table(rows: list[Row]) -> str:
    """All lines as Markdown."""
    head = (
        f"| data | quantity | published | tolerance | ours, same procedure | within | posterior, {PROB:.0%} interval |"
    )
    lines = [head + " inside |", "|---" * 8 + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row.cells()) + " |" for row in rows)])


def checked(posterior: xr.DataTree) -> xr.DataTree:
    """The posterior, and on stdout whether it may be trusted."""
    found = json.loads(posterior.attrs["diagnostics"])
    seconds = json.loads(posterior.attrs["seconds"])
    print(
        f"{posterior.attrs['law']}: gate {'passed' if found['ok'] else 'FAILED'}, R-hat {found['max_rhat']:.4f}, "
        f"bulk ESS {found['min_ess_bulk']:.0f}, {found['divergences']} divergences, "
        f"compiling {seconds['compile']:.1f} s, sampling {seconds['sample']:.1f} s",
        flush=True,
    )
    return posterior


def _shown(value: float) -> str:
    return f"{value:.7g}"


def _word(agrees: bool | None) -> str:
    return "–" if agrees is None else "yes" if agrees else "**no**"
