"""Files, as the sandbox's user may read and write them."""

# Files by os.path: importing pathlib takes longer than all the rest of a start.
# ruff: noqa: PTH103, PTH106, PTH108, PTH112, PTH114, PTH116, PTH118, PTH119, PTH120, PTH123

import json
import os
import socket
import stat
from typing import Any, BinaryIO

Json = dict[str, Any]
_CHUNK = 65536


def described(path: str) -> Json:
    try:
        status = os.stat(path)
    except OSError as error:
        return refusal(error)
    kind = "folder" if stat.S_ISDIR(status.st_mode) else "file"
    facts = {"kind": kind, "size": status.st_size, "mode": status.st_mode, "seconds": status.st_mtime}
    return {**facts, "name": os.path.basename(path), "path": path}


def refusal(error: OSError) -> Json:
    kinds = {FileNotFoundError: "missing", NotADirectoryError: "missing", PermissionError: "denied"}
    return {"error": kinds.get(type(error), "failed"), "words": f"{error.strerror}: {error.filename}"}


def delete(path: str, *, recursive: bool) -> Json:
    try:
        if not os.path.isdir(path) or os.path.islink(path):
            os.unlink(path)
            return {}
        if not recursive:
            return {"error": "folder", "words": "cannot delete directory without recursive flag"}
        for folder, folders, files in os.walk(path, topdown=False):
            for name in files:
                os.unlink(os.path.join(folder, name))
            for name in folders:
                inner = os.path.join(folder, name)
                (os.unlink if os.path.islink(inner) else os.rmdir)(inner)
        os.rmdir(path)
    except OSError as error:
        return refusal(error)
    return {}


def write(path: str, size: int, source: BinaryIO) -> Json:
    failure: Json = {}
    target: BinaryIO | None = None
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        target = open(path, "wb")  # noqa: SIM115 - what was sent is read to its end also when this fails
    except OSError as error:
        failure = refusal(error)
    left = size
    while left and (part := source.read(min(left, _CHUNK))):
        left -= len(part)
        if target:
            target.write(part)
    if target:
        target.close()
    return failure or {"bytes": size}


def make_folder(path: str, mode: int) -> Json:
    try:
        os.makedirs(path, mode=mode, exist_ok=True)
    except OSError as error:
        return refusal(error)
    return {}


def send_file(connection: socket.socket, source: BinaryIO, path: str) -> None:
    """Says what it is, is told which bytes of it, and sends them, all of one opening."""
    answer = described(path)
    opened: BinaryIO | None = None
    if answer.get("kind") == "file":
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            opened = open(descriptor, "rb", buffering=0)  # noqa: SIM115 - closed below
        except OSError as error:
            answer = refusal(error)
        else:
            answer["size"] = os.fstat(descriptor).st_size
    connection.sendall(json.dumps(answer).encode() + b"\n")
    if opened:
        with opened:
            if asked := source.readline():
                order = json.loads(asked)
                opened.seek(order["offset"])
                left = order["length"]
                while left and (part := opened.read(min(left, _CHUNK))):
                    left -= len(part)
                    connection.sendall(part)
