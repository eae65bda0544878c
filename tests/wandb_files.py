"""Reader of offline W&B runs, written from the format's description: a leveldb-style log of protobuf records.

A file is a 7-byte header (":W&B", a magic number, a version) and blocks of 32 KiB. A record is a 7-byte header, crc32 of type
and data, length, type, and the data; types 1 to 4 are full, first, middle and last part of a record.
"""

import json
import struct
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from wandb.proto.wandb_internal_pb2 import Record

BLOCK = 32 * 1024
HEADER = 7


def records(path):
    data = path.read_bytes()
    assert data[:4] == b":W&B", data[:7]
    at, parts = HEADER, b""
    while at + HEADER <= len(data):
        room = BLOCK - at % BLOCK
        if room < HEADER:
            at += room
            continue
        checksum, length, kind = struct.unpack("<IHB", data[at : at + HEADER])
        body = data[at + HEADER : at + HEADER + length]
        if kind == 0 and length == 0:
            break
        if len(body) < length:
            return  # not written to the end yet
        assert zlib.crc32(bytes([kind]) + body) == checksum
        at += HEADER + length
        parts = body if kind in (1, 2) else parts + body
        if kind in (1, 4):
            record = Record()
            record.ParseFromString(parts)
            yield record


@dataclass
class OfflineRun:
    """What is in one offline run."""

    folder: Path
    config: dict = field(default_factory=dict)
    history: list = field(default_factory=list)
    summary: dict = field(default_factory=dict)
    group: str = ""
    job_type: str = ""
    name: str = ""
    finished: bool = False

    def curve(self, key):
        """{global step: value} of one scalar."""
        return {row["trainer/global_step"]: row[key] for row in self.history if isinstance(row.get(key), (int, float))}

    def media(self, key):
        """The last object logged under ``key``, with the path of its file."""
        value = [row[key] for row in self.history if key in row][-1]
        path = value.get("path") or (value.get("filenames") or [None])[0]
        return value, (self.folder / "files" / path if path else None)


def _nested(items):
    row = {}
    for item in items:
        first, *rest = list(item.nested_key) or [item.key]
        if rest:
            row.setdefault(first, {})[".".join(rest)] = json.loads(item.value_json)
        else:
            row[first] = json.loads(item.value_json)
    return row


def read(folder):
    """The offline run in ``wandb/offline-run-...``."""
    (path,) = folder.glob("*.wandb")
    run = OfflineRun(folder)
    for record in records(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run.group, run.job_type, run.name = record.run.run_group, record.run.job_type, record.run.display_name
            run.config |= {u.key: json.loads(u.value_json) for u in record.run.config.update}
        elif kind == "config":
            run.config |= {(u.key or u.nested_key[0]): json.loads(u.value_json) for u in record.config.update}
        elif kind == "history":
            run.history.append(_nested(record.history.item))
        elif kind == "summary":
            run.summary |= _nested(record.summary.update)
        elif kind == "exit":
            run.finished = True
    return run


def offline_runs(folder, seconds=30.0):
    """All offline runs in ``folder``; the service writes the end of a file a moment after ``finish`` has returned."""
    end = time.monotonic() + seconds
    while True:
        runs = [read(path) for path in sorted(Path(folder).glob("wandb/offline-run-*"))]
        if all(run.finished for run in runs) or time.monotonic() > end:
            return runs
        time.sleep(0.1)
