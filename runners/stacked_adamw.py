"""AdamW on the stacked weights of many models, each with its own learning rates and weight decays."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from runners.stacked import StackedLayer

__all__ = ["StackedAdamW"]


class StackedAdamW:
    """Takes the steps that each member's own `torch.optim.AdamW` would take, all at once.

    The members' optimizers are not asked to step, but stay what they were: their state is made of views of the stacked
    moments, so a `Sparsifier` may change it and a checkpoint may save it.

    Parameters
    ----------
    layers : sequence of StackedLayer
        Everything that has weights.
    optimizers : sequence of torch.optim.AdamW
        One a member, over the member's parameters, with the same betas and epsilon; just built, or all after as many
        steps.
    clip : float
        Largest norm of a member's gradient, as `torch.nn.utils.clip_grad_norm_` has it.
    """

    def __init__(self, layers: Sequence[StackedLayer], optimizers: Sequence[torch.optim.AdamW], clip: float) -> None:
        self.optimizers, self.clip = optimizers, clip
        self.weights = [layer.weight for layer in layers]
        self.beta1, self.beta2 = optimizers[0].defaults["betas"]
        self.eps = optimizers[0].defaults["eps"]
        self.groups: list[list[dict[str, float]]] = []
        self.moments = []
        self.taken = torch.zeros(len(layers), len(optimizers))  # steps: the same everywhere, but torch wants one each
        for layer, taken in zip(layers, self.taken, strict=True):
            owners = list(zip(layer.members, optimizers, strict=True))
            self.groups.append([_group_of(parameter, optimizer) for parameter, optimizer in owners])
            self.moments.append([_stacked_moment(name, owners) for name in ("exp_avg", "exp_avg_sq")])
            for i, (parameter, optimizer) in enumerate(owners):
                taken[i] = optimizer.state.get(parameter, {}).get("step", 0)
                first, second = (moment[i] for moment in self.moments[-1])
                optimizer.state[parameter] = {"step": taken[i], "exp_avg": first, "exp_avg_sq": second}

    @torch.no_grad()
    def step(self) -> None:
        """Clip each member's gradient, move all weights, and drop the gradients."""
        self.taken += 1
        steps = self.taken[0, 0].item()
        first_correction, second_correction = 1 - self.beta1**steps, (1 - self.beta2**steps) ** 0.5
        gradients = [weight.grad for weight in self.weights if weight.grad is not None]  # all have one
        kept = self._kept(gradients)
        for weight, gradient, groups, (first, second) in zip(
            self.weights, gradients, self.groups, self.moments, strict=True
        ):
            rate, decay = (_shaped(weight, [group[name] for group in groups]) for name in ("lr", "weight_decay"))
            gradient.mul_(kept.view_as(rate))
            weight.mul_(1 - rate * decay)
            first.lerp_(gradient, 1 - self.beta1)
            second.mul_(self.beta2).addcmul_(gradient, gradient, value=1 - self.beta2)
            divisor = second.sqrt().div_(second_correction).add_(self.eps)
            weight.sub_(first.div(divisor).mul_(rate / first_correction))
            weight.grad = None

    def _kept(self, gradients: Sequence[Tensor]) -> Tensor:
        """What each member's gradient is multiplied by so that its norm is at most `clip`, (M,)."""
        norms = torch.stack([torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in gradients])
        return (self.clip / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1.0)


def _stacked_moment(name: str, owners: Sequence[tuple[nn.Parameter, torch.optim.AdamW]]) -> Tensor:
    """A moment of all members, zero where a member has taken no step."""
    return torch.stack([optimizer.state.get(p, {}).get(name, torch.zeros_like(p.data)) for p, optimizer in owners])


def _group_of(parameter: nn.Parameter, optimizer: torch.optim.AdamW) -> dict[str, float]:
    return next(group for group in optimizer.param_groups if any(p is parameter for p in group["params"]))


def _shaped(weight: Tensor, values: Sequence[float]) -> Tensor:
    """One number a member, to be multiplied with the stacked weight: (M, 1, ...)."""
    return torch.tensor(values, device=weight.device).view(-1, *(1 for _ in weight.shape[1:]))
