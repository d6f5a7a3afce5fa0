import csv

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
