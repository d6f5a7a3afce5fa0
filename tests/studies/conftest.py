import csv
import itertools

import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs

DOMAINS = ("common_crawl", "github", "books", "wiki", "c4", "stackexchange", "arxiv")


@pytest.fixture(scope="session")
def steps_table(data_folder):
    """The 45 runs of arXiv:2410.21676."""
    return data_folder / "zhang2024_batch" / "runs.csv"


@pytest.fixture(scope="session")
def steps_posterior(steps_table):
    return bs.batch.fit(steps_table, progressbar=False)


@pytest.fixture(scope="session")
def mixture_rows(data_folder):
    """The 15 runs of arXiv:2407.20177: one domain at a time reduced to a fifth, or increased threefold."""
    with (data_folder / "autoscale2024" / "gpt2large_ppl.csv").open() as file:
        runs = list(csv.DictReader(file))
    amounts = {"reduced": 0.2, "increased_3x": 3.0}
    rows = []
    for run in runs:
        name, _, change = run["row"].partition("_")
        others = {f"amount_{domain}": 1.0 for domain in DOMAINS}
        if name != "base":
            others[f"amount_{'common_crawl' if name == 'cc' else name}"] = amounts[change]
        rows.append({"run_id": run["row"], "loss": float(run["average"]), **others})
    return rows


@pytest.fixture(scope="session")
def mixture_posterior(mixture_rows):
    return bs.mixture.fit(mixture_rows, progressbar=False)


@pytest.fixture(scope="session")
def transfer_posterior():
    """Of the shipped runs."""
    return bs.transfer.fit(bs.datasets.load("transfer"), draws=500, progressbar=False)


@pytest.fixture(scope="session")
def finetuning_curves(data_folder):
    """Five of the 30 models of arXiv:2402.02314 on WMT19, on no data as well."""
    runs = pd.read_csv(data_folder / "lin2024_finetuning" / "runs.csv").query("setting == 'wmt19'")
    return runs[runs["model"].isin(runs["model"].unique()[::7])]


@pytest.fixture(scope="session")
def finetuning_posterior(finetuning_curves):
    """Of those, the last with its four smallest amounts alone."""
    last = finetuning_curves["model"].iloc[-1]
    cut = (finetuning_curves["model"] == last) & (finetuning_curves["data_seen"] > 1600)
    return bs.rectified.fit(finetuning_curves[~cut], progressbar=False)


@pytest.fixture(scope="session")
def effects_truth():
    """What knobs do to log norm, log stable rank and entropy from least to most: dropout and data do alike."""
    return {"weight_decay": (-1.2, 0.1, 0.0), "dropout": (0.05, -0.5, -0.06), "data": (0.0, -0.3, -0.04)}


@pytest.fixture(scope="session")
def effects_rows(effects_truth):
    """Runs with three figures of two matrices; a tenth of the most weight decay does four fifths of what it does."""
    rng = np.random.default_rng(2)
    shares = {"weight_decay": {0.0: 0.0, 0.01: 0.8, 0.1: 1.0}, "dropout": {0.0: 0.0, 0.2: 1.0}}
    rows = []
    for data, decay, dropout, seed in itertools.product((2**17, 2**20), (0.0, 0.01, 0.1), (0.0, 0.2), (0, 1)):
        reached = {
            "weight_decay": shares["weight_decay"][decay],
            "dropout": shares["dropout"][dropout],
            "data": float(data > 2**17),
        }
        row = {"run_id": f"r{len(rows)}", "sparsity": 0.0, "nonzero_params": 1e4, "data_seen": 2**21, "loss": 2.0}
        row |= {"weight_decay": decay, "dropout": dropout, "unique_data": data, "seed": seed}
        own = 0.05 * rng.standard_normal(3)
        for matrix, base in (("a", 0.0), ("b", 0.5)):
            values = np.array([1.0, 1.5, 0.5]) + base + own * (1, 1, 0.1)
            values += sum(reached[knob] * np.array(effect) for knob, effect in effects_truth.items())
            values += rng.standard_normal(3) * (0.05, 0.05, 0.005)
            figures = {"frobenius_norm": np.exp(values[0]), "stable_rank": np.exp(values[1]), "entropy": values[2]}
            row |= {f"{figure}[{matrix}]": float(value) for figure, value in figures.items()}
        rows.append(row)
    return rows


@pytest.fixture(scope="session")
def effects_posterior(effects_rows):
    return bs.effects.fit(effects_rows, draws=300, progressbar=False)
