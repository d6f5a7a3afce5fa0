import json
import re
import sys

import numpy as np
import pytest
import xarray as xr
from report_pages import HOSTILE

import bayes_scaling as bs
from bayes_scaling import laws
from bayes_scaling.errors import InputError
from bayes_scaling.laws.sparse import Sparse
from bayes_scaling.report import explorer


def first_answer(posterior, **asked):
    return bs.recommend(posterior, **asked).answers[0].to_dict()


def asked_of(page):
    return {"nonzero_params": page.slots["nonzero_params"], "train_flops": page.slots["train_flops"]}


def test_it_opens_with_pythons_answer(simulated, taken_apart):
    slots = taken_apart.slots
    answer = first_answer(simulated, **asked_of(taken_apart), modality=slots["modality"], structure=slots["structure"])
    assert slots["sparsity"] == answer["recommended"]["sparsity"]
    assert slots["loss"] == answer["loss"]
    assert slots["optimal"] == answer["optimal_sparsity"]
    assert slots["chance"] == answer["probability_sparse_beats_dense"]
    assert slots["regret"] == answer["expected_regret"]
    assert f"Train at sparsity {answer['recommended']['sparsity']:.3f} ({slots['structure']})" in taken_apart.text


@pytest.fixture(scope="module")
def recorded(simulated):
    """Its runs recorded 1176 FLOPs per parameter and example, 6 per token."""
    tree = simulated.copy()
    runs = tree["runs"].to_dataset()
    per_unit = np.where(runs["modality"].to_numpy() == "vision", 1176.0, 6.0)
    counted = per_unit * runs["nonzero_params"] * runs["data_seen"] * bs.costs.Gradual().multiplier(runs["sparsity"])
    tree["runs"] = xr.DataTree(runs.assign(train_flops=counted))
    return tree


def test_unless_asked_examples_cost_what_the_runs_recorded(recorded, page_of):
    page = page_of(recorded, modality="vision")
    asked = {"modality": "vision", "structure": page.slots["structure"], "flops_per_unit": 1176}
    answer = first_answer(recorded, **asked_of(page), **asked)
    assert page.slots["data_seen"] == answer["recommended"]["data_seen"]
    assert page.slots["unit"] == "examples"
    assert "examples" in page.text
    assert "tokens or examples" not in page.text.partition("Ask another question")[0]
    assert "flops_per_unit was not given" not in page.text
    page = page_of(recorded, modality="vision", flops_per_unit=6)
    assert page.slots["data_seen"] > answer["recommended"]["data_seen"] / 2
    (said,) = (
        note.message
        for note in bs.recommend(recorded, 1e7, 1e19, "vision", "unstructured").answers[0].notes
        if note.code == "flops_per_example"
    )
    assert said.endswith("By the train_flops of its dense runs they are 1176.")


def test_unless_asked_it_is_about_the_largest_run(simulated, taken_apart):
    runs = simulated["runs"].to_dataset()
    mine = runs.isel(run=np.flatnonzero(runs["modality"] == taken_apart.slots["modality"]))
    flops = 6 * mine["nonzero_params"] * mine["data_seen"] * bs.costs.Gradual().multiplier(mine["sparsity"])
    assert taken_apart.slots["nonzero_params"] == mine["nonzero_params"].max()
    assert 0.9 < taken_apart.slots["train_flops"] / float(flops.max()) <= 1


def test_another_first_question_is_answered(single, page_of):
    asked = {"nonzero_params": 3e6, "train_flops": 2e17, "cost": "dense", "flops_per_unit": 8.0, "margin": 0.02}
    page = page_of(single, prob=0.5, **asked)
    answer = first_answer(single, prob=0.5, **asked)
    assert page.slots["gain"] == answer["gain"]
    assert page.slots["margin_chance"] == answer["probability_beats_dense_by_margin"]
    assert page.slots["data_seen"] == answer["recommended"]["data_seen"]
    budgets = bs.budget_for(single, 3e6, 0.0, structure="unstructured", cost="dense", flops_per_unit=8.0)
    assert page.slots["pays_from"]["median"] == float(np.quantile(budgets, 0.5, method="nearest"))


def test_it_asks_nothing_of_any_network(taken_apart):
    for tag, attributes in taken_apart.tags:
        for name in ("src", "href", "action", "data", "poster", "srcset", "background"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/png;base64,")), (tag, name)
    (style,) = re.findall(r"<style>(.*?)</style>", taken_apart.source, re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style
    policy = next(a["content"] for _, a in taken_apart.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert "connect-src" not in policy


def test_it_is_smaller_than_5_megabytes(written):
    assert written.stat().st_size < 5e6


def test_it_says_what_the_answer_rests_on(simulated, taken_apart):
    text = taken_apart.text
    for heading in ("What would change the advice", "Can it be trusted", "Data", "Law", "Priors", "How to cite"):
        assert heading in text
    assert f"All {simulated['runs'].sizes['run']} runs" in text
    assert bs.laws.get("sparse").reference in text
    assert "The sampling diagnostics passed" in text
    for note in json.loads(simulated.attrs["notes"]):
        assert note["message"] in text
    pictures = [a for tag, a in taken_apart.tags if tag == "img"]
    assert len(pictures) == 4
    assert all(picture["alt"] for picture in pictures)


def test_the_same_posterior_gives_the_same_page(simulated, written, tmp_path):
    assert bs.report(simulated, tmp_path / "again.html").read_bytes() == written.read_bytes()


def test_hostile_names_and_notes_are_text(hostile, page_of, taken_apart):
    page = page_of(hostile)
    assert len(page.scripts) == len(taken_apart.scripts)
    for name in HOSTILE.values():
        assert " ".join(name.split()) in page.text
        assert all(name not in script for script in page.scripts if "<" in name)
    assert not [a for _, a in page.tags if "onerror" in a]
    content = json.loads(page.scripts[0])
    assert content["opening"]["modality"] == HOSTILE["modality"]
    assert not re.search("[<>&\u2028\u2029]", page.scripts[0])


def test_a_failed_gate_is_said_before_the_answer(failed, page_of):
    page = page_of(failed)
    alert = page.source.index('role="alert"')
    assert alert < page.source.index("<h1")
    assert "Do not trust this posterior" in page.source[alert : page.source.index("<h1")]
    assert "R-hat is 1.500" in page.text
    assert "The sampling diagnostics failed" in page.text


def test_a_law_of_dense_models_has_no_optimum_to_show(of_dense, page_of):
    page = page_of(of_dense)
    heading = next(a for tag, a in page.tags if tag == "h1" and "hidden" not in a)
    assert heading["data-when"] == "unpruned"
    assert page.slots["sparsity"] == 0
    assert page.slots["loss"] == first_answer(of_dense, **asked_of(page))["loss"]


def test_a_dense_recommendation_says_so(single, page_of):
    page = page_of(single, nonzero_params=6.4e7, train_flops=1e16)
    assert page.slots["sparsity"] == 0
    heading = next(a for tag, a in page.tags if tag == "h1" and "hidden" not in a)
    assert heading["data-when"] == "dense"


def test_a_posterior_of_an_earlier_version_lacks_what_it_lacks(single, page_of):
    old = single.copy()
    for group in ("discrepancy", "prior", "posterior_predictive", "log_prior"):
        del old[group]
    old.attrs = {name: old.attrs[name] for name in ("law", "notes", "settings")}
    page = page_of(old)
    assert "records no sampling diagnostics" in page.text
    assert "records no versions" in page.text
    assert page.slots["loss"] == first_answer(old, **asked_of(page))["loss"]


def test_a_law_that_no_page_can_work_out_has_pythons_answer_alone(single, page_of, monkeypatch):
    class Rounded(Sparse):
        name = "rounded"

        def loss(self, *columns, **coefficients):
            float(xr.DataArray(columns[1]).min())
            return super().loss(*columns, **coefficients)

    monkeypatch.setitem(laws._LAWS, "rounded", Rounded())
    odd = single.copy()
    odd.attrs = single.attrs | {"law": "rounded"}
    page = page_of(odd)
    assert page.scripts == []
    assert "cannot be worked out in a page" in page.text
    assert page.slots["loss"] == first_answer(single, **asked_of(page))["loss"]


def test_a_cost_that_no_page_can_work_out_leaves_the_others(single, page_of):
    measured = bs.costs.Measured((0.5, 0.875), (1.2, 2.0))
    page = page_of(single, cost=measured)
    content = json.loads(page.scripts[0])
    assert content["costs"] == ["dense", "gradual", "static"]
    assert content["answer"] is None
    assert "Python's answer" in page.text
    assert page.slots["loss"] == first_answer(single, **asked_of(page), cost=measured)["loss"]


def test_of_many_draws_it_holds_some_and_says_so(single, page_of, monkeypatch):
    monkeypatch.setattr(explorer, "MOST_BYTES", 100_000)
    page = page_of(single)
    few = explorer.thinned(single)
    draws = few["posterior"].sizes["chain"] * few["posterior"].sizes["draw"]
    assert draws < 1000
    assert f"from {draws} posterior draws (of the 4000 that the posterior has)" in page.text
    assert page.slots["loss"] == first_answer(few, **asked_of(page))["loss"]
    assert json.loads(page.scripts[0])["draws"] == draws


def test_what_the_posterior_does_not_have_is_refused(single, tmp_path):
    with pytest.raises(InputError, match="modality 'sound' is not in the posterior, which has language"):
        bs.report(single, tmp_path / "r.html", modality="sound")
    with pytest.raises(InputError, match="train_flops is -1"):
        bs.report(single, tmp_path / "r.html", train_flops=-1)
    with pytest.raises(InputError, match="must be a folder"):
        bs.report(single, tmp_path / "nowhere" / "r.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("library", ["jinja2", "vl_convert"])
def test_without_the_extra_one_sentence_names_it(single, tmp_path, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(InputError, match=r"pip install 'bayes-scaling\[report\]'"):
        bs.report(single, tmp_path / "r.html")


def test_the_command_writes_the_same_page(command, saved, single, tmp_path):
    done = command("report", saved["single"], "--out", tmp_path / "r.html", "--nonzero-params", "1e7")
    assert done.status == 0
    assert done.out.startswith("Report written to")
    assert f"{tmp_path / 'r.html'}: open it in a browser" in done.out
    again = bs.report(single, tmp_path / "again.html", nonzero_params=1e7)
    assert (tmp_path / "r.html").read_bytes() == again.read_bytes()


def test_the_command_repeats_a_failed_gate(command, failed, tmp_path):
    path = bs.save(failed, tmp_path / "p.nc")
    done = command("report", path, "--out", tmp_path / "r.html")
    assert done.status == 1
    assert "R-hat is 1.500" in done.err
    assert (tmp_path / "r.html").is_file()


def test_the_command_refuses_wrong_input_in_one_line(command, saved, tmp_path):
    done = command("report", saved["single"], "--out", tmp_path / "r.html", "--cost", "magic")
    assert done.status == 2
    assert done.err.count("\n") == 1
    assert "cost 'magic' is not known" in done.err
