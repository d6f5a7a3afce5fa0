"""Views as HTML for notebooks: real tables, with the sentences and figures that the terminal shows.

Views are made of rich's groups, texts and tables, whatever they are to become. Here their words become escaped text
and their styles classes. Colours are the notebook's own, light or dark; those of warnings and errors have the same
contrast on white and on black.
"""

import itertools
import unicodedata
from collections.abc import Iterator
from html import escape

from rich.console import Console, Group, RenderableType
from rich.style import Style
from rich.table import Column, Table
from rich.text import Text

from bayes_scaling.display import plain

__all__ = ["html"]

_CONSOLE = Console()
_TURNS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
_CLASSES = {"yellow": "bs-warning", "red": "bs-error", "green": "bs-good"}
_STYLE = """
.bs-view{font-size:.92em;line-height:1.45;overflow-x:auto;max-width:70em}
.bs-view p{margin:.45em 0}
.bs-view table{font-size:inherit;border-collapse:collapse;margin:.6em 0;color:inherit;font-variant-numeric:tabular-nums}
.bs-view caption{caption-side:top;text-align:left;font-weight:600;padding:.2em 0;color:inherit}
.bs-view caption.bs-below{caption-side:bottom;font-weight:400}
.bs-view th,.bs-view td{padding:.22em .8em;text-align:left;vertical-align:top;background:none;color:inherit}
.bs-view .bs-right{text-align:right}
.bs-view thead th{border-bottom:1px solid currentColor;vertical-align:bottom;font-weight:600}
.bs-view tbody th{font-weight:400}
.bs-view tr.bs-section>*{border-bottom:1px solid #8888}
.bs-view .bs-bold,.bs-view .bs-bold th{font-weight:600}
.bs-view .bs-dim{opacity:.75}
.bs-view .bs-warning{color:#a56a00}
.bs-view .bs-error{color:#e0352b}
.bs-view .bs-good{color:#188a47}
"""


def html(view: RenderableType) -> str:
    """A view as a piece of HTML that needs nothing else.

    Parameters
    ----------
    view : renderable
        A group, table, text or string of rich; anything else is shown as plain text.
    """
    return f'<div class="bs-view"><style>{_STYLE}</style>{"".join(_pieces(view))}</div>'


def _pieces(view: RenderableType) -> Iterator[str]:
    if isinstance(view, Group):
        for each in view.renderables:
            yield from _pieces(each)
    elif isinstance(view, Table):
        yield _table(view)
    elif isinstance(view, Text | str):
        yield f'<p dir="auto">{_words(view)}</p>'
    else:
        yield f"<pre>{_escaped(plain(view))}</pre>"


def _table(table: Table) -> str:
    columns = table.columns
    head = "".join(f'<th scope="col"{_attribute(_side(column))}>{_words(column.header)}</th>' for column in columns)
    body = []
    for row, cells in zip(table.rows, itertools.zip_longest(*(column.cells for column in columns)), strict=True):
        shown = [
            f'<th scope="row"{_attribute(_side(column))}>{_words(cell)}</th>'
            if i == 0
            else f"<td{_attribute(_side(column))}>{_words(cell)}</td>"
            for i, (column, cell) in enumerate(zip(columns, cells, strict=True))
        ]
        classes = [*_named(row.style or ""), *(["bs-section"] if row.end_section else [])]
        body.append(f"<tr{_attribute(classes)}>{''.join(shown)}</tr>")
    parts = [f"<caption>{_words(table.title)}</caption>" if table.title else ""]
    if any(column.header for column in columns):
        parts.append(f"<thead><tr>{head}</tr></thead>")
    below = f'<p class="bs-dim">{_words(table.caption)}</p>' if table.caption else ""
    return f"<table>{''.join(parts)}<tbody>{''.join(body)}</tbody></table>{below}"


def _side(column: Column) -> list[str]:
    return ["bs-right"] if column.justify == "right" else []


def _words(words: RenderableType) -> str:
    """Text with its styles as spans; line breaks stay."""
    if isinstance(words, str):
        words = _CONSOLE.render_str(words, highlight=False)
    if not isinstance(words, Text):
        return _escaped(plain(words))
    cuts = sorted({0, len(words), *(cut for span in words.spans for cut in (span.start, span.end))})
    pieces = []
    for start, end in itertools.pairwise(cuts):
        piece = _escaped(words.plain[start:end])
        inside = [_named(span.style) for span in words.spans if span.start <= start and end <= span.end]
        classes = [name for names in [_named(words.style), *inside] for name in names]
        pieces.append(f"<span{_attribute(classes)}>{piece}</span>" if classes else piece)
    return "".join(pieces)


def _named(style: str | Style) -> list[str]:
    """The classes of a style."""
    found = Style.parse(style) if isinstance(style, str) else style
    colour = _CLASSES.get(found.color.name, "") if found.color else ""
    return [name for name, on in (("bs-bold", found.bold), ("bs-dim", found.dim), (colour, colour)) if on]


def _attribute(classes: list[str]) -> str:
    return f' class="{" ".join(dict.fromkeys(classes))}"' if classes else ""


def _escaped(text: str) -> str:
    """Text that is no markup and cannot turn round what stands beside it."""
    return escape("".join(map(_visible, text))).replace("\n", "<br>")


def _visible(character: str) -> str:
    """A character, or the name of one that only turns the direction of others or controls a terminal."""
    turns = unicodedata.bidirectional(character) in _TURNS
    control = unicodedata.category(character) == "Cc" and character != "\n"
    return f"\\u{ord(character):04x}" if turns or control else character
