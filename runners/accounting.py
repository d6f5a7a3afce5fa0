"""What a run has done so far, and its record."""

import math
import platform
import time
from dataclasses import asdict, dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from runners import records
from runners.config import RunConfig
from runners.data.batches import Batches
from runners.data.text.mixture import TextMixture
from runners.devices import peak_memory
from runners.evaluate import Heldout
from runners.fingerprint import fingerprint
from runners.mixtures import labels
from runners.models import Model
from runners.models.flops import TrainFlops, train_flops
from runners.models.parameters import count_parameters, embeddings

if TYPE_CHECKING:
    from runners.watch import Watch

__all__ = ["CURVE_POINTS", "Account", "failed_record", "record_of"]

CURVE_POINTS = 20


@dataclass
class Account:
    """What a run has done so far, kept up step by step and part of its checkpoints.

    Attributes
    ----------
    step : int
        Steps done.
    flops : dict of str to int
        Training FLOPs so far by what is multiplied, each step at the density in force while it was taken: what the run
        would cost if zeros were free.
    curve : list of dict
        Points of the learning curve.
    losses : list of torch.Tensor
        Training losses since the last of these, on the device.
    seconds : float
        Wall-clock time of training, evaluation and set-up left out, over all processes that took part.
    """

    step: int = 0
    flops: dict[str, int] = field(default_factory=lambda: {"blocks": 0, "embeddings": 0, "attention": 0})
    curve: list[dict[str, Any]] = field(default_factory=list)
    losses: list[torch.Tensor] = field(default_factory=list)
    seconds: float = 0.0

    def count(self, per_unit: TrainFlops, units: int, loss: torch.Tensor) -> None:
        """One more step."""
        self.step += 1
        self.flops["blocks"] += per_unit.blocks * units
        self.flops["embeddings"] += per_unit.embeddings * units
        self.flops["attention"] += per_unit.attention * units
        self.losses.append(loss)

    def point(self, data_seen: int, sparsity: float) -> float:
        """Add a point to the learning curve; returns the mean training loss since the one before."""
        mean_loss = torch.stack(self.losses).mean().item()
        self.losses = []
        self.curve.append({"step": self.step, "data_seen": data_seen, "train_loss": mean_loss, "sparsity": sparsity})
        return mean_loss

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        losses = torch.stack(self.losses).cpu() if self.losses else torch.empty(0)
        rest = {"step": self.step, "flops": self.flops, "curve": self.curve, "seconds": self.seconds}
        return rest | {"losses": losses}

    @classmethod
    def of(cls, state: dict[str, Any], device: torch.device) -> "Account":
        """From a checkpoint."""
        return cls(**state | {"losses": list(state["losses"].to(device))})


def sparsity_of(counts: dict[str, dict[str, int]]) -> float:
    """Zeros among the block weights, as a fraction."""
    return 1 - counts["blocks"]["nonzero"] / counts["blocks"]["total"]


def record_of(
    config: RunConfig,
    batches: Batches,
    model: Model,
    account: Account,
    heldout: Heldout,
    device: torch.device,
    start: dict[str, Any] | None = None,
    watch: "Watch | None" = None,
) -> dict[str, Any]:
    """The record of a run that came to its end; `runners.records` describes it.

    Parameters
    ----------
    config : RunConfig
    batches : Batches
    model : Model
        As it is now.
    account : Account
        Of all its steps.
    heldout : Heldout
        Held-out loss and sampling error; NaN for a diverged run.
    device : torch.device
        Where it was trained.
    start : dict, optional
        The trained model that it started from.
    watch : Watch, optional
        What held-out losses along it led to. Of a run with `patience`, everything is of the step where it was best,
        but for the times.

    Returns
    -------
    dict
        Its status is ``diverged`` where the loss is not finite.
    """
    counts = count_parameters(model)
    outside = embeddings(counts)
    finite = math.isfinite(heldout.loss)
    best = None if watch is None else watch.best
    step, flops = (account.step, account.flops) if best is None else (best.step, best.flops)
    mixed = mixture_record(config, batches, step, heldout)
    before = {} if start is None else _of_start(start["row"])
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    frozen = any(not parameter.requires_grad for parameter in model.parameters())
    weights = sum(part["total"] for part in counts.values())
    row = {
        "run_id": config.run_id,
        "modality": config.modality,
        "structure": config.structure,
        "strategy": "scratch" if start is None else "pretrained",
        "sparsity": sparsity_of(counts),
        "nonzero_params": counts["blocks"]["nonzero"],
        "param_kind": "non_embedding",
        "data_seen": step * batches.units_per_step,
        "data_unit": batches.unit,
        "loss": heldout.loss if finite else math.nan,
        # The held-out data is the same for all runs, so what it happens to hold moves all losses together: that is no
        # noise of a run, and as `loss_se` the fit would count it as such.
        "eval_se": heldout.error if finite else math.nan,
        "seed": config.seed,
        "total_params": counts["blocks"]["total"],
        "train_flops": flops["blocks"],
        "all_flops": sum(flops.values()),
        **before,
        "unique_data": batches.unique(step),
        **({"available_data": config.unique_data} if config.unique_data else {}),
        "batch_size": batches.units_per_step,
        "learning_rate": config.learning_rate,
        **(
            {}
            if config.parametrization == "standard"
            else {"parametrization": config.parametrization, "base_width": config.base_width}
        ),
        **({} if config.kernels == "dense" else {"kernels": config.kernels}),
        "method": config.method if config.sparsity else "",
        "distribution": config.distribution if config.sparsity else "",
        "schedule": config.schedule if config.sparsity else "",
        **({"power": config.power} if config.power != 1 else {}),
        "weight_decay": config.weight_decay,
        "dropout": config.dropout,
        "input_noise": config.input_noise,
        **({"trained_params": trained, "trained_share": trained / weights} if frozen else {}),
        "layers": config.shape.layers,
        "width": config.shape.width,
        "mlp_width": config.shape.mlp_width,
        "embedding_params": outside["total"],
        "embedding_nonzero": outside["nonzero"],
        "corpus": f"{batches.facts['kind']}-{str(batches.facts['sha256'])[:8]}",
        **mixture_columns(mixed),
        **({} if watch is None else watch.columns(account)),
        "wall_seconds": round(account.seconds, 3),
        "units_per_second": round(account.step * batches.units_per_step / max(account.seconds, 1e-9), 1),
        "peak_memory": peak_memory(device),
    }
    return {
        "schema": records.SCHEMA,
        "run": row,
        "status": "finished" if finite else "diverged",
        "config": asdict(config),
        "curve": account.curve,
        "flops": flops,
        "data": batches.facts,
        **({"mixture": mixed} if mixed else {}),
        "code": fingerprint(),
        "versions": versions(),
        "parameters": counts,
        "device": device.type,
        "ended": time.time(),
    }


def mixture_record(config: RunConfig, batches: Batches, steps: int, heldout: Heldout) -> list[dict[str, Any]]:
    """What a run on a mixture says of each corpus; nothing for a run on one."""
    if not isinstance(batches, TextMixture) or config.mixture is None:
        return []
    seen, unique = batches.seen_of(steps), batches.unique_of(steps)
    return [
        {
            "corpus": corpus,
            "label": label,
            "weight": batches.weights[corpus],
            "data_seen": seen[corpus],
            "unique_data": unique[corpus],
            **dict(zip(("loss", "eval_se"), heldout.parts.get(corpus, (math.nan, math.nan)), strict=True)),
        }
        for corpus, label in labels(config.mixture).items()
    ]


def mixture_columns(mixed: list[dict[str, Any]]) -> dict[str, float]:
    """The same as columns of the run table, and the mean loss by the run's own weights."""
    if not mixed:
        return {}
    names = {"weight": "weight", "data_seen": "amount", "unique_data": "unique", "loss": "loss"}
    columns = {f"{name}_{part['label']}": part[key] for part in mixed for key, name in names.items()}
    # A corpus of no weight would turn NaN into NaN: its loss is there like the others', or none is.
    return {"mixture_loss": math.fsum(part["weight"] * part["loss"] for part in mixed), **columns}


def _of_start(row: dict[str, Any]) -> dict[str, Any]:
    """The dense phase, apart from the sparse one."""
    return {
        "pretrain_data": row["data_seen"],
        "pretrain_flops": row["train_flops"],
        "pretrain_corpus": row["corpus"],
        "pretrained": row["run_id"],
    }


def failed_record(config: RunConfig, error: str, began: float) -> dict[str, Any]:
    """The record of a run that could not be trained here; it is tried again when it is asked for again."""
    return {
        "schema": records.SCHEMA,
        "run": {
            "run_id": config.run_id,
            "modality": config.modality,
            "structure": config.structure,
            "sparsity": config.sparsity,
            "nonzero_params": config.nonzero_params,
            "data_seen": config.data_seen,
            "loss": math.nan,
            "seed": config.seed,
            "wall_seconds": round(time.perf_counter() - began, 3),
        },
        "status": "failed",
        "error": error,
        "config": asdict(config),
        "code": fingerprint(),
        "versions": versions(),
        "ended": time.time(),
    }


def versions() -> dict[str, str]:
    """Of what a result may hang on."""
    try:
        own = metadata.version("bayes-scaling")
    except metadata.PackageNotFoundError:
        own = "not installed"
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "bayes-scaling": own,
    }


def flops_now(model: Model) -> tuple[TrainFlops, float]:
    """Training FLOPs per unit at the present density, and the sparsity of the blocks."""
    counts = count_parameters(model)
    return train_flops(model, counts), sparsity_of(counts)
