"""Where each run of a store or a plan stands, and what changed since runs were trained."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from runners.claims import holders
from runners.store import Contents, Store

__all__ = ["State", "changed", "changes", "states"]

State = Literal["finished", "diverged", "failed", "running", "interrupted", "planned"]


def states(store: Store, run_ids: Iterable[str] = (), contents: Contents | None = None) -> dict[str, State]:
    """The state of every run that the store knows of, and of these.

    Parameters
    ----------
    store : Store
    run_ids : iterable of str
        Further runs, which are ``planned`` where the store knows nothing of them.
    contents : Contents, optional
        The store's records, where they were read already.

    Returns
    -------
    dict of str to str
        ``finished``, ``diverged`` and ``failed`` are those of the record; ``running`` is held by a process that lives
        (also a failed run that is tried again); ``interrupted`` has a checkpoint, and nobody is at work on it.
    """
    found: dict[str, State] = dict.fromkeys(run_ids, "planned")
    for name in store.folder.names("checkpoints"):
        found[name.removeprefix("checkpoints/").removesuffix(".pt")] = "interrupted"
    for run_id, record in (contents or store.contents()).records.items():
        if record["status"] != "failed" or found.get(run_id) != "interrupted":
            found[run_id] = record["status"]
    for run_id in holders(store):
        if found.get(run_id) not in ("finished", "diverged"):
            found[run_id] = "running"
    return found


def changed(records: Mapping[str, dict[str, Any]], code: str) -> set[str]:
    """Runs that other code trained, or on other data than most with the same corpus."""
    usual = {}
    for corpus, shas in _corpora(records).items():
        usual[corpus] = shas.most_common(1)[0][0]
    return {
        run_id
        for run_id, record in records.items()
        if record["status"] in ("finished", "diverged")
        and (record.get("code") != code or _sha(record) != usual[_corpus(record)])
    }


def changes(records: Mapping[str, dict[str, Any]], code: str) -> list[str]:
    """Sentences on what is not the same for all runs of a store: code, and data under one name.

    Parameters
    ----------
    records : mapping of str to dict
        Records by run id.
    code : str
        The fingerprint of the code in use.
    """
    done = {run_id: record for run_id, record in records.items() if record["status"] in ("finished", "diverged")}
    said = []
    if other := [record for record in done.values() if record.get("code") != code]:
        known = Counter(_version(record) for record in other)
        versions = ", ".join(f"{count} by {version}" for version, count in known.most_common(3))
        said.append(f"{len(other)} of {len(done)} runs were trained by other code than is installed now: {versions}.")
    for corpus, shas in _corpora(done).items():
        if len(shas) > 1:
            parts = ", ".join(f"{count} on {sha[:8]}" for sha, count in shas.most_common(3))
            name = json.loads(corpus)[0]
            said.append(f"the corpus {name!r} was not the same for all runs: {parts} (SHA-256).")
    return said


def _version(record: dict[str, Any]) -> str:
    version = record.get("versions", {}).get("bayes-scaling", "an unknown version")
    return f"{version} (code {record['code']})" if record.get("code") else f"{version}, which noted no code"


def _corpora(records: Mapping[str, dict[str, Any]]) -> dict[str, Counter[str]]:
    shas: dict[str, Counter[str]] = {}
    for record in records.values():
        if record["status"] in ("finished", "diverged"):
            shas.setdefault(_corpus(record), Counter())[_sha(record)] += 1
    return shas


def _corpus(record: dict[str, Any]) -> str:
    """What names the data of a run: the knobs that it is made of."""
    config = record.get("config", {})
    knobs = ("suffix", "tokenizer", "column", "limit", "task", "image_size")
    mixture = [corpus for corpus, _ in config.get("mixture") or ()]  # whatever their weights
    return json.dumps([" + ".join(mixture) or config.get("corpus"), *(config.get(name) for name in knobs)])


def _sha(record: dict[str, Any]) -> str:
    return str(record.get("data", {}).get("sha256", ""))
