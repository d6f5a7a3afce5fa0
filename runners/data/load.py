"""The one door to training data: a modality and a corpus in, batches out."""

from bayes_scaling.runs import InputError
from runners.data.batches import Batches
from runners.mixtures import Mixture

__all__ = ["MODALITIES", "load_batches"]

MODALITIES = ("language", "vision")
SMALLEST_IMAGE = 8


def load_batches(
    modality: str,
    corpus: str | None,
    *,
    batch_size: int,
    seed: int,
    context: int = 64,
    suffix: str = ".py",
    tokenizer: str = "bytes",
    column: str | None = None,
    limit: int = 0,
    image_size: int = 32,
    task: str | None = None,
    flips: bool = False,
    mixture: Mixture | None = None,
    unique_data: int = 0,
) -> Batches:
    """Open a corpus, or take it from the cache, and order it for a run.

    Parameters
    ----------
    modality : str
        ``language`` or ``vision``.
    corpus : str
        Text: ``stdlib``, or a part of it, ``stdlib:PATTERNS``; folders or Parquet files, separated by commas;
        ``package:NAME`` or ``package:NAME/PATTERNS`` for files of an installed package; ``hf:NAME`` or
        ``hf:NAME:CONFIGURATION`` for a Hugging Face data set; None with a mixture. Images: a folder; ``hf:NAME``;
        ``photographs``, or ``photographs:FOLDER`` for one's own.
    batch_size : int
        Windows or examples per step.
    seed : int
        Of the order, and of the flips.
    context : int
        Text: tokens predicted per window.
    suffix : str
        Text: ending of the files to read from folders.
    tokenizer : str
        Text: ``bytes``, or the path of a tokenizer's JSON file.
    column : str, optional
        Of the text (by default ``text``) or of the label (by default the one that the data set says holds classes),
        where there are columns.
    limit : int
        Most tokens or pictures to take; 0 means all.
    image_size : int
        Images: height and width in pixels.
    task : str, optional
        Images: ``labels``, ``hidden`` or ``rotation``; by default labels, and ``hidden`` for photographs, which have
        none.
    flips : bool
        Images: mirror each training image with probability one half.
    mixture : Mixture, optional
        Text: several corpora and their weights (`runners.mixtures.mixture_of`); `suffix`, `column`, `tokenizer` and
        `limit` are those of each.
    unique_data : int
        Text: most training tokens to draw on, the first ones of the corpus; 0 means all. Unlike `limit` it leaves the
        held-out text alone.

    Returns
    -------
    Batches
        Batches by step, and the held-out data.

    Raises
    ------
    InputError
        If the corpus cannot be had or is too small, or a name is unknown.
    """
    for name, value, least in (("limit", limit, 0), ("image_size", image_size, SMALLEST_IMAGE)):
        if value < least:
            raise InputError(f"{name} is {value!r}; a whole number of at least {least} is needed")
    if modality == "language":
        from runners.data.text.corpus import load_corpus
        from runners.data.text.mixture import TextMixture
        from runners.data.text.windows import TextBatches

        names = [str(corpus)] if mixture is None else [name for name, _ in mixture]
        texts = [load_corpus(name, suffix, column=column or "text", tokenizer=tokenizer, limit=limit) for name in names]
        if mixture is not None:
            return TextMixture(mixture, texts, context, batch_size, seed)
        return TextBatches(texts[0], context, batch_size, seed, unique_data)
    if modality == "vision":
        from runners.data.images.corpus import load_images
        from runners.data.images.examples import ImageBatches

        images = load_images(str(corpus), image_size, task=task, column=column, limit=limit)
        return ImageBatches(images, batch_size, seed, flips)
    raise InputError(f"modality is {modality!r}; allowed are {', '.join(map(repr, MODALITIES))}")
