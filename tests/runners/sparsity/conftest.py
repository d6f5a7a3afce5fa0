"""A small regression that is trained for real, with masks that move."""

import pytest

torch = pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

from runners.sparsity import distributions, schedules, structures  # noqa: E402
from runners.sparsity.masks import add_mask  # noqa: E402
from runners.sparsity.sparsifier import Group, Sparsifier  # noqa: E402


class Training:
    """Model, masks and optimizer, built alike each time; `step` takes one step."""

    def __init__(self, structure="unstructured", distribution="uniform", sparsity=0.75, **settings):
        widths, steps, method = (
            settings.get(k, d) for k, d in (("widths", (16, 32, 8)), ("steps", 60), ("method", None))
        )
        schedule = settings.get("schedule", schedules.get("polynomial", every=4))
        torch.manual_seed(0)
        inputs, hidden, outputs = widths
        self.model = torch.nn.Sequential(
            torch.nn.Linear(inputs, hidden), torch.nn.Tanh(), torch.nn.Linear(hidden, outputs)
        )
        self.x = torch.randn(64, inputs)
        self.y = torch.sin(self.x[:, :outputs])
        self.weights = [add_mask(self.model[i], f"layer {i}") for i in (0, 2)]
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.01, weight_decay=0.1)
        group = Group(self.weights, sparsity, structures.parse(structure), distributions.get(distribution))
        self.schedule, self.steps, self.sparsity = schedule, steps, sparsity
        self.sparsifier = Sparsifier([group], schedule, steps, method)
        self.forward = self.model

    def step(self, step):
        """Moves masks, then weights; the loss, and whether masks moved."""
        moved = self.sparsifier.before(step, self.optimizer)
        loss = torch.nn.functional.mse_loss(self.forward(self.x), self.y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item(), moved

    def masks(self):
        return [weight.mask.clone() for weight in self.weights]


@pytest.fixture(scope="session")
def training():
    return Training
