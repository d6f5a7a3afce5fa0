import json
import re

import numpy as np
import pytest
from report_pages import HOSTILE

import bayes_scaling as bs

READY = "#explorer[aria-busy=false]"
PATIENCE = 120_000  # milliseconds, for machines that have other things to do


class Opened:
    """A report in a browser, with everything that it said and asked."""

    def __init__(self, browser, path, **context):
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **context})
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.errors, self.requests = [], []
        self.page.on("console", lambda message: self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", lambda dialog: self.errors.append(f"dialog: {dialog.message}") or dialog.dismiss())
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())

    def ready(self):
        self.page.wait_for_selector(READY)
        return self

    def slot(self, name):
        """The value of a slot in full, checked to be the same wherever the page shows it."""
        values = self.page.eval_on_selector_all(f'[data-slot="{name}"]', "all => all.map(one => one.dataset.value)")
        assert len(set(values)) == 1, name
        return json.loads(values[0])

    def texts(self):
        """What every slot shows."""
        script = "all => Object.fromEntries(all.map(one => [one.dataset.slot, one.textContent]))"
        return self.page.eval_on_selector_all("[data-slot]", script)

    def press(self, name, key, times):
        self.page.focus(f'[name="{name}"]')
        for _ in range(times):
            self.page.keyboard.press(key)
        self.ready()

    def select(self, name, value):
        self.page.select_option(f'[name="{name}"]', value)
        self.ready()

    def type(self, name, text):
        self.page.fill(f'[name="{name}"]', text)
        self.ready()

    def silent(self):
        """Nothing went wrong, and nothing but the file was asked for."""
        assert self.errors == []
        assert [url for url in self.requests if not url.startswith(("data:", "file:"))] == []
        assert sum(url.startswith("file:") for url in self.requests) == 1
        return True


@pytest.fixture(scope="module")
def opened(browser, written):
    """The report, open; tests change the question and none relies on the one before."""
    opened = Opened(browser, written).ready()
    yield opened
    opened.context.close()


@pytest.fixture
def open_(browser):
    """Open a report in a window of one's own."""
    contexts = []

    def open_(path, **context):
        opened = Opened(browser, path, **context)
        contexts.append(opened.context)
        return opened

    yield open_
    for context in contexts:
        context.close()


def agrees(opened, posterior):
    """Every number of the page is Python's for the same question, to a millionth."""
    asked = {name: opened.slot(name) for name in ("modality", "structure", "nonzero_params", "train_flops", "cost")}
    margin = opened.slot("margin")
    (answer,) = bs.recommend(posterior, **asked, margin=margin).answers
    optimal = bs.optimal_sparsity(posterior, **asked)
    expected = {
        "sparsity": answer.recommended["sparsity"],
        "data_seen": answer.recommended["data_seen"],
        "total_params": answer.recommended["total_params"],
        "loss": answer.loss,
        "dense_loss": answer.dense_loss,
        "gain": answer.gain,
        "chance": answer.probability_sparse_beats_dense,
        "margin_chance": answer.probability_beats_dense_by_margin,
        "optimal": answer.optimal_sparsity,
        "dense_equivalent": answer.dense_equivalent,
        "regret": answer.expected_regret,
        "dense_regret": answer.stakes["regret_of_dense"],
        "beyond": answer.extrapolation,
    }
    for name, value in expected.items():
        assert opened.slot(name) == pytest.approx(value, rel=1e-6, abs=1e-6), name
    assert opened.slot("optimal")["median"] == pytest.approx(float(optimal.median()), abs=1e-6)
    return True


def test_the_page_computes_what_python_did(opened, simulated):
    before = re.findall(r"differs|agrees", opened.page.inner_text("#check"))
    assert before == ["agrees"]
    assert float(opened.page.get_attribute("#check", "data-worst")) < 1e-6
    assert agrees(opened, simulated)
    assert opened.silent()


def test_it_reads_alike_before_and_after_it_computes(opened, taken_apart):
    opened.page.click('[name="reset"]')
    opened.ready()
    script = "text => [...new DOMParser().parseFromString(text, 'text/html').querySelectorAll('[data-slot]')].map(one => [one.dataset.slot, one.textContent])"  # noqa: E501
    written = dict(opened.page.evaluate(script, taken_apart.source))
    assert opened.texts() == written


def test_sliders_move_by_keyboard_and_the_answer_follows(opened, simulated):
    size, budget = opened.slot("nonzero_params"), opened.slot("train_flops")
    opened.press("nonzero_params_slider", "ArrowLeft", 30)
    opened.press("train_flops_slider", "ArrowRight", 45)
    assert opened.slot("nonzero_params") == pytest.approx(size / 10**0.3, rel=0.02)
    assert opened.slot("train_flops") == pytest.approx(budget * 10**0.45, rel=0.02)
    assert agrees(opened, simulated)
    assert opened.silent()


@pytest.mark.parametrize("cost", ["dense", "static", "gradual"])
@pytest.mark.parametrize("structure", ["2:4", "unstructured"])
@pytest.mark.parametrize("modality", ["vision", "language"])
def test_every_cost_model_structure_and_modality_agrees_with_python(opened, simulated, modality, structure, cost):
    for name, value in (("modality", modality), ("structure", structure), ("cost", cost)):
        opened.page.select_option(f'[name="{name}"]', value)
    opened.type("nonzero_params", "40M")
    opened.type("train_flops", "3e19")
    opened.type("margin", "0.01")
    assert (opened.slot("modality"), opened.slot("structure"), opened.slot("cost")) == (modality, structure, cost)
    assert opened.slot("nonzero_params") == 4e7
    assert agrees(opened, simulated)
    unseen = opened.page.is_visible('[data-if="unseen"]')
    assert unseen == ((modality, structure) == ("vision", "2:4"))
    assert opened.silent()


def test_it_says_from_which_budget_sparsity_pays(opened, simulated):
    opened.page.click('[name="reset"]')
    opened.ready()
    asked = {name: opened.slot(name) for name in ("nonzero_params", "modality", "structure", "cost")}
    draws = bs.budget_for(simulated, sparsity=0.0, **asked)
    median, lower, upper = np.quantile(draws, [0.5, 0.055, 0.945], method="nearest")
    assert opened.slot("pays_from") == pytest.approx({"median": median, "lower": lower, "upper": upper}, rel=1e-4)


def test_other_questions_beside_the_one_asked_are_pythons(opened, simulated):
    opened.select("cost", "gradual")
    asked = {name: opened.slot(name) for name in ("modality", "structure", "nonzero_params", "train_flops")}
    rows = opened.page.eval_on_selector_all(
        "#alternatives tbody tr", "all => all.map(row => row.innerText.split('\\t'))"
    )
    shown = {row[0]: row[1] for row in rows}
    by_name = {
        "as asked": asked,
        "cost model dense": asked | {"cost": "dense"},
        "ten times the budget": asked | {"train_flops": 10 * asked["train_flops"]},
    }
    for name, question in by_name.items():
        sparsity = bs.recommend(simulated, **question).answers[0].recommended["sparsity"]
        assert shown[name] == (f"{sparsity:.3f}" if sparsity else "dense")


def test_gpu_hours_and_flops_are_one_budget(opened, simulated):
    opened.type("speed", "2e14")
    opened.type("hours", "100")
    assert opened.slot("train_flops") == 100 * 3600 * 2e14
    opened.type("price", "2.5")
    assert "costs 250" in opened.page.inner_text('[name="money"]')
    opened.type("train_flops", "1e19")
    assert float(opened.page.input_value('[name="hours"]')) == pytest.approx(1e19 / 3600 / 2e14, rel=1e-3)
    assert agrees(opened, simulated)


def test_a_number_that_is_none_is_refused_and_the_answer_stays(opened):
    before = opened.slot("train_flops")
    opened.page.fill('[name="train_flops"]', "a lot")
    assert "number of FLOPs above 0" in opened.page.inner_text("#wrong")
    assert opened.page.get_attribute('[name="train_flops"]', "aria-invalid") == "true"
    assert opened.slot("train_flops") == before
    opened.type("train_flops", "3")
    assert "pays for less than one token" in opened.page.inner_text("#wrong")
    opened.page.click('[name="reset"]')
    opened.ready()
    assert opened.page.inner_text("#wrong") == ""
    assert opened.silent()


def test_every_control_has_a_name(opened):
    unnamed = """all => all.map(one => [one.name, one.labels?.length || one.ariaLabel || one.textContent.trim()])
        .filter(([, named]) => !named)"""
    assert opened.page.eval_on_selector_all("#question input, #question select, #question button", unnamed) == []


def test_charts_have_marks_and_a_table_beside_them(opened):
    for name in ("gain", "optima", "budgets"):
        assert opened.page.locator(f"#chart-{name} svg path").count() > 3
        assert opened.page.locator(f'#chart-tables [data-chart="{name}"] tr').count() > 3


def test_a_phone_shows_it_without_scrolling_sideways(open_, written):
    phone = open_(written, viewport={"width": 390, "height": 844}).ready()
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert phone.silent()


def test_dark_is_dark_and_paper_is_white(open_, written):
    dark = open_(written, color_scheme="dark").ready()
    colours = """[getComputedStyle(document.body).backgroundColor,
        getComputedStyle(document.querySelector('h1')).color]"""
    brightness = [np.mean([int(n) for n in re.findall(r"\d+", c)[:3]]) for c in dark.page.evaluate(colours)]
    assert brightness[0] < 60
    assert brightness[1] > 200
    dark.page.emulate_media(media="print")
    paper, ink = (np.mean([int(n) for n in re.findall(r"\d+", c)[:3]]) for c in dark.page.evaluate(colours))
    assert paper == 255
    assert ink < 60
    assert not dark.page.is_visible("#question")


def test_without_javascript_it_shows_the_first_answer(open_, written, taken_apart):
    plain = open_(written, java_script_enabled=False)
    assert f"{taken_apart.slots['sparsity']:.3f}" in plain.page.inner_text("h1:not([hidden])")
    assert not plain.page.is_visible("#explorer")
    assert plain.page.is_visible("noscript table")
    assert plain.page.is_visible("noscript img")


def test_hostile_names_do_nothing(open_, hostile, tmp_path):
    path = bs.report(hostile, tmp_path / "hostile.html")
    page = open_(path, viewport={"width": 390, "height": 844}).ready()
    assert page.slot("modality") == HOSTILE["modality"]
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert agrees(page, hostile)
    assert page.silent()


def test_a_law_of_dense_models_is_explored_too(open_, of_dense, tmp_path):
    page = open_(bs.report(of_dense, tmp_path / "dense.html")).ready()
    page.type("nonzero_params", "5e6")
    assert page.page.is_visible('h1[data-when="unpruned"]')
    assert agrees(page, of_dense)
    assert page.silent()
