"""All the network that there is: every connection and every name is put to the outside."""

import contextlib
import fcntl
import json
import socket
import struct
import threading
from typing import Any

Json = dict[str, Any]
_SIOCSIFADDR, _SIOCSIFNETMASK = 0x8916, 0x891C
_NAME_SERVER = ("127.0.0.53", 53)
_CHUNK = 65536
_NO_SUCH_NAME = 3


class Network:
    """Programs reach what `outside` lets them reach: every connection and every name is put to it."""

    def __init__(self, outside: socket.socket) -> None:
        self._outside = outside
        self._lock = threading.Lock()
        self._listening: dict[tuple[str, int], socket.socket] = {}

    def prepare(self, addresses: list[str], ports: list[int]) -> None:
        """While we may: addresses of the loopback device, the name server's port and others below 1024."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
            for number, address in enumerate(addresses, 1):
                plain, _, length = address.partition("/")
                mask = (0xFFFFFFFF << (32 - int(length or 32))) & 0xFFFFFFFF
                for request, value in (
                    (_SIOCSIFADDR, socket.inet_aton(plain)),
                    (_SIOCSIFNETMASK, mask.to_bytes(4, "big")),
                ):
                    name = f"lo:{number}".encode()
                    fcntl.ioctl(device, request, struct.pack("16sH2s4s8s", name, socket.AF_INET, b"", value, b""))
        for port in ports:
            self._bind("0.0.0.0", port)
        names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        names.bind(_NAME_SERVER)
        self._names = names

    def begin(self) -> None:
        """Threads only now: a process that has any cannot change its user namespace."""
        threading.Thread(target=self._serve_names, daemon=True).start()
        for listener in self._listening.values():
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def listen(self, address: str, port: int) -> None:
        with self._lock:
            if (address, port) in self._listening or ("0.0.0.0", port) in self._listening:
                return
            try:
                listener = self._bind(address, port)
            except OSError:
                return  # a program of the sandbox has it
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _bind(self, address: str, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
        except OSError:
            listener.close()
            raise
        listener.listen()
        self._listening[address, port] = listener
        return listener

    def _ask(self, question: Json) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._outside, [json.dumps(question).encode()], [theirs.fileno()])
        return ours

    def _accept(self, listener: socket.socket) -> None:
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            outside = self._ask({"connect": connection.getsockname()})
            for pair in ((connection, outside), (outside, connection)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    def _serve_names(self) -> None:
        while True:
            query, client = self._names.recvfrom(4096)
            with contextlib.suppress(OSError, ValueError, IndexError, struct.error):
                self._names.sendto(self._answer(query), client)

    def _answer(self, query: bytes) -> bytes:
        """One question of RFC 1035: an address, nothing of that type, or no such name."""
        labels, at = [], 12
        while length := query[at]:
            labels.append(query[at + 1 : at + 1 + length].decode())
            at += 1 + length
        question = query[12 : at + 5]
        with self._ask({"name": ".".join(labels)}) as outside, outside.makefile("rb") as answer:
            found = json.loads(answer.readline())
        for port in found.get("ports", ()):
            self.listen(found["address"], port)
        is_address = "address" in found and struct.unpack("!H", query[at + 1 : at + 3]) == (1,)
        flags = 0x8180 | (0 if "address" in found else _NO_SUCH_NAME)
        header = query[:2] + struct.pack("!5H", flags, 1, int(is_address), 0, 0)
        if not is_address:
            return header + question
        record = struct.pack("!HHHIH", 0xC00C, 1, 1, 5, 4) + socket.inet_aton(found["address"])
        return header + question + record


def pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            target.sendall(data)
    for end, how in ((target, socket.SHUT_WR), (source, socket.SHUT_RD)):
        with contextlib.suppress(OSError):
            end.shutdown(how)
