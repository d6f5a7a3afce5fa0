"""What kernels for 2:4 weights gain on this GPU: products, serving, and whole training steps, against dense ones.

    python benchmarks/semi_structured.py --out speedups.json [--layers 12] [--width 2048] [--batch-size 16]

- ``products``: the forward product of one matrix, by its sides and the number of tokens.
- ``serving``: the forward pass of a decoder whose blocks are compressed.
- ``step``: a training step of that decoder, gradients and optimizer included. Masks are complete, and the forward
  products of the blocks are by the kernels, on weights that are compressed anew at every step.

Contestants take turns; medians are compared. Everything is bfloat16 and not compiled. ``--out`` keeps all of it, with
the training step, dense over 2:4, as ``speedup``: ``bayes-scaling recommend … --speedup speedups.json`` takes it from
there. Without CUDA there is nothing to measure, and the script says so.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from runners import models
from runners.evaluate import cross_entropy
from runners.models import Model, Shape
from runners.semi_structured import check_device, compress, compressed, multiply_compressed
from runners.sparsity import structures
from runners.sparsity.masks import add_mask

SIDES = ((2304, 768), (768, 3072), (4096, 4096), (16384, 4096))
TOKENS = (64, 4096, 16384)
VOCABULARY = 32_768


def seconds(works: Mapping[str, Callable[[], object]], rounds: int, device: torch.device) -> dict[str, float]:
    """Median time of each, taking turns."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 3):  # three to warm up
        for name, work in works.items():
            wait(device)
            began = time.perf_counter()
            work()
            wait(device)
            if number >= 3:
                times[name].append(time.perf_counter() - began)
    return {name: median(each) for name, each in times.items()}


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def pruned(weight: torch.Tensor) -> torch.Tensor:
    """The mask of the two largest of every four inputs."""
    return structures.parse("2:4").keep(weight.abs(), weight.numel() // 2)


def products(rounds: int, device: torch.device) -> list[dict[str, Any]]:
    found = []
    for outputs, inputs in SIDES:
        weight = torch.randn(outputs, inputs, device=device, dtype=torch.bfloat16)
        packed = compress(weight * pruned(weight))
        for tokens in TOKENS:
            x = torch.randn(tokens, inputs, device=device, dtype=torch.bfloat16)
            works = {"dense": partial_linear(x, weight), "2:4": partial_linear(x, packed)}
            with torch.no_grad():
                took = seconds(works, rounds, device)
            found.append({"outputs": outputs, "inputs": inputs, "tokens": tokens, **row(took)})
    return found


def partial_linear(x: torch.Tensor, weight: torch.Tensor) -> Callable[[], torch.Tensor]:
    return lambda: functional.linear(x, weight)


def decoder(shape: Shape, context: int, masked: bool, device: torch.device) -> Model:
    torch.manual_seed(0)
    model = models.get("decoder").build(shape, VOCABULARY, (context,)).to(device)
    if masked:
        for i, layer in enumerate(model.block_layers()):
            mask = pruned(layer.weight.detach())
            add_mask(layer, f"layer {i}").mask.copy_(mask)
    return model


def serving(shape: Shape, tokens: torch.Tensor, rounds: int, device: torch.device) -> dict[str, Any]:
    dense = decoder(shape, tokens.shape[1] - 1, False, device)
    packed = compressed(decoder(shape, tokens.shape[1] - 1, True, device))

    def forward(model: nn.Module) -> Callable[[], None]:
        def work() -> None:
            with torch.no_grad(), torch.autocast(device.type, torch.bfloat16):
                model(tokens[:, :-1])

        return work

    return row(seconds({"dense": forward(dense), "2:4": forward(packed)}, rounds, device))


def step(shape: Shape, tokens: torch.Tensor, rounds: int, device: torch.device) -> dict[str, Any]:
    contestants = {
        name: decoder(shape, tokens.shape[1] - 1, name != "dense", device) for name in ("dense", "masks", "2:4")
    }
    multiply_compressed(contestants["2:4"])

    def train(model: nn.Module) -> Callable[[], None]:
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

        def work() -> None:
            with torch.autocast(device.type, torch.bfloat16):
                logits = model(tokens[:, :-1])
            cross_entropy(logits, tokens[:, 1:]).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        return work

    return row(seconds({name: train(model) for name, model in contestants.items()}, rounds, device))


def row(took: Mapping[str, float]) -> dict[str, Any]:
    """Milliseconds, and dense over 2:4."""
    return {**{f"{name}_ms": 1e3 * each for name, each in took.items()}, "speedup": took["dense"] / took["2:4"]}


def show(title: str, rows: list[dict[str, Any]]) -> None:
    print(f"{title}\n\n| " + " | ".join(rows[0]) + " |\n" + "|---" * len(rows[0]) + "|")
    for each in rows:
        print("| " + " | ".join(f"{v:.3f}" if isinstance(v, float) else f"{v:,}" for v in each.values()) + " |")
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="file for all figures, JSON")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--batch-size", type=int, default=16, help="windows")
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("There is no CUDA here, and kernels for 2:4 weights are for CUDA alone; nothing was measured.")
        return
    device = torch.device("cuda")
    check_device("2:4", device)
    figures = measure(arguments, device)
    if arguments.out:
        arguments.out.write_text(json.dumps(figures, indent=1))


def measure(arguments: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """All parts, printed as they come."""
    shape = Shape(arguments.layers, arguments.width, 4 * arguments.width, 64)
    tokens = torch.randint(VOCABULARY, (arguments.batch_size, arguments.context + 1), device=device)
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    size = f"{shape.layers} layers of width {shape.width}, {arguments.batch_size} windows of {arguments.context} tokens"
    print(f"{gpu}, PyTorch {torch.__version__}\n")
    figures: dict[str, Any] = {"device": gpu, "torch": torch.__version__, "model": size}
    figures["products"] = products(arguments.rounds, device)
    show("One product", figures["products"])
    figures["serving"] = serving(shape, tokens, arguments.rounds, device)
    show(f"Forward pass of {size}", [figures["serving"]])
    figures["step"] = step(shape, tokens, arguments.rounds, device)
    show(f"Training step of {size}; masks: on dense kernels", [figures["step"]])
    return figures | {"speedup": {"2:4": figures["step"]["speedup"]}}


if __name__ == "__main__":
    main()
