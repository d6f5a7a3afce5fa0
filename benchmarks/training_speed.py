"""How fast the runners train: ensembles against single runs, the loop against a plain one, masks on a GPU.

    python benchmarks/training_speed.py [--parts sizes ensembles loop gpu] [--rounds 3] [--steps 40] [--together 16]
                                       [--batch-size 16]

- ``sizes``: processor time of a step and member by the number of members, against a step of a single run.
- ``ensembles``: runs per hour of whole runs, training and evaluation, one after the other and together, on one thread,
  on two, and in two processes.
- ``loop``: a single run against a hand-written loop over the same model and batches that does nothing else.
- ``gpu``: tokens per second and model FLOPs utilisation of a dense and of masked runs; the default where there is CUDA.

Contestants take turns, so that whatever else the machine does falls on all alike; medians are compared. Processor time
says what a contestant needs, the wall clock what it got. Tables are Markdown.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from statistics import median

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from runners.build import build_model, build_optimizer, build_sparsifier
from runners.config import RunConfig
from runners.ensemble import AT_ONCE, run_ensemble
from runners.evaluate import cross_entropy
from runners.stacked import StackedModel
from runners.stacked_adamw import StackedAdamW
from runners.train import batches_of, run

BLOCK_WEIGHTS = (6144, 24576, 98304)
MEMBERS = (4, 8, 16, 32, 64)
CONTEXT = 64
HELDOUT = 1  # windows for each window of training, as in the smallest runs of the sweep that ships


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table."""
    for row in (head, ["---"] * len(head), *rows):
        print("|", " | ".join(map(str, row)), "|", flush=True)
    print(flush=True)


def sparse(total: int, steps: int, batch_size: int, seed: int = 0, threads: int = 1) -> RunConfig:
    """A run at sparsity .75, of `total` block weights."""
    return RunConfig(
        nonzero_params=total // 4,
        sparsity=0.75,
        data_seen=steps * batch_size * CONTEXT,
        batch_size=batch_size,
        heldout_items=HELDOUT * steps * batch_size,
        seed=seed,
        threads=threads,
        device="cpu",
    )


def sizes(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    rows = []
    for total in BLOCK_WEIGHTS:
        config = sparse(total, arguments.steps, arguments.batch_size)
        steps = {1: single_step(config)} | {members: ensemble_step(config, members) for members in MEMBERS}
        spent: dict[int, list[float]] = {members: [] for members in steps}
        for _ in range(arguments.rounds):
            for members, step in steps.items():
                step()
                began, times = time.process_time(), max(2, 64 // members)
                for _ in range(times):
                    step()
                spent[members].append((time.process_time() - began) / times / members)
        alone = median(spent[1])
        cells = [f"{1e3 * median(spent[m]):.2f} ({alone / median(spent[m]):.2f} ×)" for m in MEMBERS]
        rows.append([f"{total:,}", config.shape.width, f"{1e3 * alone:.2f}", *cells])
    print(f"Processor time of a step of {arguments.batch_size} windows, by member, in ms, one thread; how many times a")
    print("single run's speed that is\n")
    table(["block weights", "width", "single run", *(f"{m} together" for m in MEMBERS)], rows)


def single_step(config: RunConfig) -> Callable[[], None]:
    batches = batches_of(config)
    model = build_model(config, batches)
    build_sparsifier(config, model)
    optimizer = build_optimizer(config, model)
    inputs, targets = map(torch.from_numpy, batches.batch(0))

    def step() -> None:
        cross_entropy(model(inputs), targets).backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def ensemble_step(config: RunConfig, members: int) -> Callable[[], None]:
    batches = batches_of(config)
    models = [build_model(config, batches) for _ in range(members)]
    for model in models:
        build_sparsifier(config, model)
    stacked = StackedModel(models)
    optimizer = StackedAdamW(stacked.layers, [build_optimizer(config, model) for model in models], config.clip)
    inputs, targets = (torch.from_numpy(np.concatenate([array] * members)) for array in batches.batch(0))

    def step() -> None:
        losses = cross_entropy(stacked(inputs), targets, reduction="none").view(members, -1).mean(1)
        losses.sum().backward()
        optimizer.step()

    return step


def ensembles(arguments: argparse.Namespace) -> None:
    together = arguments.together
    # Name, processes, threads, runs of each process, whether as an ensemble.
    contestants = [
        ("one after the other", 1, 1, 2, False),
        ("one after the other, 2 processes", 2, 1, 2, False),
        (f"{together} together", 1, 1, together, True),
        (f"{together} together, 2 threads", 1, 2, together, True),
        (f"{together} together, 2 processes", 2, 1, together, True),
    ]
    rows = []
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        warm = [pool.submit(work, [sparse(BLOCK_WEIGHTS[0], 4, arguments.batch_size, seed)], True) for seed in range(4)]
        for future in warm:
            future.result()
        for total in BLOCK_WEIGHTS:
            wall: dict[str, list[float]] = {name: [] for name, *_ in contestants}
            processor: dict[str, list[float]] = {name: [] for name, *_ in contestants}
            for _ in range(arguments.rounds):
                for name, processes, threads, runs, ensemble in contestants:
                    configs = [
                        [
                            sparse(total, arguments.steps, arguments.batch_size, process * runs + i, threads)
                            for i in range(runs)
                        ]
                        for process in range(processes)
                    ]
                    began = time.perf_counter()
                    spent = sum(future.result() for future in [pool.submit(work, some, ensemble) for some in configs])
                    wall[name].append((time.perf_counter() - began) / (processes * runs))
                    processor[name].append(spent / (processes * runs))
            alone, alone_processor = (median(times[contestants[0][0]]) for times in (wall, processor))
            for name, *_ in contestants:
                took, spent = median(wall[name]), median(processor[name])
                speeds = [
                    f"{3600 / took:,.0f}",
                    f"{alone / took:.2f}",
                    f"{spent:.2f}",
                    f"{alone_processor / spent:.2f}",
                ]
                rows.append([f"{total:,}", name, *speeds])
    print(f"Whole runs of {arguments.steps} steps of {arguments.batch_size} windows, sparsity .75, with evaluation\n")
    ratio = "times the first"
    table(["block weights", "runs", "per hour", ratio, "processor s a run", ratio], rows)


def work(configs: list[RunConfig], ensemble: bool) -> float:
    """Train some runs; processor seconds of this process."""
    began = time.process_time()
    if ensemble:
        run_ensemble(configs)
    else:
        for config in configs:
            run(config)
    return time.process_time() - began


class Clock:
    """Wall clock and processor time between the first and the last time that it is looked at."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, float, float]] = []

    def look(self, step: int, *_: object) -> None:
        """After that step; a run's progress callback."""
        self.seen.append((step, time.perf_counter(), time.process_time()))

    def a_step(self) -> tuple[float, float]:
        """Seconds of a step, by the wall clock and of the processor."""
        (first, *began), (last, *ended) = self.seen[0], self.seen[-1]
        wall, processor = ((end - begin) / (last - first) for begin, end in zip(began, ended, strict=True))
        return wall, processor


def loop(arguments: argparse.Namespace) -> None:
    rows = []
    for total in BLOCK_WEIGHTS:
        steps = 5 * arguments.steps
        config = RunConfig(
            nonzero_params=total, data_seen=steps * 16 * CONTEXT, heldout_items=1, device="cpu", learning_rate=0.005
        )
        ours: list[tuple[float, float]] = []
        plain: list[tuple[float, float]] = []
        for _ in range(2 * arguments.rounds):
            clock = Clock()
            run(config, progress=clock.look)
            ours.append(clock.a_step())
            plain.append(plain_loop(config))
        cells = []
        for which in range(2):  # wall clock, processor
            a, b = (median(times[which] for times in contestant) for contestant in (ours, plain))
            ratio = median(p[which] / o[which] for o, p in zip(ours, plain, strict=True))
            cells += [f"{1e3 * a:.2f}", f"{1e3 * b:.2f}", f"{ratio:.3f}"]
        rows.append([f"{total:,}", *cells])
    print("A step of a dense run in ms, one thread; throughput as a fraction of the plain loop's, median of pairs\n")
    what = ["run", "plain loop", "throughput"]
    table(["block weights", *(f"{w}, wall" for w in what), *(f"{w}, processor" for w in what)], rows)


def plain_loop(config: RunConfig) -> tuple[float, float]:
    """The same model and batches, and nothing else: seconds of a step, by the wall clock and of the processor."""
    batches = batches_of(config)
    model = build_model(config, batches)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.005, betas=(0.9, 0.98), fused=True)
    clock, points = Clock(), config.steps // 20
    for step in range(1, config.steps + 1):
        inputs, targets = map(torch.from_numpy, batches.batch(step - 1))
        loss = functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % points == 0:
            loss.item()
            clock.look(step)
    return clock.a_step()


def gpu(arguments: argparse.Namespace) -> None:
    base = {"layers": 12, "head_size": 64, "context": 1024, "batch_size": 32, "heldout_items": 32, "prune_every": 100}
    if arguments.device == "cpu":  # to see that it works
        base |= {"layers": 2, "head_size": 16, "context": 64, "batch_size": 8}
    kinds = [("dense", 0.0), ("unstructured", 0.75), ("2:4", 0.5)]
    total = arguments.gpu_weights
    rows, dense = [], 0.0
    for structure, sparsity in kinds:
        speeds = []
        for _ in range(arguments.rounds):
            clock = Clock()
            config = RunConfig(
                nonzero_params=round(total * (1 - sparsity)),
                sparsity=sparsity,
                structure=structure,
                data_seen=5 * arguments.steps * base["batch_size"] * base["context"],
                device=arguments.device,
                **base,
            )
            record = run(config, progress=clock.look)
            speeds.append(config.units_per_step / clock.a_step()[0])
        speed, row = median(speeds), record["run"]
        dense = dense or speed
        # What is multiplied, zeros included: masks do not make a product smaller.
        head = record["parameters"]["head"]["total"]
        attention = record["flops"]["attention"] / row["data_seen"]
        flops = 6 * (row["total_params"] + head) + attention
        utilisation = f"{100 * flops * speed / arguments.peak_tflops / 1e12:.1f} %"
        cells = [f"{row['total_params']:,}", f"{speed:,.0f}", f"{speed / dense:.3f}", utilisation]
        rows.append([structure, sparsity, *cells, f"{row['peak_memory'] / 2**30:.1f}"])
    name = torch.cuda.get_device_name() if arguments.device == "cuda" else "CPU"
    print(f"{name}, peak taken as {arguments.peak_tflops:g} TFLOPs a second\n")
    head_row = ["structure", "sparsity", "block weights", "tokens/s", "of dense", "model FLOPs utilisation", "GiB"]
    table(head_row, rows)


PARTS = {"sizes": sizes, "ensembles": ensembles, "loop": loop, "gpu": gpu}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cuda = torch.cuda.is_available()
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=["gpu"] if cuda else ["sizes", "ensembles", "loop"]
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40, help="of a whole run; five times as many in loop and gpu")
    parser.add_argument("--together", type=int, default=AT_ONCE, help="members of an ensemble")
    parser.add_argument("--batch-size", type=int, default=16, help="windows of a step in sizes and ensembles")
    parser.add_argument("--device", default="cuda" if cuda else "cpu", help="of the part gpu")
    parser.add_argument("--gpu-weights", type=int, default=84_934_656, help="block weights in the part gpu")
    parser.add_argument("--peak-tflops", type=float, default=989.0, help="bfloat16, dense; an H100's unless said")
    arguments = parser.parse_args()
    for part in arguments.parts:
        began = time.perf_counter()
        PARTS[part](arguments)
        print(f"({part}: {time.perf_counter() - began:.0f} s)\n", flush=True)


if __name__ == "__main__":
    main()
