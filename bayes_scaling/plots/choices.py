"""What a recommendation was chosen among: how often each choice is the best, and what each is expected to lose."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bayes_scaling.decide.recommend import Answer, Recommendation
from bayes_scaling.display import count
from bayes_scaling.errors import InputError
from bayes_scaling.plots.axes import INSIDE
from bayes_scaling.plots.style import BEYOND, COLOURS, GREY, HATCH, grid_of, key, percent, text, warn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_choices"]


def plot_choices(recommendation: Recommendation) -> "Figure":
    """The choices of a recommendation; a row per modality and structure.

    On the left, how probable it is that each sparsity of the menu is the best of them. On the right, what each action
    is expected to lose against each draw's own optimum, and what of that knowing the law would save.

    Parameters
    ----------
    recommendation : Recommendation
        From `recommend`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If it is no recommendation, or has no answers.
    """
    if not isinstance(recommendation, Recommendation):
        raise InputError(f"recommendation is a {type(recommendation).__name__}; it comes from bayes_scaling.recommend")
    if not recommendation.answers:
        raise InputError("the recommendation has no answers, so there are no choices to draw")
    figure, grid = grid_of(len(recommendation.answers), 2, width=5.0, height=3.2)
    most: dict[str, float] = {}
    for answer in recommendation.answers:
        most[answer.modality] = max([most.get(answer.modality, 0.0), *_expected(answer)])
    for (left, right), answer in zip(grid, recommendation.answers, strict=True):
        _chances(left, answer)
        _regrets(right, answer, percent(recommendation.prob), most[answer.modality])
    first = recommendation.answers[0]
    figure.suptitle(f"{count(first.nonzero_params)} non-zero parameters, {first.train_flops:.3g} training FLOPs")
    key(figure, more=_handles(recommendation.answers))
    warn(figure, [note for answer in recommendation.answers for note in answer.notes])
    return figure


def _far(answer: Answer) -> bool:
    return max(answer.extrapolation.values()) > INSIDE


def _chances(ax: "Axes", answer: Answer) -> None:
    """How probable it is that each sparsity of the menu is the best of them."""
    names = ["dense" if c["sparsity"] == 0 else f"{c['sparsity']:.3g}" for c in answer.choices]
    chances = [c["probability_best"] for c in answer.choices]
    bars = ax.bar(names, chances, color=COLOURS[0])
    ax.bar_label(bars, [f"{chance:.0%}" if chance >= 0.005 or not chance else "< 1%" for chance in chances])
    ax.set(ylim=(0, 1.12), xlabel="sparsity (fraction of zeros)", ylabel="probability that it is the best")
    ax.set_title(f"{text(answer.modality)}, {text(answer.structure)}")


def _expected(answer: Answer) -> list[float]:
    """All regrets that are drawn for an answer."""
    point = answer.stakes.get("point", {"expected_regret": 0.0})["expected_regret"]
    return [answer.stakes["regret_of_dense"], point, answer.expected_regret]


def _regrets(ax: "Axes", answer: Answer, prob: str, most: float) -> None:
    """What each action is expected to lose, on one scale for a modality: alone, a regret of nothing fills its panel."""
    from matplotlib.ticker import MaxNLocator

    taken, best = answer.recommended["sparsity"], answer.optimal_sparsity
    ours = f"recommended\n{f'{taken:.3f}' if taken else 'dense'}" + (f"\n({BEYOND})" if _far(answer) else "")
    bars = {"dense": (answer.stakes["regret_of_dense"], GREY)}
    if "point" in answer.stakes:
        theirs = answer.stakes["point"]
        bars[f"point estimate's\n{theirs['sparsity']:.3f}"] = (theirs["expected_regret"], COLOURS[1])
    bars[ours] = (answer.expected_regret, COLOURS[0])
    for name, (regret, colour) in bars.items():
        hatch = HATCH[:2] if name == ours and _far(answer) else None
        drawn = ax.barh([name], [regret], color=colour, edgecolor="white", hatch=hatch, height=0.6)
        ax.bar_label(drawn, [f"{regret:.2g}"], padding=3)
    ax.axvline(answer.stakes["perfect_information"]["loss"], color=COLOURS[2], ls="--", lw=1.5)
    ax.set(xlabel="expected regret (unit of the loss)", xlim=(0, 1.18 * most or 1))
    ax.xaxis.set_major_locator(MaxNLocator(5))
    optimum = f"{best['median']:.3f} [{best['lower']:.3f}, {best['upper']:.3f}]"
    ax.set_title(f"optimal sparsity {optimum}, {prob}", fontsize="medium")


def _handles(answers: Sequence[Answer]) -> list[object]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[object] = [Line2D([], [], color=COLOURS[2], ls="--", lw=1.5, label="what knowing the law would save")]
    if any(map(_far, answers)):
        handles.append(
            Patch(facecolor=GREY, edgecolor="white", hatch=HATCH[:2], label=f"the recommended action lies {BEYOND}")
        )
    return handles
