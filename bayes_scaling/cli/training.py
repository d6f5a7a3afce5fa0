"""Commands about single runs: training, and the data sets that ship."""

import math
import time
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

import bayes_scaling as bs
from bayes_scaling.cli.app import NOT_TRUSTED, Json, Seed, command, print_json, say, suggest
from bayes_scaling.errors import InputError

OPTIONS = (
    *("nonzero_params", "data_seen", "sparsity", "structure", "modality", "corpus", "suffix", "tokenizer", "limit"),
    *("pretrained", "learning_rate", "device", "threads", "seed"),
)
"""Knobs of a run that have an option of their own."""


@command("bayes-scaling datasets")
def datasets(json_: Json = False) -> int:
    """List the data sets that `fit` and `runs` know by name."""
    from rich.table import Table

    entries = [bs.datasets.describe(name) for name in bs.datasets.names()]
    if json_:
        keys = ("name", "description", "reference", "licence")
        print_json({"datasets": [{key: getattr(entry, key) for key in keys} for entry in entries]})
        return 0
    table = Table("name", "what", "reference", "licence")
    for entry in entries:
        table.add_row(entry.name, entry.description, entry.reference, entry.licence)
    Console().print(table)
    return 0


@command(
    "bayes-scaling train --nonzero-params 6144 --data-seen 1e6 --sparsity 0.75 --corpus my/texts --store runs/mine"
)
def train(
    nonzero_params: Annotated[float, typer.Option(help="Non-zero block weights wanted at the end.")],
    data_seen: Annotated[float, typer.Option(help="Tokens or examples to train on, repeats counted.")],
    store: Annotated[
        str,
        typer.Option(help="Store of run records to add this one to: a folder, or an address (s3://…)."),
    ],
    sparsity: Annotated[
        float | None, typer.Option(help="Final fraction of zeros; 0 unless said, or what a pattern n:m means.")
    ] = None,
    structure: Annotated[str, typer.Option(help="unstructured, n:m such as 2:4, or block:4x4.")] = "unstructured",
    modality: Annotated[str, typer.Option(help="language or vision.")] = "language",
    corpus: Annotated[
        str | None,
        typer.Option(
            help="Text: stdlib (Python's own source, the default), folders or Parquet files separated by commas, "
            "package:NAME of an installed package, or hf:NAME of a Hugging Face data set (hf:allenai/c4:en); several "
            'by --set mixture=\'{"stdlib": 0.5, "my/texts": 0.5}\'. Images: photographs (the default), a folder with '
            "one sub-folder a class, or hf:NAME."
        ),
    ] = None,
    suffix: Annotated[str, typer.Option(help="Ending of the text files read from folders.")] = ".txt",
    tokenizer: Annotated[str, typer.Option(help="bytes, or a tokenizer's JSON file.")] = "bytes",
    limit: Annotated[float, typer.Option(help="Most tokens or pictures to take of the corpus; 0 means all.")] = 0,
    pretrained: Annotated[
        str | None, typer.Option(help="Start from this dense model, which --keep-model wrote.")
    ] = None,
    keep_model: Annotated[Path | None, typer.Option(help="Write the trained model to this file.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak; by rule for width and density unless said.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    parallel: Annotated[
        str | None,
        typer.Option(help="ddp or fsdp: one run on all processes that torchrun started (docs/parallel.md)."),
    ] = None,
    seed: Seed = 0,
    knob: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Any other knob, as NAME=VALUE: context=256, layers=4, batch_size=32, activation=swiglu, decay=wsd, "
            "distribution=erk, schedule=one_shot, image_size=64, … (runners/config.py explains all of them).",
        ),
    ] = None,
    json_: Json = False,
) -> int:
    """Train one sparse or dense transformer on text or images, and leave its record.

    Your own texts: put them into a folder and name it, with the ending of the files (--corpus my/texts --suffix .txt);
    one file in twenty is held out. A run that was interrupted goes on from its last checkpoint when the same command is
    given again. Eight runs or more of several sizes, amounts of data and sparsities
    in one store are a sweep that `bayes-scaling fit` reads; `bayes-scaling sweep` trains a whole plan.
    """
    training = runners_module("train")
    others = knobs_of(knob or [], training.RunConfig)
    own_source = corpus in (None, "stdlib") and "mixture" not in others
    config = training.RunConfig(
        **{
            "nonzero_params": _whole("--nonzero-params", nonzero_params),
            "data_seen": _whole("--data-seen", data_seen),
            "sparsity": _sparsity(sparsity, structure),
            "structure": structure,
            "modality": modality,
            "corpus": corpus,
            "suffix": ".py" if own_source else suffix,
            "tokenizer": tokenizer,
            "limit": _whole("--limit", limit),
            "pretrained": pretrained,
            "learning_rate": learning_rate,
            "device": device,
            "threads": threads,
            "seed": seed,
        }
        | others
    )
    with runners_module("parallel").join(parallel, device) as ranks:
        record = _trained(training, config, store, keep_model, ranks)
    if ranks.first:
        _tell(record, config, store, json_)
    return 0 if record["status"] != "failed" else NOT_TRUSTED


def _trained(training: Any, config: Any, store: str, keep_model: Path | None, ranks: Any) -> dict[str, Any]:
    """The record of a run, by these ranks or there already; the first of them says how far it is."""
    tell = say if ranks.first else _silent
    shape = config.shape
    nonzero = shape.block_weights * (1 - config.sparsity)
    tell(
        f"run {config.run_id}: {config.model} of {shape.layers} layers, width {shape.width}, MLP {shape.mlp_width}: "
        f"{shape.block_weights:,} block weights, {nonzero:,.0f} non-zero at the end; "
        f"{config.steps:,} steps of {config.units_per_step:,} {_unit(config)}s, learning rate {config.learning_rate:g}"
    )
    stored = runners_module("store").Store(store)
    there = ranks.by_first(lambda: stored.read(config.run_id) if stored.is_done(config.run_id) else None)
    if there is not None and keep_model is None:
        tell("the store has this run already: nothing is trained")
        return dict(there)
    if stored.folder.has(f"checkpoints/{config.run_id}.pt"):
        tell("it goes on from its last checkpoint")
    teller = _StepTeller() if ranks.first else None
    return dict(training.run(config, stored, teller, keep_model=keep_model or False, ranks=ranks))


def _silent(text: str) -> None:
    """What ranks but the first say."""


def _tell(record: dict[str, Any], config: Any, store: str, json_: bool) -> None:
    """What came of a run."""
    if json_:
        print_json(record)
    else:
        run = record["run"]
        finite = run["loss"] is not None and not math.isnan(run["loss"])
        loss = f"{run['loss']:.4f} nats per {_unit(config)}" if finite else record.get("error", "not finite")
        print(
            f"{record['status']}: run {run['run_id']}, held-out loss: {loss}, "
            f"{run['nonzero_params']} non-zero parameters; record in {store}"
        )
        suggest("All runs of the store", "runs", store)


def runners_module(module: str) -> Any:
    """A module of the runners, which need the extra of that name."""
    import importlib

    try:
        importlib.import_module("torch")
    except ImportError as error:
        raise InputError(
            "training needs torch, which the extra brings: pip install 'bayes-scaling[runners]'"
        ) from error
    return importlib.import_module(f"runners.{module}")


def _whole(option: str, value: float) -> int:
    if not math.isfinite(value) or value != int(value):
        raise InputError(f"{option} is {value}; it is a whole number such as 6144 or 4e6")
    return int(value)


def _unit(config: Any) -> str:
    if config.modality == "vision":
        return "example"
    return "byte" if config.tokenizer == "bytes" else "token"


def _sparsity(given: float | None, structure: str) -> float:
    """What was asked for, or what the structure means."""
    if given is not None:
        return given
    return 0.0 if structure == "dense" else runners_module("sparsity.structures").parse(structure).fixed_sparsity or 0.0


def knobs_of(pairs: list[str], kind: Any, named: tuple[str, ...] = OPTIONS) -> dict[str, Any]:
    """Values of knobs given as NAME=VALUE, in the types that the configuration has."""
    known = {knob.name: str(knob.type) for knob in fields(kind)}
    values: dict[str, Any] = {}
    for pair in pairs:
        name, given, text = pair.partition("=")
        if not given or name not in known:
            raise InputError(f"--set is {pair!r}; NAME=VALUE is needed, with one of the names {', '.join(known)}")
        if name in named:
            raise InputError(f"--set is {pair!r}; this knob has an option, --{name.replace('_', '-')}")
        values[name] = _parsed(name, text, known[name])
    return values


def _parsed(name: str, text: str, kind: str) -> Any:
    try:
        if "bool" in kind:
            return {"true": True, "false": False}[text.lower()]
        if "int" in kind:
            return _whole(f"--set {name}", float(text))
        return float(text) if "float" in kind else text
    except (KeyError, ValueError):
        allowed = "true or false" if "bool" in kind else "a number"
        raise InputError(f"--set {name} is {text!r}; {allowed} is needed") from None


class _StepTeller:
    """Says how far a run is, and about how long it will take."""

    def __init__(self) -> None:
        self._first: tuple[int, float] | None = None

    def __call__(self, step: int, steps: int, loss: float) -> None:
        now = time.monotonic()
        left = ""
        if self._first is None:
            self._first = step, now
        elif step > self._first[0]:
            seconds = (now - self._first[1]) / (step - self._first[0]) * (steps - step)
            left = f", {seconds:.0f} s left" if seconds < 120 else f", {seconds / 60:.0f} min left"
        say(f"step {step:,} of {steps:,}, training loss {loss:.4f}{left}")
