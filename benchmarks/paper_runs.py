"""The paper's public runs (data set frantar2023): posterior beside the published point estimates, as Markdown.

python benchmarks/paper_runs.py
"""

from recovery import LAW, SIZE, TRUTH

import bayes_scaling as bs

QUANTILES = [0.5, 0.055, 0.945]

posterior = bs.fit(bs.datasets.load("frantar2023"), "sparse", seed=0)
draws = posterior["posterior"].to_dataset().sel(structure="unstructured")
point = {"ViT published": ("vit-jft", "vision"), "T5 published": ("t5-c4", "language")}
points = {name: dict(LAW.published[key].coefficients) for name, (key, _) in point.items()}
points["T5 best minimum"] = TRUTH["language"]


def cell(values: object) -> str:
    median, lower, upper = values.quantile(QUANTILES).to_numpy()  # type: ignore[attr-defined]
    return f"{median:.3g} [{lower:.3g}, {upper:.3g}]"


print("| | ViT published | ViT posterior | T5 published | T5 best minimum | T5 posterior |\n|---|---|---|---|---|---|")
for name in ("b_N", "b_D", "b_S", "c", "a_S", "c_S", "a_D"):
    vit, published, best = (f"{points[p][name]:.3g}" for p in ("ViT published", "T5 published", "T5 best minimum"))
    vision, language = (cell(draws[name].sel(modality=m)) for m in ("vision", "language"))
    print(f"| {name} | {vit} | {vision} | {published} | {best} | {language} |")
for s in (0.5, 0.75, 0.875):
    known = {p: f"{float(LAW.dense_equivalent(s, **c)):.2f}" for p, c in points.items()}
    vision, language = (cell(bs.dense_equivalent(posterior, s, m, "unstructured")) for m in ("vision", "language"))
    row = (known["ViT published"], vision, known["T5 published"], known["T5 best minimum"], language)
    print(f"| multiplier at {s} | {' | '.join(row)} |")

print("\n| | × 1 | × 2 | × 5 | × 10 |\n|---|---|---|---|---|")
size_term = (draws["a_S"] + draws["c_S"]) * SIZE ** -draws["b_N"]
data = draws["a_D"] * (draws["b_N"] * size_term / draws["b_D"]) ** (-1 / draws["b_D"])
for modality, label in (("vision", "ViT"), ("language", "T5")):
    budget = 6 * SIZE * float(data.sel(modality=modality).median())
    times = [bs.optimal_sparsity(posterior, SIZE, k * budget, modality, "unstructured") for k in (1, 2, 5, 10)]
    print(f"| {label} | {' | '.join(cell(t) for t in times)} |")
