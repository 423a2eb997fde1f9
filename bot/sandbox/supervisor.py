"""Runs inside a sandbox: forwards loopback ports to Unix sockets and runs one program as its child.

`python3 -I -S supervisor.py [--lifeline FD:INODE] [--forward PORT:SOCKET]... -- PROGRAM ARGUMENT...`

Exits with the program's status, 128 + n for a signal; 127 when the program cannot be started. The lifeline is a
pipe that the worker holds: at its end everything in this PID namespace is killed, unless INODE names the
namespace that this process is in, because then it was not contained. Standard library only, and little of it:
each millisecond here is paid by every command.
"""

import os
import signal
import socket
import sys
from _thread import start_new_thread
from types import FrameType

_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
# By Python the first two, by a shell that starts us in the background SIGINT and the third; programs inherit it.
_OFTEN_IGNORED = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGQUIT)
_CHUNK_BYTES = 64 * 1024
_BACKLOG = 128


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while chunk := source.recv(_CHUNK_BYTES):
            target.sendall(chunk)
    except OSError:
        pass  # one side went away; the other is told below
    try:  # noqa: SIM105 - contextlib would lengthen the start-up
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # it went away as well


def _bridge(client: socket.socket, path: str) -> None:
    with client, socket.socket(socket.AF_UNIX) as server:
        try:
            server.connect(path)
        except OSError as error:
            sys.stderr.write(f"supervisor: {path}: {error.strerror}\n")
            return
        done = socket.socketpair()

        def back() -> None:
            with done[1]:
                _pump(server, client)

        start_new_thread(back, ())
        _pump(client, server)
        with done[0]:
            done[0].recv(1)  # its end says that the way back is finished


def _accept(listener: socket.socket, path: str) -> None:
    while True:
        client, _ = listener.accept()
        start_new_thread(_bridge, (client, path))


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(_BACKLOG)
    return listener


def _watch(lifeline: int, host_namespace: int, child: int) -> None:
    os.read(lifeline, 1)
    if os.stat("/proc/self/ns/pid").st_ino != host_namespace:  # noqa: PTH116 - pathlib would double the start-up
        os.kill(-1, signal.SIGKILL)
    else:
        os.kill(child, signal.SIGKILL)


def _start(argv: list[str]) -> int:
    # Until there is somebody to pass them on: the program may be ready before we are.
    signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
    child = os.fork()
    if child:
        return child
    for number in (*_OFTEN_IGNORED, *_PASSED_ON):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - the program is what this file is for
    except OSError as error:
        sys.stderr.write(f"supervisor: {argv[0]}: {error.strerror}\n")
        sys.stderr.flush()
    os._exit(127)


def main(arguments: list[str]) -> int:
    """The status of the program."""
    lifeline: tuple[int, int] | None = None
    forwards: list[tuple[socket.socket, str]] = []
    while arguments[0] != "--":
        option, value = arguments[:2]
        left, _, right = value.partition(":")
        if option == "--lifeline":
            lifeline = (int(left), int(right))
            os.set_inheritable(lifeline[0], False)  # noqa: FBT003 - its only argument
        elif option == "--forward":
            forwards.append((_listen(int(left)), right))
        else:
            raise SystemExit(f"supervisor: unknown option {option}")
        arguments = arguments[2:]

    child = _start(arguments[1:])

    def pass_on(number: int, _frame: FrameType | None) -> None:
        os.kill(child, number)

    for number in _PASSED_ON:
        signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
    for listener, path in forwards:
        start_new_thread(_accept, (listener, path))
    if lifeline:
        start_new_thread(_watch, (*lifeline, child))
    while True:
        reaped, status = os.wait()
        if reaped == child:
            code = os.waitstatus_to_exitcode(status)
            return 128 - code if code < 0 else code


if __name__ == "__main__":
    # Threads that still wait in a system call must not hold up the end.
    code = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(code)
