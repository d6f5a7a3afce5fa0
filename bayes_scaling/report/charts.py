"""The explorer's charts: Vega-Lite specifications, and the JavaScript that draws them, from the package vl-convert.

Colours are the page's CSS variables, so that light, dark and print are one chart.
"""

from functools import cache
from importlib import metadata
from typing import Any

from bayes_scaling.errors import InputError

__all__ = ["charts", "library", "library_version", "needed"]

VEGA_LITE = "6.1"

CONFIG = {
    "background": None,
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--ink)",
        "titleColor": "var(--ink)",
        "gridColor": "var(--faint)",
        "domainColor": "var(--line)",
        "tickColor": "var(--line)",
        "labelFontSize": 13,
        "titleFontSize": 13,
        "titleFontWeight": "normal",
    },
}

SPARSITY = {"field": "sparsity", "type": "quantitative", "title": "sparsity", "axis": {"tickCount": 6, "grid": False}}


def needed() -> None:
    """Say which extra brings what the report is made with, where it is not installed.

    Raises
    ------
    InputError
        If the template engine or the charting library are not there.
    """
    try:
        import jinja2  # noqa: F401
        import vl_convert  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"a report needs {error.name}, which an extra brings: pip install 'bayes-scaling[report]'"
        ) from error


@cache
def library() -> str:
    """Vega-Embed with all that it needs, as one script that defines `vegaEmbed`."""
    import vl_convert

    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", VEGA_LITE))


def library_version() -> str:
    """The charting library's version, and that of the package that brought it."""
    import vl_convert

    return f"Vega {vl_convert.get_vega_version()}, from vl-convert-python {metadata.version('vl-convert-python')}"


@cache
def charts() -> dict[str, Any]:
    """The charts' Vega specifications by name; their data sets are empty and filled by the page."""
    import vl_convert

    specs = {"gain": _gain(), "optima": _optima(), "budgets": _budgets()}
    return {
        name: vl_convert.vegalite_to_vega(
            {"width": "container", "height": 230, "autosize": {"type": "fit", "contains": "padding"}, "config": CONFIG}
            | spec,
            vl_version=VEGA_LITE,
        )
        for name, spec in specs.items()
    }


def _gain() -> dict[str, Any]:
    """Gain over dense along sparsity: a band and its median, and the recommended sparsity as a point."""
    x = SPARSITY
    y = {"type": "quantitative", "axis": {"tickCount": 5}}
    return {
        "layer": [
            _band("band", x, y | {"title": "gain in loss over dense"}),
            _line("band", x, y | {"field": "median"}),
            {
                "data": {"values": [{"zero": 0}]},
                "mark": {"type": "rule", "color": "var(--ink)"},
                "encoding": {"y": {"field": "zero", "type": "quantitative"}},
            },
            {
                "data": {"name": "choice", "values": []},
                "mark": {"type": "rule", "strokeWidth": 3, "color": "var(--second)"},
                "encoding": {"x": x, "y": y | {"field": "lower"}, "y2": {"field": "upper"}},
            },
            {
                "data": {"name": "choice"},
                "mark": {"type": "point", "shape": "diamond", "filled": True, "size": 130, "color": "var(--second)"},
                "encoding": {"x": x, "y": y | {"field": "median"}},
            },
        ],
    }


def _optima() -> dict[str, Any]:
    """How many draws have their optimum where."""
    return {
        "height": 150,
        "layer": [
            {
                "data": {"name": "bins", "values": []},
                "mark": {"type": "rect", "color": "var(--first)", "opacity": 0.75},
                "encoding": {
                    "x": SPARSITY | {"field": "from", "scale": {"zero": False}},
                    "x2": {"field": "to"},
                    "y2": {"datum": 0},
                    "y": {
                        "field": "share",
                        "type": "quantitative",
                        "title": "share of draws",
                        "axis": {"format": "%", "tickCount": 4},
                    },
                },
            },
            {
                "data": {"name": "choice", "values": []},
                "mark": {"type": "rule", "strokeWidth": 3, "color": "var(--second)"},
                "encoding": {"x": SPARSITY},
            },
        ],
    }


def _budgets() -> dict[str, Any]:
    """The optimum, or the chance of a pattern, along budgets; grey where the question lies beyond the runs."""
    x = {
        "field": "budget",
        "type": "quantitative",
        "title": "training budget (FLOPs)",
        "scale": {"type": "log", "nice": False},
        "axis": {"format": ".0e", "grid": False, "labelOverlap": "greedy", "tickCount": 5},
    }
    y = {"type": "quantitative", "scale": {"domain": [0, 1]}, "axis": {"tickCount": 5}}
    return {
        "layer": [
            {
                "data": {"name": "outside", "values": []},
                "mark": {"type": "rect", "color": "var(--faint)"},
                "encoding": {"x": x | {"field": "from"}, "x2": {"field": "to"}},
            },
            _band("band", x, y | {"title": None}),
            _line("band", x, y | {"field": "median"}),
            {
                "data": {"name": "now", "values": []},
                "mark": {"type": "rule", "strokeWidth": 3, "color": "var(--second)"},
                "encoding": {"x": x},
            },
        ],
    }


def _band(data: str, x: dict[str, Any], y: dict[str, Any]) -> dict[str, Any]:
    return {
        "data": {"name": data, "values": []},
        "mark": {"type": "area", "color": "var(--first)", "opacity": 0.28},
        "encoding": {"x": x, "y": y | {"field": "lower"}, "y2": {"field": "upper"}},
    }


def _line(data: str, x: dict[str, Any], y: dict[str, Any]) -> dict[str, Any]:
    return {
        "data": {"name": data},
        "mark": {"type": "line", "strokeWidth": 2.5, "color": "var(--first)"},
        "encoding": {"x": x, "y": y},
    }
