"""Gets a layer's keys and values to the host while the device goes on with the next layer."""

from typing import Protocol

import torch
from torch import Tensor

#: Index, keys, values, and the attention its tokens drew if that was observed.
Layer = tuple[int, Tensor, Tensor, Tensor | None]


class HostCopy(Protocol):
    """Takes layers as they are computed and gives back those that have reached the host, in order."""

    def push(self, layer: Layer) -> list[Layer]:
        """Start copying a layer; return the layers that are ready."""
        ...

    def flush(self) -> list[Layer]:
        """Wait for what is still on its way."""
        ...


class CpuHostCopy:
    """On the CPU every layer is on the host already."""

    def push(self, layer: Layer) -> list[Layer]:
        """Return the layer at once."""
        return [layer]

    def flush(self) -> list[Layer]:
        """Return nothing: nothing waits."""
        return []


class CudaHostCopy:
    """Copies on a side stream into pinned memory; layer l is encoded while layer l+1 computes."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._pending: tuple[Layer, torch.cuda.Event] | None = None

    def push(self, layer: Layer) -> list[Layer]:
        """Queue a copy behind the layer's computation; return the layer before."""
        index, keys, values, attention = layer
        computed = torch.cuda.Event()
        computed.record(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            self._stream.wait_event(computed)
            seen = None if attention is None else self._to_host(attention)
            copied = (index, self._to_host(keys), self._to_host(values), seen)
            done = torch.cuda.Event()
            done.record(self._stream)
        ready = self.flush()
        self._pending = (copied, done)
        return ready

    def flush(self) -> list[Layer]:
        """Wait for the copy on its way, if any, and return its layer."""
        if self._pending is None:
            return []
        layer, done = self._pending
        self._pending = None
        done.synchronize()
        return [layer]

    def _to_host(self, tensor: Tensor) -> Tensor:
        tensor.record_stream(self._stream)
        pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        return pinned.copy_(tensor, non_blocking=True)


def host_copy(device: torch.device) -> HostCopy:
    """The copier for a device."""
    return CudaHostCopy(device) if device.type == "cuda" else CpuHostCopy()
