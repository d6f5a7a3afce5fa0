"""How far a few steps move what decoders compute, over widths and densities, by parametrization: the coordinate check.

    python benchmarks/coordinates.py [--steps 4] [--rate 0.01]

Root mean square change of the second block's MLP pre-activations, and of the logits, on one batch of Python's standard
library. A parametrization under which learning rates transfer keeps it alike.
"""

import argparse

import torch

from runners.build import build_model, build_optimizer, build_sparsifier
from runners.config import RunConfig
from runners.evaluate import cross_entropy
from runners.mup import PARAMETRIZATIONS, set_rates
from runners.train import batches_of

WIDTHS = (32, 64, 128, 256)
WIDTH, SPARSITIES = 128, (0.0, 0.5, 0.75, 0.875)


def config_of(name: str, width: int, sparsity: float, rate: float) -> RunConfig:
    masks = {"method": "random", "schedule": "constant", "embedding_sparsity": "none"} if sparsity else {}
    return RunConfig(
        nonzero_params=round(24 * width**2 * (1 - sparsity)),  # two blocks, each with an MLP four times as wide
        sparsity=sparsity,
        data_seen=2**20,
        parametrization=name,
        learning_rate=rate,
        warmup=0.0,
        device="cpu",
        **masks,  # type: ignore[arg-type]
    )


def moved(config: RunConfig, steps: int) -> tuple[float, float]:
    """Change of the pre-activations and of the logits."""
    batches = batches_of(config)
    model = build_model(config, batches)
    sparsifier = build_sparsifier(config, model)
    optimizer = build_optimizer(config, model)
    sparsifier.before(0, optimizer)
    seen: list[torch.Tensor] = []
    hidden = model.get_submodule("blocks.1.up")
    hidden.register_forward_hook(lambda _module, _inputs, output: seen.append(output.detach()))
    inputs = torch.from_numpy(batches.batch(0)[0])
    with torch.no_grad():
        seen.append(model(inputs))
    first, seen = seen[-2:], []
    for step in range(steps):
        set_rates(config, optimizer, step)
        x, y = map(torch.from_numpy, batches.batch(step))
        cross_entropy(model(x), y).backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        logits = model(inputs)
    changes = (seen[-1] - first[0], logits - first[1])
    hidden_moved, logits_moved = (change.pow(2).mean().sqrt().item() for change in changes)
    return hidden_moved, logits_moved


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rate", type=float, default=0.01)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    over = {
        "width": [(width, 0.0) for width in WIDTHS],
        f"width {WIDTH}, static random masks": [(WIDTH, sparsity) for sparsity in SPARSITIES],
    }
    for title, points in over.items():
        print(f"| {title} | " + " | ".join(f"{s:g}" if "masks" in title else f"{w}" for w, s in points) + " |")
        print("|---" * (len(points) + 1) + "|")
        for name in PARAMETRIZATIONS:
            if name == "smupar" and "masks" not in title:
                continue  # of dense models the two are one
            found = [moved(config_of(name, *point, arguments.rate), arguments.steps) for point in points]
            for what, values in zip(("MLP", "logits"), zip(*found, strict=True), strict=True):
                print(f"| {what}, {name} | " + " | ".join(f"{value:.2f}" for value in values) + " |", flush=True)
        print()


if __name__ == "__main__":
    main()
