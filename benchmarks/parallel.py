"""How far a run on several ranks is from the one that a single process makes, and what each rank keeps of it.

    torchrun --standalone --nproc-per-node 2 benchmarks/parallel.py [--nonzero-params 6144] [--steps 200]
    python benchmarks/parallel.py --shaken [--kinds "magnitude, cubic, erk .75"]

Every kind of run is trained by DDP, by FSDP2 and by the first rank alone, on this machine's processor and on the
package's own source. The first rank prints the largest difference of training losses along the curves, that of the
held-out loss, and how many weights of the masks differ at the end. With ``--shaken`` one process trains everything
twice, the second time from weights of which two in three are moved by about their last bit: what rounding alone grows
to.
"""

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from rich.console import Console
from rich.table import Table

from runners import checkpoints
from runners.build import build_model, build_optimizer, build_sparsifier
from runners.config import RunConfig
from runners.data.batches import Batches
from runners.models import Model
from runners.parallel import MODES, ONE, Ranks, join
from runners.train import batches_of, run

KINDS: Mapping[str, Mapping[str, Any]] = {
    "dense": {},
    "magnitude, cubic, unstructured .75": {"sparsity": 0.75},
    "magnitude, cubic, 2:4": {"sparsity": 0.5, "structure": "2:4"},
    "magnitude, cubic, blocks 4x4 .75": {"sparsity": 0.75, "structure": "block:4x4"},
    "magnitude, cubic, global .75": {"sparsity": 0.75, "distribution": "global"},
    "magnitude, cubic, erk .75": {"sparsity": 0.75, "distribution": "erk"},
    "random, constant .75": {"sparsity": 0.75, "method": "random", "schedule": "constant"},
    "SET .75": {"sparsity": 0.75, "method": "set", "schedule": "constant", "update_every": 20},
    "RigL .75": {"sparsity": 0.75, "method": "rigl", "schedule": "constant", "update_every": 20},
    "SR-STE 2:4": {"sparsity": 0.5, "structure": "2:4", "method": "srste", "schedule": "constant"},
    "SNIP .75 (DDP alone)": {"sparsity": 0.75, "method": "snip", "schedule": "constant", "snip_batches": 8},
    "Powerpropagation 2, cubic .75": {"sparsity": 0.75, "power": 2.0},
}


def trained(configs: Mapping[str, RunConfig], folder: Path, ranks: Ranks) -> dict[str, tuple[dict[str, Any], Path]]:
    """Records of the runs and their models' files."""
    found = {}
    for name, config in configs.items():
        if ranks.mode != "fsdp" or not config.sparsity or config.pruning_method.shards:
            place = folder / f"{ranks.mode}-{config.run_id}.pt"
            found[name] = run(config, keep_model=place, ranks=ranks), place
    return found


def kept(config: RunConfig, ranks: Ranks) -> float:
    """Bytes a block weight that this rank keeps between two steps: stored weights, two moments, masks."""
    batches = batches_of(config)
    model = build_model(config, batches)
    build_sparsifier(config, model)
    ranks.place(model, torch.device("cpu"))
    optimizer = build_optimizer(config, model)
    stored = [getattr(p, "to_local", lambda p=p: p)() for group in optimizer.param_groups for p in group["params"]]
    numbers = sum(3 * part.numel() * part.element_size() for part in stored)
    masks = sum(buffer.numel() for name, buffer in model.named_buffers() if name.endswith("mask"))
    return (numbers + masks) / sum(p.numel() for p in model.parameters() if p.ndim > 1)


def compare(one: tuple[dict[str, Any], Path], other: tuple[dict[str, Any], Path]) -> list[str]:
    """Three cells of the table."""
    curves = zip(one[0]["curve"], other[0]["curve"], strict=True)
    curve = max(abs(a["train_loss"] - b["train_loss"]) for a, b in curves)
    model, its = (checkpoints.load(path)["model"] for _, path in (one, other))
    masks = sum(int((tensor != its[name]).sum()) for name, tensor in model.items() if name.endswith("mask"))
    return [f"{curve:.1e}", f"{abs(one[0]['run']['loss'] - other[0]['run']['loss']):.1e}", str(masks)]


def shaken(config: RunConfig, batches: Batches) -> Model:
    """The model of a run, with about the last bit of its weights drawn anew."""
    model, generator = build_model(config, batches), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1 + 6e-8 * torch.randint(-1, 2, parameter.shape, generator=generator))
    return model


def rounding(configs: Mapping[str, RunConfig], folder: Path) -> Table:
    """Single runs against single runs from shaken weights."""
    one = trained(configs, folder, ONE)
    (folder / "shaken").mkdir()
    with mock.patch("runners.train.build_model", shaken):
        other = trained(configs, folder / "shaken", ONE)
    table = Table("run, one process, shaken", "curve", "held-out", "masks")
    for name in configs:
        table.add_row(name, *compare(one[name], other[name]))
    return table


def main() -> None:
    """Train, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nonzero-params", type=int, default=6144)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--shaken", action="store_true")
    parser.add_argument("--kinds", nargs="*", choices=list(KINDS), default=list(KINDS))
    options = parser.parse_args()
    shared = {
        "corpus": str(Path(__file__).resolve().parents[1] / "bayes_scaling"),
        "nonzero_params": options.nonzero_params,
        "data_seen": options.steps * 8 * 64,
        "batch_size": 8,
        "heldout_items": 128,
        "device": "cpu",
    }
    configs = {name: RunConfig(**shared | kind) for name, kind in KINDS.items() if name in options.kinds}
    with tempfile.TemporaryDirectory() as name:
        folder, found, bytes_kept = Path(name), {}, {}
        if options.shaken:
            Console(width=150).print(rounding(configs, folder))
            return
        for mode in MODES:
            with join(mode, "cpu") as ranks:
                found[mode] = trained(configs, folder, ranks)
                bytes_kept[mode] = kept(RunConfig(**shared, sparsity=0.75), ranks)
        if not ranks.first:
            return
        one = trained(configs, folder, ONE)
        table = Table("run", *(f"{mode}, {what}" for mode in MODES for what in ("curve", "held-out", "masks")))
        for name, alone in one.items():
            cells = [compare(alone, found[mode][name]) if name in found[mode] else ["–"] * 3 for mode in MODES]
            table.add_row(name, *(cell for three in cells for cell in three))
        console = Console(width=150)
        console.print(table)
        console.print(f"bytes a weight that each of {ranks.count} ranks keeps: {bytes_kept}")


if __name__ == "__main__":
    main()
