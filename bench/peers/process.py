"""A peer's driver at work in a process of its own: jobs in, answers out, and an error whatever goes wrong there."""

import json
import os
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from kvwire.errors import UnavailableError

_EXCHANGE = Path(__file__).parent / "exchange.py"
#: A measurement reports nothing to anybody and fetches nothing.
_SILENT = {"LMCACHE_TRACK_USAGE": "false", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
_OURS = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}


@dataclass(frozen=True)
class Job:
    """One cache through one codec; ``budget_s`` of timing per direction, or none."""

    codec: str
    cache: Path
    decoded: Path
    budget_s: float | None


class PeerProcess:
    """``driver`` run by ``python`` for the model in a folder; a job that takes longer than ``limit_s`` is its last."""

    def __init__(self, python: Path, driver: Path, model: Path, threads: int, limit_s: float = 900) -> None:
        self._limit_s = limit_s
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  # closed in __exit__
        environment = {name: value for name, value in os.environ.items() if name not in _OURS}
        self._process = subprocess.Popen(  # noqa: S603  # our own arguments
            [str(python), str(_EXCHANGE), str(driver), str(model)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**environment, **_SILENT, "OMP_NUM_THREADS": str(threads)},
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def run(self, job: Job) -> dict[str, float]:
        """Bytes, and seconds of encoding, decoding and copying if they were asked for.

        Raises:
            UnavailableError: The peer failed, said nothing in time, or is gone.
        """
        watch = threading.Timer(self._limit_s, self._process.kill)
        watch.start()
        try:
            line = self._asked(json.dumps({**vars(job), "cache": str(job.cache), "decoded": str(job.decoded)}))
        finally:
            watch.cancel()
        if not line:
            raise UnavailableError(f"its process ended with {self._process.wait()}: {self._last_words()}")
        answer: dict[str, float] = json.loads(line)
        if "error" in answer:
            raise UnavailableError(str(answer["error"]))
        return answer

    def _asked(self, job: str) -> str:
        if self._process.stdin is None or self._process.stdout is None:
            return ""
        try:
            self._process.stdin.write(job + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return ""
        return self._process.stdout.readline()

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = [line.strip() for line in self._log if line.strip()]
        return lines[-1] if lines else "it said nothing"
