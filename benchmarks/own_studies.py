"""Our own small sweeps under the laws that have tables of their own, as Markdown and pictures.

    python benchmarks/own_studies.py batch_size     # steps to a target loss, by batch size and sparsity
    python benchmarks/own_studies.py mixtures       # three texts, at three scales
    python benchmarks/own_studies.py effects        # knobs on spectra

The runs ship with the package as the data sets of these names. Pictures go to docs/.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

import bayes_scaling as bs
from bayes_scaling.intervals import PROB, interval

LEAST = 0.02
"""Floor of a text, of the middle scale's amount."""

DOCS = Path(__file__).resolve().parent.parent / "docs"


def told(draws: xr.DataArray, digits: int = 3) -> str:
    """Median and interval."""
    found = interval(draws, PROB)

    def short(value: float) -> str:
        rounded = float(f"{value:.{digits}g}")
        return f"{rounded:,.0f}" if rounded >= 1000 else f"{rounded:.{digits}g}"

    return f"{short(found['median'])} [{short(found['lower'])}, {short(found['upper'])}]"


def checked(posterior: xr.DataTree) -> xr.DataTree:
    """The posterior, which must have passed its gate; its notes are printed."""
    assert json.loads(posterior.attrs["diagnostics"])["ok"], posterior.attrs["diagnostics"]
    for note in json.loads(posterior.attrs["notes"]):
        print(f"<!-- {note['code']}: {note['message']} -->")
    return posterior


def batch_size() -> None:
    runs = bs.datasets.load("batch_size")
    posterior = checked(bs.batch.fit(runs, progressbar=False))
    tuned = posterior["runs"].to_dataset().to_dataframe()
    print("\nFewest steps (best learning rate):\n")
    sizes = sorted(tuned["batch_size"].unique())
    print(f"| sparsity | {' | '.join(f'{size:,.0f}' for size in sizes)} |\n|---|{'---|' * len(sizes)}")
    for sparsity, mine in tuned.groupby("sparsity"):
        best = mine.set_index("batch_size")
        cells = [f"{best['steps_to_target'][b]:.0f} ({best['learning_rate'][b]:g})" for b in sizes]
        print(f"| {sparsity:.2g} | {' | '.join(cells)} |")
    print("\n| sparsity | c1, bytes | c2, steps | critical batch size, bytes |\n|---|---|---|---|")
    draws = posterior["posterior"]
    for i, sparsity in enumerate(draws["sparsity"].to_numpy()):
        cells = [told(draws[name].isel(group=i)) for name in ("c1", "c2", "critical_batch")]
        print(f"| {sparsity:.2g} | {' | '.join(cells)} |")
    dense = draws.to_dataset().isel(group=int(np.argmin(draws["sparsity"].to_numpy())))
    for i in range(draws.sizes["group"]):
        mine = draws.to_dataset().isel(group=i)
        if float(mine["sparsity"]) == float(dense["sparsity"]):
            continue
        ratios = ", ".join(f"{name} {told(mine[name] / dense[name])}" for name in ("c1", "c2", "critical_batch"))
        print(f"\nAt sparsity {float(mine['sparsity']):.2g}, times the dense one's: {ratios}")
    for name in ("c1_exponent", "critical_exponent"):
        print(f"\n{name} in density 1 - S: {told(draws[name].sel(trend='sparsity'))}")
    bs.plot_steps(posterior).savefig(DOCS / "batch_own.png", dpi=110)


def mixtures() -> None:
    table = bs.datasets.load("mixtures").to_dataframe().reset_index()
    amounts = [name for name in table if name.startswith("amount_")]
    middle = table[amounts].median(axis=1)  # what the two texts that a run did not change have
    scales = np.sort(middle.round(-4).unique())
    by_scale = {scale: table[middle.round(-4) == scale] for scale in scales}
    columns = ["run_id", "loss", *amounts]

    def fitted(part: pd.DataFrame) -> xr.DataTree:
        return checked(bs.mixture.fit(part[columns], progressbar=False))

    def row(name: str, weight: xr.DataArray) -> None:
        print(f"| {name} | {' | '.join(told(weight.isel(domain=i)) for i in range(weight.sizes['domain']))} |")

    everything = fitted(table)
    domains = everything["posterior"]["domain"].to_numpy()
    print(f"\n| runs, total | {' | '.join(domains)} |\n|---|{'---|' * len(domains)}")
    alone, fits = {}, {}
    for scale, part in by_scale.items():
        fits[scale] = fitted(part)
        alone[scale] = bs.mixture.optimal_weights(fits[scale])
        row(f"of this scale, {alone[scale].attrs['total']:.3g}", alone[scale]["weight"])
        print(f"<!-- loss of the recommended, of the base's: {told(alone[scale]['relative_loss'], 5)} -->")
        # Floors are relative to the base amounts, here those of the middle scale.
        best = bs.mixture.optimal_weights(everything, alone[scale].attrs["total"], floor=LEAST)
        row(f"all, {best.attrs['total']:.3g}", best["weight"])
        print(f"<!-- loss, of that of equal shares: {gain(everything, best)} -->")
    small, large, largest = (alone[scale] for scale in scales)
    predicted = bs.mixture.extrapolate(small["amount"], large["amount"], steps=1).isel(step=0)
    row("AutoScale from the two smaller", predicted["weight"])
    print(f"<!-- its total: {told(predicted['total'])} -->")
    early = fitted(pd.concat([by_scale[scale] for scale in scales[:2]]))
    row("law of the two smaller", bs.mixture.optimal_weights(early, largest.attrs["total"], floor=LEAST)["weight"])
    later = by_scale[scales[2]]
    print(f"\nThe law of the two smaller scales at the largest: {held_out(early, later, amounts)}")
    print("\nMean loss by change of one text:\n")
    changes = table[amounts].div(middle, axis=0).round(1).assign(scale=middle.round(-4), loss=table["loss"])
    print(changes.groupby(["scale", *amounts])["loss"].agg(["mean", "std"]).round(4).to_string())
    fewer = float((alone[scales[1]]["weight"] < small["weight"].to_numpy()).isel(domain=1).mean())
    print(f"\n{domains[1]} has less weight at the middle scale than at the smallest with probability {fewer:.2f}")
    bs.plot_mixture(fits[scales[0]]).savefig(DOCS / "mixture_own.png", dpi=110)


def gain(posterior: xr.DataTree, best: xr.Dataset) -> str:
    """Loss of the recommended composition over that of equal shares of the same total."""
    domains = best["domain"].to_numpy().tolist()
    equal = best.attrs["total"] / len(domains)
    at = {name: [float(best["recommended_amount"].sel(domain=name)), equal] for name in domains}
    losses = bs.mixture.predict(posterior, at)
    return told(losses.isel(composition=0) / losses.isel(composition=1), 5)


def held_out(posterior: xr.DataTree, later: pd.DataFrame, amounts: list[str]) -> str:
    """How runs at a scale that was not fitted compare with their posterior predictive."""
    at = {name.removeprefix("amount_"): later[name].to_numpy() for name in amounts}
    losses = bs.mixture.predict(posterior, at, kind="new-run")
    drawn, far = np.log(losses), losses["extrapolation"]
    lower, middle, upper = drawn.quantile([(1 - PROB) / 2, 0.5, (1 + PROB) / 2], ("chain", "draw")).to_numpy()
    observed = np.log(later["loss"].to_numpy())
    inside, off = np.mean((lower <= observed) & (observed <= upper)), observed - middle
    return (
        f"{inside:.2f} of {len(later)} runs inside {PROB:.0%} intervals of width {np.mean(upper - lower):.3f}; "
        f"log loss off by {off.mean():+.4f} on average, RMSE {np.sqrt(np.mean(off**2)):.4f}; "
        f"{float(far.min()):.2f} to {float(far.max()):.2f} nats beyond the runs"
    )


SHAPE = ["stable_rank", "tail_exponent", "entropy"]
"""Figures that do not hang on the size of the weights."""


def effects() -> None:
    posterior = checked(bs.effects.fit(bs.datasets.load("regularisers"), progressbar=False))
    print(f"<!-- {posterior.attrs['diagnostics']} -->")
    effect = posterior["posterior"]["effect"]
    names = effect["figure"].to_numpy().tolist()
    alike = {"all": bs.effects.similarity(posterior), "shape": bs.effects.similarity(posterior, figures=SHAPE)}
    print(f"\n| knob | {' | '.join(names)} | cosine with data | of {', '.join(SHAPE)} alone |")
    print(f"|---|{'---|' * (len(names) + 2)}")
    for knob in effect["knob"].to_numpy().tolist():
        cells = [told(effect.sel(knob=knob, figure=name), 2) for name in names]
        cells += [told(found.sel(knob=knob), 2) if knob != "data" else "" for found in alike.values()]
        print(f"| {knob} | {' | '.join(cells)} |")
    for figures in (None, SHAPE):
        closer = bs.effects.probability_closer(posterior, "data", "dropout", "weight_decay", figures)
        print(f"\ndata closer to dropout than to weight decay, {figures or 'all figures'}: {closer:.4f}")
    times = np.hypot.reduce(effect.sel(knob="dropout", figure=SHAPE).to_numpy(), axis=-1)
    times = times / np.hypot.reduce(effect.sel(knob="data", figure=SHAPE).to_numpy(), axis=-1)
    print(
        f"\ndropout moves {', '.join(SHAPE)} as far as data, times: {told(xr.DataArray(times, dims=('chain', 'draw')))}"
    )
    share = posterior["posterior"]["step_effect"].mean("matrix") / effect.sel(knob="sparsity", drop=True)
    half = share.sel(step="sparsity 0 to 0.5")
    print(f"\nsparsity 0.5 does, of what 0.75 does: {[f'{name} {told(half.sel(figure=name), 2)}' for name in names]}")


if __name__ == "__main__":
    parts = {"batch_size": batch_size, "mixtures": mixtures, "effects": effects}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=parts)
    parts[parser.parse_args().part]()
