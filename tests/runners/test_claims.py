"""Who trains what, among processes that live and die."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

from runners import claims
from runners.claims import Claim, Claims, held, holders
from runners.store import Store

HOLDER = """
import sys, time
from runners.claims import held
from runners.store import Store
with held(Store(sys.argv[1]), ["a"]) as mine:
    print(mine.run_ids, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("stale", [False, True])
def test_of_many_at_once_one_gets_the_run(tmp_path, stale):
    if stale:
        elsewhere(Store(tmp_path), time.time() - claims.LEASE - 1)
    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(lambda _: Claims(Store(tmp_path)).take("a"), range(64)))
    assert sum(got) == 1


def test_a_claim_is_let_go_at_the_end(tmp_path):
    store = Store(tmp_path)
    with held(store, ["a", "b"]) as mine:
        assert mine.run_ids == ["a", "b"]
        mine.at("a", 3, 10)
        mine.renew()
        assert holders(store)["a"].pid == os.getpid()
        assert (holders(store)["a"].step, holders(store)["a"].steps) == (3, 10)
        assert not Claims(store).take("a")
    assert holders(store) == {}
    assert store.folder.names("claims") == []
    assert Claims(store).take("a")


def test_the_runs_of_a_killed_process_can_be_taken_at_once(tmp_path):
    store = Store(tmp_path)
    child = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline().strip() == "['a']"
    assert holders(store)["a"].pid == child.pid
    assert not Claims(store).take("a")
    child.send_signal(signal.SIGKILL)
    child.wait(timeout=30)
    assert holders(store) == {}
    mine = Claims(store)
    assert mine.take("a")
    assert store.folder.names("claims") == ["claims/a.2"]  # the dead one's is cleared away


def elsewhere(store, renewed):
    """A claim from a machine of which nothing is known but what it says."""
    claim = Claim("another/boot/namespace", "another", 1, 1, renewed)
    store.folder.write("claims/a.1", json.dumps(dataclasses.asdict(claim)).encode())


def test_another_machine_counts_as_dead_when_it_stops_renewing(tmp_path):
    store = Store(tmp_path)
    elsewhere(store, time.time() - claims.LEASE / 2)
    assert not Claims(store).take("a")
    assert holders(store)["a"].host == "another"
    elsewhere(store, time.time() - claims.LEASE - 1)
    assert holders(store) == {}
    assert Claims(store).take("a")


def test_a_process_id_that_is_used_again_is_not_the_holder(tmp_path):
    store = Store(tmp_path)
    impostor = Claim(claims.this_machine(), "here", os.getpid(), 12345, time.time())
    store.folder.write("claims/a.1", json.dumps(dataclasses.asdict(impostor)).encode())
    assert Claims(store).take("a") == (claims.born(os.getpid()) != 0)


def test_claims_are_renewed_while_they_are_held(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "BEAT", 0.05)
    store = Store(tmp_path)
    with held(store, ["a"]):
        first = holders(store)["a"].renewed
        deadline = time.monotonic() + 10
        while holders(store)["a"].renewed == first and time.monotonic() < deadline:
            time.sleep(0.02)
        assert holders(store)["a"].renewed > first


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": 1}'])
def test_a_damaged_claim_holds_nothing(tmp_path, content):
    store = Store(tmp_path)
    store.folder.write("claims/a.3", content)
    assert holders(store) == {}
    assert Claims(store).take("a")
