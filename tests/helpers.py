"""Simulated sweeps, the law in plain numpy, hand-built posteriors, and the command line in this process."""

import itertools
import json

import numpy as np
import xarray as xr

from bayes_scaling import laws

TRUTH = {
    ("language", "unstructured"): {
        "a_S": 16.0, "b_S": 0.8, "c_S": 30.0, "b_N": 0.24, "a_D": 6.0e8, "b_D": 0.4, "c": 0.9,
    },
    ("language", "2:4"): {
        "a_S": 11.5, "b_S": 0.8, "c_S": 34.5, "b_N": 0.24, "a_D": 6.0e8, "b_D": 0.4, "c": 0.9,
    },
    ("vision", "unstructured"): {
        "a_S": 300.0, "b_S": 0.8, "c_S": 450.0, "b_N": 0.39, "a_D": 2.4e8, "b_D": 0.8, "c": 4.2,
    },
}  # fmt: skip
"""Coefficients behind the simulated runs, in physical units; vision has no 2:4."""

NOTEBOOK = {
    "vit": {"a": 1.30485411, "b": 0.82101251, "c": 2.07506343, "d": 0.39222675, "e": 0.27818217, "f": 0.88979104,
            "g": 4.51669257, "u_N": 1e6, "u_D": 1e9},
    "t5": {"a": 0.56778512, "b": 0.72161276, "c": 1.52265016, "d": 0.24513173, "e": 0.63361517, "f": 0.20270772,
           "g": 0.65074219, "u_N": 1e6, "u_D": 1e5 * 65536},
    "t5 best": {"a": 0.43624, "b": 1.34497, "c": 1.69517, "d": 0.23168, "e": 0.41761, "f": 0.38464, "g": 0.83037,
                "u_N": 1e6, "u_D": 1e5 * 65536},
}  # fmt: skip
"""Coefficients of arXiv:2309.08520's notebook, N in u_N and D in u_D; "t5 best" minimises the T5 objective."""


def physical(name):
    """A notebook's coefficients in parameters, tokens and images."""
    k = NOTEBOOK[name]
    return {
        "a_S": k["a"] * k["u_N"] ** k["d"],
        "b_S": k["b"],
        "c_S": k["c"] * k["u_N"] ** k["d"],
        "b_N": k["d"],
        "a_D": k["e"] ** (1 / k["f"]) * k["u_D"],
        "b_D": k["f"],
        "c": k["g"],
    }


def paper_loss(S, N, D, *, a_S, b_S, c_S, b_N, a_D, b_D, c):
    """Eq. 1 of arXiv:2309.08520, written down once more so that tests do not ask the code about itself."""
    return (a_S * (1 - S) ** b_S + c_S) * N ** (-b_N) + (a_D / D) ** b_D + c


def dense_optimal_flops(N, *, a_S, c_S, b_N, a_D, b_D, **_):
    """Budget at which N parameters are the optimum of dense training: b_N A N^-b_N = b_D (a_D / D)^b_D, C = 6 N D."""
    return 6 * N * a_D * (b_D / (b_N * (a_S + c_S) * N ** (-b_N))) ** (1 / b_D)


def closed_form(N, C, *, a_S, b_S, a_D, b_D, b_N, **_):
    """Optimal sparsity where sparse training costs as much as dense training."""
    exponent = (np.log(b_D / (a_S * b_S)) + b_N * np.log(N)) / (b_D + b_S)
    return np.maximum(0, 1 - np.exp(exponent) * (6 * a_D * N / C) ** (b_D / (b_D + b_S)))


def random_coefficients(seed, count=200, size=1e9):
    """Plausible laws: the terms at a model size and at its dense-optimal budget are a loss's shares."""
    rng = np.random.default_rng(seed)
    b_N, b_D = rng.uniform(0.1, 0.8, count), rng.uniform(0.1, 1.0, count)
    b_S, floor = rng.uniform(0.3, 2.0, count), rng.uniform(0.05, 0.95, count)
    size_term = rng.uniform(0.1, 3.0, count)
    A = size_term * size**b_N
    return {
        "a_S": A * (1 - floor),
        "b_S": b_S,
        "c_S": A * floor,
        "b_N": b_N,
        "a_D": 10 ** rng.uniform(6, 10, count),
        "b_D": b_D,
        "c": rng.uniform(0.0, 3.0, count),
    }


def over_draws(coefficients):
    """Coefficients as one chain of draws."""
    return {
        name: xr.DataArray(np.atleast_1d(np.asarray(v, float))[None], dims=("chain", "draw"))
        for name, v in coefficients.items()
    }


def simulate(cells, noise=0.004, seed=7, unit=None):
    """Rows of a sweep: ``cells`` gives modality, structure, strategy, coefficients, N, D and S of each part."""
    rng = np.random.default_rng(seed)
    rows = []
    for modality, structure, strategy, truth, sizes, data, sparsities, before in cells:
        for N, D, S in itertools.product(sizes, data, sparsities):
            effective = D + truth.get("rho", 0.0) * before
            loss = paper_loss(S, N, effective, **{k: v for k, v in truth.items() if k != "rho"})
            rows.append(
                {
                    "run_id": f"{modality}-{structure if S else 'dense'}-{strategy}-{N:.3g}-{D:.3g}-{S:g}",
                    "modality": modality,
                    "structure": structure if S else "dense",
                    "strategy": strategy,
                    "sparsity": S,
                    "nonzero_params": N,
                    "data_seen": D,
                    "data_unit": (unit or {}).get(modality, "tokens"),
                    "loss": float(loss * np.exp(noise * rng.standard_t(4))),
                    **({"pretrain_data": before} if before else {}),
                }
            )
    return rows


def two_modalities():
    """Language with unstructured and 2:4 runs, vision with unstructured runs only."""
    sizes, tokens = [1e6, 4e6, 1.6e7, 6.4e7], [5e8, 4e9, 3.2e10]
    images = [1e8, 4e8, 1.6e9]
    lang, pattern, vision = (TRUTH[key] for key in TRUTH)
    return simulate(
        [
            ("language", "unstructured", "scratch", lang, sizes, tokens, [0, 0.5, 0.75, 0.875], 0),
            ("language", "2:4", "scratch", pattern, sizes, tokens, [0.5], 0),
            ("vision", "unstructured", "scratch", vision, sizes, images, [0, 0.5, 0.75, 0.9], 0),
        ],
        unit={"vision": "examples"},
    )


def one_modality(**changed):
    """Language, unstructured, with columns that nobody asked for."""
    grid = {"sizes": [1e6, 8e6, 6.4e7], "data": [5e8, 4e9, 3.2e10], "sparsities": [0, 0.5, 0.75, 0.875]} | changed
    truth = TRUTH["language", "unstructured"]
    rows = simulate(
        [("language", "unstructured", "scratch", truth, grid["sizes"], grid["data"], grid["sparsities"], 0)], seed=11
    )
    return [
        row | {"tuned": i % 2 == 0, "remark": "ünïcode, [bold]" if i % 3 else "", "seed": i, "noted": float(i)}
        for i, row in enumerate(rows)
    ]


def two_starts():
    """Language from scratch and from a dense model trained on 2e9 tokens, whose worth is 0.4 a token."""
    truth = TRUTH["language", "unstructured"]
    sizes, data = [1e6, 8e6, 6.4e7], [5e8, 4e9, 3.2e10]
    return simulate(
        [
            ("language", "unstructured", "scratch", truth, sizes, data, [0, 0.5, 0.75], 0),
            ("language", "unstructured", "pretrained", truth | {"rho": 0.4}, sizes, data, [0.5, 0.75], 2e9),
        ],
        seed=13,
    )


def hand_built(coefficients, runs, *, law="sparse", modality="language", structure="unstructured", notes=()):
    """A posterior of given draws: one modality, one structure, and a training range from a list of runs."""
    draws = over_draws(coefficients)
    over = {name: coefficient.over for name, coefficient in laws.get(law).coefficients.items()}
    cell = [name for name in coefficients if "structure" in over.get(name, ())]
    posterior = xr.Dataset(
        {
            name: value.expand_dims(
                {"modality": [modality]} | ({"structure": [structure]} if name in cell else {}), axis=None
            )
            for name, value in draws.items()
        }
    ).transpose("chain", "draw", "modality", "structure", missing_dims="ignore")
    like = posterior[next(name for name in coefficients if name not in cell)]
    posterior = posterior.assign(
        sigma=xr.full_like(like, 0.01),
        reference_loss=xr.full_like(like, 3.0),
    ).assign_coords(chain=[0], draw=np.arange(posterior.sizes["draw"]), structure=[structure])
    unseen = posterior[cell].isel(structure=0, drop=True, missing_dims="ignore").drop_vars("structure", errors="ignore")
    columns = ("modality", "structure", "strategy", "sparsity", "nonzero_params", "data_seen", "data_unit")
    table = {name: ("run", np.array([run[name] for run in runs])) for name in columns}
    tree = xr.DataTree.from_dict(
        {
            "posterior": posterior,
            "unseen_structure": unseen,
            "sample_stats": xr.Dataset(),
            "constant_data": xr.Dataset(table),
            "runs": xr.Dataset(table),
        }
    )
    tree.attrs = {
        "law": law,
        "settings": json.dumps({"seed": 0, "draws": 1, "chains": 1, "group": "modality"}),
        "notes": json.dumps(list(notes)),
    }
    return tree


def law_alone(posterior):
    """The posterior without what its law may miss beyond the runs."""
    copy = posterior.copy()
    del copy["discrepancy"]
    return copy


def codes(notes):
    """The codes of notes, whether as objects, dicts or JSON in attributes."""
    if hasattr(notes, "get") and "notes" in notes:
        notes = json.loads(notes["notes"])
    return [note["code"] if isinstance(note, dict) else note.code for note in notes]
