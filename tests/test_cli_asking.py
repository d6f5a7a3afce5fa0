"""`bayes-scaling allocate`, `reach`, `map`, `budget`, and what `recommend` says beside its contract."""

import json
from pathlib import Path

import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling.decide.sparsity_map import map_dict

ALLOCATE = ("--train-flops", "1e20", "--structure", "unstructured")
OPTIONS = ("--flops-per-unit", "12", "--serve-tokens", "1e9", "--max-sparsity", "0.8", "--sizes", "1e6", "1e10")
ASKED = {"flops_per_unit": 12, "serve_tokens": 1e9, "max_sparsity": 0.8, "sizes": (1e6, 1e10)}


def plain(found):
    return json.loads(json.dumps(found, allow_nan=False))


def test_allocate_is_what_python_says(command, saved):
    more = ("--cost", "dense", "--margin", "0.01", "--prob", "0.8")
    done = command("allocate", saved["single"], *ALLOCATE, *OPTIONS, *more, "--json")
    assert (done.status, done.err) == (0, "")
    assert done.out.count("\n") == 1
    same = bs.allocate(
        bs.load(saved["single"]), 1e20, structure="unstructured", cost="dense", margin=0.01, prob=0.8, **ASKED
    )
    assert json.loads(done.out) == plain(same.to_dict())


def test_allocate_prints_a_table(command, saved):
    done = command("allocate", saved["single"], *ALLOCATE)
    assert done.status == 0
    assert "How to spend 1e+20 FLOPs" in done.out


def test_reach_is_what_python_says(command, saved):
    more = ("--cost", "dense", "--probability", "0.7", "--train-flops", "1e22", "--prob", "0.8", "--json")
    done = command("reach", saved["single"], "--loss", "1.8", "--structure", "unstructured", *OPTIONS, *more)
    assert (done.status, done.err) == (0, "")
    same = bs.reach(
        bs.load(saved["single"]), 1.8, 0.7, structure="unstructured", cost="dense", train_flops=1e22, prob=0.8, **ASKED
    )
    assert json.loads(done.out) == plain(same.to_dict())
    assert json.loads(done.out)["answers"][0]["cheapest"] is not None


def test_a_loss_out_of_reach_is_an_answer(command, saved):
    done = command("reach", saved["single"], "--loss", "0.01", "--json")
    assert done.status == 0
    (answer,) = json.loads(done.out)["answers"]
    assert answer["cheapest"] is None
    assert answer["limit"]["probability"] == 0
    assert "target_out_of_reach" in command("reach", saved["single"], "--loss", "0.01").out.replace("\n", "")


def test_map_draws_and_prints(command, saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = command("map", saved["single"], "--out", "map.png", "--serve-tokens", "1e9", "--prob", "0.8", "--json")
    assert done.status == 0
    assert done.err == "map written to map.png\n"
    assert Path("map.png").read_bytes()[:4] == b"\x89PNG"
    same = map_dict(bs.optimal_map(bs.load(saved["single"]), serve_tokens=1e9, prob=0.8))
    assert json.loads(done.out) == json.loads(json.dumps(same), parse_constant=lambda _: None)


def test_recommend_takes_a_margin(command, saved):
    ask = ("--nonzero-params", "1.6e7", "--train-flops", "3e18")
    done = command("recommend", saved["single"], *ask, "--margin", "0.02", "--json")
    same = bs.recommend(bs.load(saved["single"]), 1.6e7, 3e18, margin=0.02)
    assert json.loads(done.out) == plain(same.to_dict())
    (answer,) = json.loads(done.out)["answers"]
    assert answer["margin"] == 0.02
    assert 0 <= answer["probability_beats_dense_by_margin"] <= answer["probability_sparse_beats_dense"]
    assert "chance of more than 0.02" in command("recommend", saved["single"], *ask, "--margin", "0.02").out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("allocate", "--train-flops", "0"), "train_flops"),
        (("allocate", "--train-flops", "1e20", "--sizes", "1e9", "1e6"), "sizes"),
        (("allocate", "--train-flops", "1e20", "--margin", "-1"), "margin"),
        (("reach", "--loss", "-2"), "loss is -2"),
        (("reach", "--loss", "2", "--probability", "1"), "probability"),
        (("map",), "--out or --json"),
        (("map", "--out", "nowhere/map.png"), "nowhere"),
        (("map", "--out", "map.csv"), ".png, .pdf, .svg"),
        (("map", "--json", "--modality", "audio"), "audio"),
    ],
)
def test_wrong_input_is_one_line(command, saved, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    name, *rest = arguments
    done = command(name, saved["single"], *rest)
    assert done.status == 2
    assert done.out == ""
    assert done.err.count("\n") == 1
    assert words in done.err


def test_budget_is_what_python_says(command, saved):
    asked = ("--nonzero-params", "1e8", "--sparsity", "0", "--sparsity", "0.75", "--cost", "dense", "--prob", "0.8")
    done = command("budget", saved["simulated"], *asked, "--json")
    assert done.status == 0
    found = json.loads(done.out)
    assert (found["prob"], found["cost"], len(found["answers"])) == (0.8, "dense", 2 * 2 * 2)
    tree = bs.load(saved["simulated"])
    for relative, name in ((False, "train_flops"), (True, "times_dense_optimal")):
        same = bs.budget_for(tree, 1e8, [0, 0.75], cost="dense", relative=relative)
        for each in found["answers"]:
            at = same.sel(modality=each["modality"], structure=each["structure"], sparsity=each["sparsity"])
            median = np.quantile(at, 0.5, method="nearest")
            assert each[name]["median"] == (pytest.approx(median) if np.isfinite(median) else None)
    never = [a for a in found["answers"] if a["structure"] == "2:4" and a["sparsity"] == 0.75]
    assert all(a["train_flops"]["upper"] is None and a["probability_never"] == 1 for a in never)


def test_budget_prints_a_table(command, saved):
    done = command("budget", saved["single"], "--nonzero-params", "1e8", "--sparsity", "0.5")
    assert done.status == 0
    assert "100M non-zero parameters" in done.out
    assert "89% credible" in done.out
    assert "n:m" not in done.out


def test_budget_says_what_it_means_for_patterns_and_what_an_example_was_taken_to_cost(command, saved):
    shown = " ".join(command("budget", saved["simulated"], "--nonzero-params", "1e8", "--sparsity", "0.5").out.split())
    assert "up to that, from where the pattern beats dense" in shown
    assert "vision counts examples and flops_per_unit was not given" in shown
    asked = ("--nonzero-params", "1e8", "--sparsity", "0.5", "--flops-per-unit", "1176")
    assert "not given" not in command("budget", saved["simulated"], *asked).out


def test_budget_refuses_a_sparsity_that_is_none(command, saved):
    done = command("budget", saved["single"], "--nonzero-params", "1e8", "--sparsity", "1.5")
    assert done.status == 2
    assert "[0, 1)" in done.err
