"""The first process inside an emulated sandbox: runs commands, keeps files, and is all the network that there is.

The control plane outside sends it one socket per request over a socket that it inherits; it sends out one socket per
connection that a program makes, and per name that a program looks up. Everything dies with it.
"""

# Files by os.path: importing pathlib takes longer than all the rest of a start.
# ruff: noqa: PTH118, PTH208

import contextlib
import ctypes
import json
import os
import signal
import socket
import struct
import sys
import threading
from typing import Any

from . import files
from .network import Network
from .processes import Processes, execute
from .sessions import Sessions

Json = dict[str, Any]
_UID = 1000
_CLONE_NEWUSER = 0x10000000
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_CAPABILITY_VERSION_3 = 0x20080522
_libc = ctypes.CDLL(None, use_errno=True)


def become_agent() -> None:
    """The user of the sandbox, whose programs inherit no capability; we keep ours, unused, so that they do not
    reach into us: https://man7.org/linux/man-pages/man2/ptrace.2.html, "Ptrace access mode checking"."""
    if _libc.unshare(_CLONE_NEWUSER):
        raise OSError(ctypes.get_errno(), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{_UID} 0 1"), ("gid_map", f"{_UID} 0 1")):
        descriptor = os.open(f"/proc/self/{name}", os.O_WRONLY)
        os.write(descriptor, text.encode())
        os.close(descriptor)
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    everything = 0xFFFFFFFF
    # Effective, permitted and inheritable, the lower 32 of each, then the upper ones.
    if _libc.capset(header, struct.pack("6I", 0, everything, 0, 0, 0x1FF, 0)):
        raise OSError(ctypes.get_errno(), "capset")
    _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)


def serve(connection: socket.socket, processes: Processes, sessions: Sessions, network: Network, folder: str) -> None:
    with connection, connection.makefile("rb") as source, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        order = json.loads(source.readline())
        path = os.path.normpath(os.path.join(folder, order.get("path", "")))
        body = b""
        match order["do"]:
            case "execute":
                code, body = execute(processes, order)
                answer: Json = {"code": code, "bytes": len(body)}
            case "describe":
                answer = files.described(path)
            case "list":
                answer = files.described(path)
                if answer.get("kind") == "folder":
                    answer = {
                        "entries": [files.described(os.path.join(path, name)) for name in sorted(os.listdir(path))]
                    }
            case "folder":
                answer = files.make_folder(path, order["mode"])
            case "delete":
                answer = files.delete(path, recursive=order["recursive"])
            case "write":
                answer = files.write(path, order["size"], source)
            case "session-create":
                answer = sessions.create(order["session"])
            case "session-run":
                answer = sessions.run(order["session"], order["number"], order["command"], wait=order["wait"])
            case "session-delete":
                answer = sessions.delete(order["session"])
            case "listen":
                for address, port in order["at"]:
                    network.listen(address, port)
                answer = {}
            case "read":
                files.send_file(connection, source, path)
                return
            case other:
                raise ValueError(other)
        connection.sendall(json.dumps(answer).encode() + b"\n" + body)


def receive(control: socket.socket) -> socket.socket | None:
    """The next request's socket; None when the control plane is gone."""
    message, descriptors, _, _ = socket.recv_fds(control, 16, 1)
    return socket.socket(fileno=descriptors[0]) if message and descriptors else None


def main() -> None:
    control, outside = (socket.socket(fileno=int(word)) for word in sys.argv[1:3])
    for inherited in (control, outside):
        inherited.set_inheritable(False)
    order = json.loads(control.recv(1 << 20))
    network = Network(outside)
    network.prepare(order["addresses"], order["ports"])
    become_agent()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    processes = Processes(order["environment"], order["folder"])
    sessions = Sessions(processes, order["environment"]["HOME"])
    threading.Thread(target=processes.collect, daemon=True).start()
    network.begin()
    for address, port in order["listen"]:
        network.listen(address, port)
    outside.send(b"ready")
    while connection := receive(control):
        arguments = (connection, processes, sessions, network, order["folder"])
        threading.Thread(target=serve, args=arguments, daemon=True).start()
    os._exit(0)  # and the kernel ends all the others
