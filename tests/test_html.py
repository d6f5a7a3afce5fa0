from collections import Counter
from html.parser import HTMLParser

import pytest
from helpers import hand_built, one_modality, random_coefficients
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

import bayes_scaling as bs
from bayes_scaling.display import notes_view, plain
from bayes_scaling.html import html
from bayes_scaling.notes import Note

SIZE = 1.6e7
HOSTILE = "<script>alert('x')</script> \"quoted\" [bold]b[/bold] & \u202egnp.exe"
VOID = {"br"}


class Page(HTMLParser):
    """What a browser would make of a piece: its tags, its words by table, and whether all tags close."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.text, self.rows = [], Counter(), [], "", []
        self.feed(text)
        self.close()
        assert not self.open
        self.words = self.text.split()

    def handle_starttag(self, tag, attributes):
        self.tags[tag] += 1
        self.attributes += attributes
        self.text += "" if tag == "span" else " "
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.text += data
        if "tr" in self.open:
            self.rows[-1][-1] += data


def words_of(text):
    """Words without the lines around them."""
    return [word for word in text.split() if not all(0x2500 <= ord(character) < 0x2580 for character in word)]


@pytest.fixture(scope="module")
def posterior():
    return hand_built(random_coefficients(1, 40, SIZE), one_modality())


@pytest.fixture(scope="module")
def results(posterior):
    designs = {"nonzero_params": [SIZE, 4 * SIZE], "data_seen": [1e9], "sparsity": [0.0, 0.5]}
    return {
        "recommendation": bs.recommend(posterior, SIZE, 3e18),
        "allocations": bs.allocate(posterior, 3e18),
        "reach": bs.reach(posterior, 4.0),
        "next runs": bs.next_runs(posterior, designs, 1e20, target=bs.targets.Loss(4 * SIZE, 4e9)),
    }


@pytest.mark.parametrize("name", ["recommendation", "allocations", "reach", "next runs"])
def test_a_notebook_shows_the_words_of_the_terminal_in_real_tables(results, name):
    found = results[name]
    page = Page(found._repr_html_())
    assert page.tags["table"] >= 1
    assert page.tags["thead"] == page.tags["table"]
    assert sorted(page.words) == sorted(words_of(str(found)))


def test_a_fit_s_summary_shows_coefficients_gate_and_notes(single):
    found = bs.summary(single, prob=0.8)
    page = Page(found._repr_html_())
    assert sorted(page.words) == sorted(words_of(str(found)))
    row = found.quantities["b_N[language]"]
    assert ["b_N[language]", *(f"{row[key]:.4g}" for key in ("median", "lower", "upper", "sd"))] in page.rows
    assert ("class", "bs-good") in page.attributes  # the gate that passed
    assert found.to_dict()["diagnostics"]["ok"]


def test_a_point_fit_shows_its_estimates_and_whether_it_converged():
    found = bs.point_fit(one_modality(), "sparse")
    page = Page(found._repr_html_())
    assert sorted(page.words) == sorted(words_of(str(found)))
    assert ["b_N[language]", f"{found.coefficients['b_N'].item():.4g}"] in page.rows
    agreeing = found.convergence["starts_agreeing"].item()
    assert f"{agreeing:.0f} of {found.settings['starts']} starts agree" in page.text


def test_a_run_table_has_xarrays_own_page():
    assert "nonzero_params" in bs.load_runs(one_modality())._repr_html_()


def test_hostile_names_are_text_and_turn_nothing_round():
    rows = [row | {"modality": HOSTILE, "structure": "<b>" if row["sparsity"] else "dense"} for row in one_modality()]
    posterior = hand_built(random_coefficients(1, 30, SIZE), rows, modality=HOSTILE, structure="<b>")
    text = bs.recommend(posterior, SIZE, 3e18)._repr_html_()
    page = Page(text)
    assert not page.tags["script"]
    assert not page.tags["b"]
    assert page.rows[0] == [HOSTILE.replace("\u202e", "\\u202e"), "<b>"]
    assert not any(0x202A <= ord(character) <= 0x202E or 0x2066 <= ord(character) <= 0x2069 for character in text)


def test_names_in_scripts_that_run_from_right_to_left_stay_as_they_are():
    assert "שפה" in Page(html(Text("שפה"))).words


def test_a_note_alone_shows_itself():
    page = Page(Note("two", "warning", "Less fine.")._repr_html_())
    assert page.words == ["warning:", "Less", "fine.", "[two]"]


def test_notes_say_how_grave_they_are():
    notes = [Note("one", "info", "Fine."), Note("two", "warning", "<i>Less</i> fine."), Note("three", "error", "Bad.")]
    text = html(notes_view(notes))
    assert Page(text).tags["p"] == 3
    assert '<span class="bs-warning">warning: </span>&lt;i&gt;Less&lt;/i&gt; fine.' in text
    assert '<span class="bs-bold bs-error">error: </span>Bad.' in text


def test_tables_keep_their_titles_sides_sections_styles_and_line_breaks():
    table = Table(title="A title", caption="a caption", title_justify="left")
    table.add_column("name")
    table.add_column("num-\nber", justify="right")
    table.add_row(Text("first"), "1", style="bold")
    table.add_section()
    table.add_row(Text("second"), "[red]2[/red]", style="dim")
    page = Page(text := html(Group(table, "[bold]words[/bold]")))
    assert page.rows == [["name", "num-ber"], ["first", "1"], ["second", "2"]]
    assert "num-<br>ber" in text
    assert '<tr class="bs-bold bs-section"><th scope="row">first</th><td class="bs-right">1</td></tr>' in text
    assert '<tr class="bs-dim">' in text
    assert '<span class="bs-error">2</span>' in text
    assert "<caption>A title</caption>" in text
    assert '<span class="bs-bold">words</span>' in text


def test_what_is_neither_text_nor_table_is_shown_as_the_terminal_shows_it():
    view = Padding(Text("inside <b>"), 1)
    page = Page(html(view))
    assert page.tags["pre"] == 1
    assert page.words == plain(view).split()
