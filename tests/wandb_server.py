# ruff: noqa: N802
"""A W&B service on the loopback interface: as much of it as `wandb sync` and saving a report ask for."""

import gzip
import json
import re
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "0" * 40


@dataclass
class Service:
    """What the service has been told.

    mode: "well", "error" (every answer is a 500), "silent" (no answer for a while), "locked" (the key is wrong) or "gone"
    (the connection is closed without an answer)
    """

    mode: str = "well"
    asked: list = field(default_factory=list)
    runs: dict = field(default_factory=dict)
    history: dict = field(default_factory=dict)
    files: dict = field(default_factory=dict)
    views: list = field(default_factory=list)
    artifacts: list = field(default_factory=list)
    projects: set = field(default_factory=set)
    url: str = ""
    released: threading.Event = field(default_factory=threading.Event)

    def answer(self, query, variables):
        name = (re.search(r"\b(?:query|mutation)\s+(\w+)", query) or [None, "?"])[1]
        self.asked.append(name)
        handler = getattr(self, f"_{name}", None)
        return handler(variables) if handler else _blank(query)

    def _Viewer(self, _):
        flags = {"flags": "{}"}
        return {
            "viewer": {"id": "u", "username": "me", "entity": "me", "teams": {"edges": []}, "admin": False, **flags}
        }

    def _UpsertBucket(self, v):
        run = {k: x for k, x in v.items() if x is not None}
        name = run.get("name") or run.get("id")
        self.runs.setdefault(name, {}).update(run)
        project = {"id": "p", "name": run.get("project", "p"), "entity": {"id": "e", "name": run.get("entity", "me")}}
        self.projects.add(project["name"])
        bucket = {
            "id": f"id-{name}",
            "name": name,
            "displayName": run.get("displayName", name),
            "description": "",
            "config": run.get("config", "{}"),
            "sweepName": None,
            "project": project,
            "historyLineCount": 0,
        }
        return {"upsertBucket": {"bucket": bucket, "inserted": True}}

    def _CreateRunFiles(self, v):
        urls = [
            {"name": f, "uploadUrl": f"{self.url}/upload/{v['run']}/{f}", "displayName": f, "id": f} for f in v["files"]
        ]
        return {"createRunFiles": {"runID": v["run"], "uploadHeaders": [], "files": urls}}

    def _CreateArtifact(self, v):
        # As if it were there already, so that its content is not asked for: a table's file is sent with the run as well.
        self.artifacts.append(v)
        sequence = {"id": "s", "name": "t", "latestArtifact": {"id": "a", "versionIndex": 0}}
        return {"createArtifact": {"artifact": {"id": "a", "state": "COMMITTED", "artifactSequence": sequence}}}

    def _ServerFeaturesQuery(self, _):
        return {"serverInfo": {"features": []}}

    def _ProjectInternalId(self, v):
        return {
            "project": {"id": "p", "internalId": "p", "name": v.get("projectName"), "entityName": v.get("entityName")}
        }

    def _GetProjects(self, v):
        nodes = [{"node": {"id": n, "name": n, "entityName": "me", "createdAt": "x", "isBenchmark": False}} for n in ()]
        return {"models": {"edges": nodes, "pageInfo": {"endCursor": None, "hasNextPage": False}}}

    def _CreateProject(self, v):
        name = v.get("project") or v.get("name")
        self.projects.add(name)
        return {
            "upsertModel": {
                "model": {"id": "p", "name": name, "entityName": "me"},
                "project": {"id": "p", "name": name},
            }
        }

    _UpsertModel = _CreateProject

    def _upsertView(self, v):
        self.views.append(v)
        project = {"id": "p", "name": v["projectName"], "entityName": v["entityName"]}
        keys = ("name", "displayName", "description", "type", "spec")
        view = {"id": "Vmlld==", "project": project, "updatedAt": None, **{k: v[k] for k in keys}}
        return {"upsertView": {"view": view, "inserted": True}}


def _blank(query):
    """null for every field that is asked for at the top."""
    body = query[query.index("{") + 1 :]
    depth, fields, word = 0, [], ""
    for char in body:
        if char in "{(":
            if depth == 0 and word.strip():
                fields.append(word.strip().split()[-1])
            depth, word = depth + 1, ""
        elif char in "})":
            depth, word = depth - 1, ""
        elif depth == 0:
            word += char
    return {name.rstrip(":"): None for name in fields}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: Service

    def log_message(self, *_):
        pass

    def _body(self):
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data

    def _reply(self, content, status=200):
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _refused(self):
        mode = self.service.mode
        if mode == "silent":
            self.service.released.wait(60)
        if mode == "error":
            self._reply({"errors": [{"message": "the service is broken"}]}, 500)
        if mode == "gone":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        if mode == "locked":
            self._reply({"errors": [{"message": "user is not logged in"}]}, 401)
        return mode != "well"

    def do_POST(self):
        body = self._body()
        if self._refused():
            return
        if self.path.endswith("/file_stream"):
            run, sent = self.path.split("/")[-2], json.loads(body)
            self.service.history.setdefault(run, []).append(sent)
            self._reply({"exitcode": None, "limits": {}})
        elif self.path == "/graphql":
            asked = json.loads(body)
            self._reply({"data": self.service.answer(asked["query"], asked.get("variables") or {})})
        else:
            self.service.asked.append(self.path)
            self._reply({})

    def do_PUT(self):
        body = self._body()
        if not self._refused():
            self.service.files[self.path.removeprefix("/upload/")] = body
            self._reply({})

    def do_GET(self):
        if not self._refused():
            self.service.asked.append(self.path)
            self._reply({})


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A client that hangs up is no news."""


@contextmanager
def serving(mode="well"):
    """A running service; WANDB_BASE_URL is its `url`."""
    service = Service(mode)
    handler = type("Handler", (_Handler,), {"service": service})
    server = _Server(("127.0.0.1", 0), handler)
    service.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        service.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


def rows(service, run):
    """The history rows that arrived for a run."""
    found = []
    for sent in service.history.get(run, []):
        found += [json.loads(row) for row in sent.get("files", {}).get("wandb-history.jsonl", {}).get("content", [])]
    return found


def wait(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
