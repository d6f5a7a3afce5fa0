"""A server on this machine that answers what W&B's client asks about the runs of a project."""

import json
import re
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

RUNS = {
    "r1": {"displayName": "one", "state": "finished", "points": [4.0, 2.0, 3.0]},
    "r2": {"displayName": "two", "state": "finished", "points": [4.0, "NaN"]},
    "r3": {"displayName": "three", "state": "crashed", "points": [4.0]},
}
CONFIG = {"model": {"value": {"n": 1e6}}, "sparsity": {"value": 0.5}, "tokens": {"value": 1e9}}


def node(run_id, full):
    """A run as the client's fragments ask for it."""
    run = RUNS[run_id]
    light = {
        "id": run_id, "name": run_id, "displayName": run["displayName"], "state": run["state"], "projectId": "1",
        "tags": [], "sweepName": None, "group": "sweep", "jobType": "", "commit": None, "readOnly": False,
        "createdAt": "2026-01-01T00:00:00", "heartbeatAt": "2026-01-01T00:00:00", "description": "", "notes": "",
        "historyLineCount": len(run["points"]), "user": {"name": "u", "username": "u"},
    }  # fmt: skip
    summary = {"eval/loss": run["points"][-1], "_wandb": {"runtime": 1}}
    more = {"config": json.dumps(CONFIG), "summaryMetrics": json.dumps(summary), "systemMetrics": "{}"}
    return light | (more | {"historyKeys": {"lastStep": len(run["points"]) - 1}} if full else {})


def answer(operation, variables):
    run_id = variables.get("name") or variables.get("run") or variables.get("runName")
    match operation:
        case "Runs":
            edges = [{"node": node(run, full=False), "cursor": run} for run in RUNS]
            page = {"endCursor": "r3", "hasNextPage": False}
            project = {"internalId": "1", "runCount": len(RUNS), "readOnly": False}
            return {"project": project | {"runs": {"edges": edges, "pageInfo": page}}}
        case "Run" | "RunHistoryKeys":
            return {"project": {"run": node(run_id, full=True)}}
        case "RunParquetHistory":
            return {"project": {"run": {"parquetHistory": {"parquetUrls": [], "liveData": [{"_step": 0}]}}}}
        case "SampledHistoryPage":
            spec = json.loads(variables["spec"])
            rows = [{"_step": step, "eval/loss": point} for step, point in enumerate(RUNS[run_id]["points"])]
            rows = [row for row in rows if spec["minStep"] <= row["_step"] <= spec["maxStep"]]
            return {"project": {"run": {"sampledHistory": [rows]}}}
        case _:
            return {"viewer": {"id": "1", "username": "u", "entity": "team", "flags": "{}", "teams": {"edges": []}}}


@pytest.fixture
def loopback():
    """The server: its address, and what it was asked by operation."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            operation = re.search(r"query (\w+)", asked["query"])[1]
            server.asked[operation].append(asked.get("variables"))
            content = json.dumps({"data": answer(operation, asked.get("variables") or {})}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.asked = defaultdict(list)
    server.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()
