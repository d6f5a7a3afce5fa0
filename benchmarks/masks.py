"""What masks cost: recomputing them, and multiplying weights by them, against a step of the dense model.

    python benchmarks/masks.py [--rounds 40] [--shapes 3] [--threads 1] [--compile]

Dense model, masked models and mask updates take turns, so that whatever else the machine does falls on all alike; the
medians of their times are compared within the run. Every update is a real one, on the ramp of a gradual schedule. What
it costs a step is its time over the steps between two updates, on the ramp itself; over a whole run it is half of
that, since the usual ramp covers half of training. With ``--compile`` models are compiled, and the losses of every
masked one are compared with those of its uncompiled twin while masks change.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional

from runners import models
from runners.models import Shape
from runners.sparsity import distributions, schedules, structures
from runners.sparsity.masks import add_mask
from runners.sparsity.sparsifier import Group, Sparsifier

EVERY = 10  # steps between updates, the default of the runs
VOCABULARY, CONTEXT, BATCH = 256, 64, 16
SHAPES = (Shape(2, 32, 128, 8), Shape(4, 128, 512, 16), Shape(4, 256, 1024, 16))
KINDS = (
    ("unstructured", "uniform", 0.875),
    ("unstructured", "erk", 0.875),
    ("unstructured", "global", 0.875),
    ("2:4", "uniform", 0.5),
    ("1:8", "uniform", 0.875),
    ("block:4x4", "uniform", 0.875),
)


@dataclass
class Contestant:
    """A model in training, with masks or without."""

    model: nn.Module
    forward: Callable[[torch.Tensor], torch.Tensor]
    optimizer: torch.optim.Optimizer
    sparsifier: Sparsifier

    def step(self, tokens: torch.Tensor) -> float:
        """One training step on (B, T + 1) tokens; its loss."""
        logits = self.forward(tokens[:, :-1])
        loss = functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.item()


def contestant(shape: Shape, kind: tuple[str, str, float] | None, rounds: int, compiled: bool) -> Contestant:
    """The dense model, or one with masks on its blocks that are recomputed whenever it is asked for."""
    torch.manual_seed(0)
    model = models.get("decoder").build(shape, VOCABULARY, (CONTEXT,))
    groups = []
    if kind is not None:
        structure, distribution, sparsity = kind
        weights = [add_mask(layer, f"layer {i}") for i, layer in enumerate(model.block_layers())]
        groups = [Group(weights, sparsity, structures.parse(structure), distributions.get(distribution))]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    schedule = schedules.get("polynomial", start=0.0, end=1.0, every=1)
    forward = torch.compile(model) if compiled else model
    return Contestant(model, forward, optimizer, Sparsifier(groups, schedule, rounds))


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--shapes", type=int, default=len(SHAPES), help="how many models, smallest first")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="compile the models, and compare losses")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rounds = arguments.rounds

    for shape in SHAPES[: arguments.shapes]:
        dense = contestant(shape, None, rounds, arguments.compile)
        masked = [contestant(shape, kind, rounds, arguments.compile) for kind in KINDS]
        twins = [contestant(shape, kind, rounds, False) for kind in KINDS] if arguments.compile else []
        generator = torch.Generator().manual_seed(0)
        batches = torch.randint(VOCABULARY, (rounds, BATCH, CONTEXT + 1), generator=generator)
        for one in (dense, *masked):
            one.step(batches[0])  # warms up: moments, compiled code
        for twin in twins:
            twin.step(batches[0])
        dense_times: list[float] = []
        step_times: list[list[float]] = [[] for _ in masked]
        update_times: list[list[float]] = [[] for _ in masked]
        apart = [0.0 for _ in masked]
        for number in range(rounds):
            tokens = batches[number]
            dense_times.append(seconds(lambda: dense.step(tokens)))  # noqa: B023 - called at once
            for i, one in enumerate(masked):
                update_times[i].append(seconds(lambda: one.sparsifier.before(number, one.optimizer)))  # noqa: B023
                began = time.perf_counter()
                loss = one.step(tokens)
                step_times[i].append(time.perf_counter() - began)
                if twins:
                    twins[i].sparsifier.before(number, twins[i].optimizer)
                    apart[i] = max(apart[i], abs(loss / twins[i].step(tokens) - 1))

        table = Table(
            title=f"{shape.layers} layers, width {shape.width}: {shape.block_weights:,} block weights, "
            f"{BATCH * CONTEXT} tokens a step, dense step {1e3 * median(dense_times):.1f} ms"
        )
        headings = (
            "structure",
            "distribution",
            "update, ms",
            "on the ramp",
            "over a run",
            "multiply",
        )
        for heading in (*headings, "loss apart") if twins else headings:
            table.add_column(heading, justify="left" if heading in headings[:2] else "right")
        for i, (structure, distribution, _) in enumerate(KINDS):
            upkeep = median(update_times[i]) / EVERY / median(dense_times)
            # Step by step against the dense one of the same round, for the machine's pace drifts.
            multiply = median(mine / its for mine, its in zip(step_times[i], dense_times, strict=True)) - 1
            cells = [f"{1e3 * median(update_times[i]):.2f}", f"{upkeep:.2%}", f"{upkeep / 2:.2%}", f"{multiply:+.1%}"]
            table.add_row(structure, distribution, *cells, *([f"{apart[i]:.1e}"] if twins else []))
        Console().print(table)


if __name__ == "__main__":
    main()
