"""How much memory a service has, and had at most, as Linux counts its pages."""

from pathlib import Path

from kvwire.processes import RunningService

#: Written to clear_refs: the peak starts anew from what is resident (proc(5), since Linux 4.0).
_RESET_PEAK = "5"


def resident_bytes(service: RunningService) -> int:
    """Resident now.

    Raises:
        ProcessLookupError, FileNotFoundError: The process is ending, or has ended.
    """
    return _status_bytes(service, "VmRSS")


def peak_bytes(service: RunningService) -> int:
    """Resident at most since it started, or since :func:`reset_peak`."""
    return _status_bytes(service, "VmHWM")


def reset_peak(service: RunningService) -> None:
    """Forget the peak so far."""
    _proc(service, "clear_refs").write_text(_RESET_PEAK, encoding="ascii")


def _status_bytes(service: RunningService, name: str) -> int:
    lines = _proc(service, "status").read_text(encoding="utf-8").splitlines()
    for line in lines:
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    raise ProcessLookupError(f"{service.name} has given its memory back: its process is ending")


def _proc(service: RunningService, name: str) -> Path:
    return Path(f"/proc/{service.process.pid}/{name}")
