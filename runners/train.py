"""One training run: a configuration in, one record out."""

import math
import platform
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from bayes_scaling.runs import InputError
from runners import records
from runners.config import RunConfig
from runners.data.text import batches, heldout_windows, load_corpus
from runners.models.transformer import Transformer
from runners.sparsity.masks import MaskedWeight, Pruner
from runners.sparsity.structures import Unstructured, parse_structure

__all__ = ["RunConfig", "run"]

CURVE_POINTS = 20
FLOPS_PER_WEIGHT = 6  # forward and backward, multiply and add, per non-zero weight and token


def run(
    config: RunConfig, store: Path | None = None, progress: Callable[[int, int, float], None] | None = None
) -> dict[str, Any]:
    """Train one model and say what came out.

    Parameters
    ----------
    config : RunConfig
        The run.
    store : Path, optional
        Where to write the record; by default it is only returned.
    progress : callable, optional
        Called now and then with the steps done, the steps in all and the training loss.

    Returns
    -------
    dict
        The record, as `runners.records` describes it. A run whose loss stops being finite ends early with status
        ``diverged`` and the loss NaN.
    """
    began = time.perf_counter()
    torch.set_num_threads(config.threads)  # for the whole process: torch knows no other way
    device = pick_device(config.device)
    corpus = load_corpus(config.corpus, config.suffix)
    stream = batches(corpus.train, config.context, config.batch_size, config.seed)

    with torch.random.fork_rng(devices=[]):  # the caller's random state is not ours to move
        torch.manual_seed(config.seed)
        model = Transformer(config.shape, config.context).to(device)
    pruner = Pruner(mask_weights(model, config), config.schedule, config.steps, config.prune_every)
    matrices = [p for p in model.parameters() if p.ndim > 1]
    norms = [p for p in model.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": config.weight_decay}, {"params": norms, "weight_decay": 0.0}],
        betas=(config.beta1, config.beta2),
        fused=device.type != "mps",
    )

    curve: list[dict[str, Any]] = []
    parameters = model.count_parameters()
    train_flops, losses, diverged = 0, [], False
    tokens_per_step = config.batch_size * config.context
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, step)
        if pruner.before(step, optimizer):
            parameters = model.count_parameters()

        batch = torch.from_numpy(next(stream).astype(np.int64)).to(device)
        with autocast(device):
            logits = model(batch[:, :-1])
        loss = functional.cross_entropy(logits.float().flatten(0, 1), batch[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        # Integrated over the density in force at each step: what the sparse model would cost if zeros were free.
        train_flops += FLOPS_PER_WEIGHT * parameters["blocks"]["nonzero"] * tokens_per_step
        losses.append(loss.detach())

        if (step + 1) % max(1, config.steps // CURVE_POINTS) == 0 or step + 1 == config.steps:
            mean_loss = torch.stack(losses).mean().item()
            losses = []
            sparsity = 1 - parameters["blocks"]["nonzero"] / parameters["blocks"]["total"]
            data_seen = (step + 1) * tokens_per_step
            curve.append({"step": step + 1, "data_seen": data_seen, "train_loss": mean_loss, "sparsity": sparsity})
            if progress is not None:
                progress(step + 1, config.steps, mean_loss)
            if not math.isfinite(mean_loss):
                diverged = True
                break

    parameters = model.count_parameters()
    loss_mean, loss_error = math.nan, math.nan
    if not diverged:
        loss_mean, loss_error = evaluate(
            model, *heldout_windows(corpus, config.context, config.heldout_windows), device
        )
        curve[-1]["heldout_loss"] = loss_mean
        diverged = not math.isfinite(loss_mean)

    blocks = parameters["blocks"]
    data_seen = curve[-1]["data_seen"]
    record = {
        "schema": records.SCHEMA,
        "run": {
            "run_id": config.run_id,
            "modality": "language",
            "structure": config.structure,
            "strategy": "scratch",
            "sparsity": 1 - blocks["nonzero"] / blocks["total"],
            "nonzero_params": blocks["nonzero"],
            "param_kind": "non_embedding",
            "data_seen": data_seen,
            "data_unit": "tokens",  # bytes
            "loss": math.nan if diverged else loss_mean,
            # The held-out text is the same for all runs, so what it happens to hold moves all losses together: that
            # is no noise of a run, and as `loss_se` the fit would count it as such.
            "eval_se": loss_error,
            "seed": config.seed,
            "total_params": blocks["total"],
            "train_flops": train_flops,
            "unique_data": min(data_seen, len(corpus.train)),
            "batch_size": tokens_per_step,
            "learning_rate": config.learning_rate,
            "width": config.shape.width,
            "mlp_width": config.shape.mlp_width,
            "embedding_params": parameters["embeddings"]["total"],
            "embedding_nonzero": parameters["embeddings"]["nonzero"],
            "corpus": f"{corpus.name}-{str(corpus.facts['sha256'])[:8]}" if corpus.name == "stdlib" else "folder",
            "wall_seconds": round(time.perf_counter() - began, 3),
        },
        "status": "diverged" if diverged else "finished",
        "config": asdict(config),
        "curve": curve,
        "data": corpus.facts,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "bayes-scaling": package_version(),
        },
        "parameters": parameters,
        "device": device.type,
    }
    if store is not None:
        records.write(Path(store), record)
    return record


def mask_weights(model: Transformer, config: RunConfig) -> list[MaskedWeight]:
    """Masks on everything that the run prunes; none on a dense one."""
    if config.sparsity == 0:
        return []
    structure = parse_structure(config.structure)
    masked = [MaskedWeight.on(layer, structure, config.sparsity) for layer in model.block_layers()]
    if config.embedding_sparsity == "sqrt":
        sparsity = 1 - math.sqrt(1 - config.sparsity)
        masked += [MaskedWeight.on(layer, Unstructured(), sparsity) for layer in model.embedding_layers()]
    return masked


def learning_rate(config: RunConfig, step: int) -> float:
    """Linear warm-up, then a cosine down to the final fraction of the peak."""
    assert config.learning_rate is not None  # resolved when the configuration was made
    warmup = config.warmup * config.steps
    if step < warmup:
        return config.learning_rate * (step + 1) / (warmup + 1)
    p = (step - warmup) / max(1.0, config.steps - warmup)
    cosine = 0.5 * (1 + math.cos(math.pi * p))
    return config.learning_rate * (config.final_learning_rate + (1 - config.final_learning_rate) * cosine)


@torch.no_grad()
def evaluate(
    model: Transformer, windows: np.ndarray, files: np.ndarray, device: torch.device, batch: int = 256
) -> tuple[float, float]:
    """Held-out cross-entropy in nats per byte, and the sampling error of the text that it was measured on.

    The error treats files as the units drawn, for windows of one file resemble each other.
    """
    model.eval()
    losses = []
    for start in range(0, len(windows), batch):
        tokens = torch.from_numpy(windows[start : start + batch].astype(np.int64)).to(device)
        with autocast(device):
            logits = model(tokens[:, :-1])
        loss = functional.cross_entropy(logits.float().transpose(1, 2), tokens[:, 1:], reduction="none")
        losses.append(loss.mean(1).double().cpu().numpy())
    model.train()
    per_window = np.concatenate(losses)
    mean = per_window.mean()
    by_file = np.bincount(files, weights=per_window - mean)
    return float(mean), float(np.sqrt((by_file**2).sum()) / len(per_window))


def pick_device(name: str) -> torch.device:
    """`auto` is CUDA, then MPS, then the CPU; anything else is itself, if this machine has it."""
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, there in present.items() if there))
    if not present[name]:
        raise InputError(f"device is {name!r}, which this machine lacks; it has {[k for k, v in present.items() if v]}")
    return torch.device(name)


def autocast(device: torch.device) -> AbstractContextManager[Any]:
    """bf16 on CUDA, full precision elsewhere."""
    return torch.autocast("cuda", dtype=torch.bfloat16) if device.type == "cuda" else nullcontext()


def package_version() -> str:
    """Version of the installed package, if it is installed."""
    try:
        return metadata.version("bayes-scaling")
    except metadata.PackageNotFoundError:
        return "not installed"
