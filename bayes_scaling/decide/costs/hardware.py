"""Speed-ups of sparse kernels that somebody measured, on top of another cost model."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bayes_scaling.decide.costs.base import Cost
from bayes_scaling.decide.costs.gradual import Gradual
from bayes_scaling.errors import InputError
from bayes_scaling.structures import check_structure

__all__ = ["Faster", "Hardware", "read_speedups"]


@dataclass(frozen=True)
class Hardware(Cost):
    """A speed-up per structure, applied to the share of training that runs at the final sparsity.

    A share h of training at speed-up v takes 1 - h + h / v of the time: the multiplier is the base's times that. h is
    the base's `sparse_share`: for `Gradual` what comes after the ramp's end (before it no pattern holds, so no kernel
    for it can run), for `Static` all of training, for `Dense` what comes after its `sparse_from`, for `Measured`
    nothing. A dense model gains nothing.

    Sparse matrix products do not speed up by themselves, so the speed-up has to be **measured on the hardware that the
    runs are for**, as the time of a whole training step, dense over sparse. On published evidence 2:4 kernels gave
    1.06 for a training step of ViT-L on A100, although its MLP layers alone gave 1.24 to 1.27 (pytorch/ao#398); on H100
    they made training slower (pytorch/pytorch#153825, pytorch/ao#1617); and a product of 4096 × 4096 at batch 1 ran at
    0.11 of the dense speed (pytorch/pytorch#111339). A speed-up below 1 is a slow-down and is allowed.

    Parameters
    ----------
    base : Cost
        What is sped up. Its multiplier counts FLOPs, so pair speed-ups with a base that the hardware bears out.
    speedup : dict of float
        By structure; structures not named get 1.

    Raises
    ------
    InputError
        If a speed-up is not a number above 0.
    """

    name = "hardware"
    reference = "speed-ups measured by the user"

    base: Cost = field(default_factory=Gradual)
    speedup: Mapping[str, float] = field(default_factory=dict)
    serves_sparse: bool = field(init=False)
    """As of ``base``."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "serves_sparse", self.base.serves_sparse)
        for structure, times in self.speedup.items():
            if not (np.isfinite(times) and times > 0):
                raise InputError(f"speedup of {structure} is {times}; it is a number above 0")

    @classmethod
    def from_file(cls, path: str | Path, base: Cost | None = None) -> "Hardware":
        """With the speed-ups that a file has, as ``benchmarks/semi_structured.py`` writes them.

        Parameters
        ----------
        path : str or Path
            JSON: an object whose ``speedup`` has a number for each structure; what else it holds is left alone.
        base : Cost, optional
            What is sped up; `Gradual` unless said.

        Raises
        ------
        InputError
            If there is no such file, or a structure or a number that cannot be.
        """
        return cls(Gradual() if base is None else base, read_speedups(path))

    def multiplier(self, sparsity: Any) -> Any:
        """The base's, as for a structure without a speed-up."""
        return self.base.multiplier(sparsity)

    def upfront(self, nonzero_params: Any, sparsity: Any, pretrain_data: Any, flops_per_unit: Any) -> Any:
        """The base's: a dense phase runs dense."""
        return self.base.upfront(nonzero_params, sparsity, pretrain_data, flops_per_unit)

    def for_structure(self, structure: str) -> Cost:
        """The base at that structure's speed."""
        base, times = self.base.for_structure(structure), self.speedup.get(structure, 1.0)
        return base if times == 1 else Faster(base, times)


@dataclass(frozen=True)
class Faster(Cost):
    """A cost model whose sparse share runs at another speed; `Hardware` makes it for a structure."""

    name = "hardware"
    reference = "a speed-up measured by the user"

    base: Cost
    times: float
    serves_sparse: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "serves_sparse", self.base.serves_sparse)

    def multiplier(self, sparsity: Any) -> Any:
        """The base's, less what the faster share saves."""
        return self.base.multiplier(sparsity) * (1 - self.base.sparse_share(sparsity) * (1 - 1 / self.times))

    def upfront(self, nonzero_params: Any, sparsity: Any, pretrain_data: Any, flops_per_unit: Any) -> Any:
        """The base's: a dense phase runs dense."""
        return self.base.upfront(nonzero_params, sparsity, pretrain_data, flops_per_unit)


def read_speedups(path: str | Path) -> dict[str, float]:
    """The speed-ups of a file, by structure; `Hardware.from_file` says what it looks like."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"{path} is no JSON: {error}") from error
    times = found.get("speedup") if isinstance(found, dict) else None
    if not isinstance(times, dict) or not times:
        raise InputError(f'{path} has no speed-ups; it needs an object \'speedup\', as {{"speedup": {{"2:4": 1.06}}}}')
    for structure, number in times.items():
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number < np.inf:
            raise InputError(f"{path}: speedup of {structure} is {number!r}; it is a number above 0")
        try:
            check_structure(structure)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
    return {structure: float(number) for structure, number in times.items()}
