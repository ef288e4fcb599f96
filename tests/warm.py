"""Services of tests are forked from a process that has imported what every service needs: two thirds of its start.

Each is a process of its own all the same, with its own arguments, environment, working directory and pipes, and ends
as it would have. What is settled before Python runs, such as the heap's settings, is that of the process it comes from.
"""

import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import IO

_NEEDED = [
    "sharer_service.server",
    "receiver_service.server",
    "kvwire.models.load",
    *(f"transformers.models.{family}.modeling_{family}" for family in ("llama", "gemma3", "qwen2")),
]
_SETTLED_EARLY = ("GOMP_", "LD_", "MALLOC_", "OMP_", "PYTHON")


class Parent:
    """The process that services are forked from; it starts with the first of them."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._door, inner = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, __file__, str(inner.fileno())]
        self._settled = _settled(environment)
        self._process = subprocess.Popen(command, pass_fds=[inner.fileno()], env=environment)
        inner.close()

    def fits(self, environment: Mapping[str, str]) -> bool:
        """Whether a service of this environment may come from here."""
        return _settled(environment) == self._settled

    def fork(self, module: str, arguments: Sequence[str], environment: Mapping[str, str], stderr: int) -> "Forked":
        """``python -m module``, with pipes for input and output."""
        asked = {"module": module, "argv": list(arguments), "env": dict(environment), "cwd": str(Path.cwd())}
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        (child_in, stdin), (stdout, child_out) = os.pipe(), os.pipe()
        socket.send_fds(self._door, [json.dumps(asked).encode()], [theirs.fileno(), child_in, child_out, stderr])
        theirs.close()
        os.close(child_in)
        os.close(child_out)
        return Forked(ours, os.fdopen(stdin, "w"), os.fdopen(stdout))

    def close(self) -> None:
        """End it; what it forked stays."""
        self._door.close()
        self._process.wait()


class Forked:
    """A forked service; so much of ``subprocess.Popen`` as is asked of one."""

    def __init__(self, shepherd: socket.socket, stdin: IO[str], stdout: IO[str]) -> None:
        self.stdin, self.stdout = stdin, stdout
        self.returncode: int | None = None
        self._shepherd = shepherd
        self.pid = int(shepherd.recv(20))

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._shepherd], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            self.returncode = int(self._shepherd.recv(20))
            self._shepherd.close()
        return self.returncode

    def poll(self) -> int | None:
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _settled(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_SETTLED_EARLY)}


def _serve(door: socket.socket) -> None:
    for name in _NEEDED:
        import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the shepherds
    while True:
        data, fds, _, _ = socket.recv_fds(door, 1 << 20, 4)
        if not data:
            return
        if os.fork() == 0:
            door.close()
            _shepherd(json.loads(data), *fds)
            return
        for fd in fds:
            os.close(fd)


def _shepherd(asked: dict, connection: int, *standard: int) -> None:
    """Fork the service, tell its number, and how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        os.close(connection)
        _become(asked, standard)
    for fd in standard:
        os.close(fd)
    with socket.socket(fileno=connection) as told:
        told.send(str(pid).encode())
        _, status = os.waitpid(pid, 0)
        told.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(asked: dict, standard: Sequence[int]) -> None:
    os.setsid()
    for target, fd in enumerate(standard):
        os.dup2(fd, target)
        os.close(fd)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.argv = [asked["module"], *asked["argv"]]
    runpy.run_module(asked["module"], run_name="__main__", alter_sys=True)
    sys.exit(0)


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])
    _serve(socket.socket(fileno=int(sys.argv[1])))
