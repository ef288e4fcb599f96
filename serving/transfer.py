"""What a worker of the engine does in a step: fills blocks before the model reads them, and keeps what it wrote."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial

from torch import Tensor

from kvwire.errors import DataLossError, LocalError, NotFoundError
from serving.exchange import Exchange
from serving.frames import Frames
from serving.paged import PagedLayer, slots_of
from serving.planning import Transfer

_log = logging.getLogger(__name__)


class Worker:
    """The half that has the tensors."""

    def __init__(self, exchange: Exchange, frames: Frames, layers: Mapping[str, PagedLayer], block_size: int) -> None:
        """``layers``: by the engine's names, first to last. ``block_size``: of the scheduler's blocks.

        A layer's own blocks may be smaller, several of them to one of the scheduler's.
        """
        self._exchange = exchange
        self._frames = frames
        self._layers = layers
        self._indices = {name: index for index, name in enumerate(layers)}
        self._block_size = block_size
        self._failed = set[int]()

    def load(self, transfers: Sequence[Transfer]) -> None:
        """Fill the blocks of all transfers. Whose frames are damaged or gone is named by :meth:`failed`."""
        for transfer in transfers:
            try:
                self._exchange.load(
                    partial(self._frames.get, transfer.key),
                    transfer.framed,
                    transfer.first,
                    tuple(self._layers.values()),
                    self._slots(transfer),
                )
            except (DataLossError, NotFoundError) as error:
                _log.warning("a prefix of %d tokens is computed, not loaded: %s", transfer.end, error)
                size = self._block_size
                self._failed.update(transfer.blocks[transfer.first // size : -(-transfer.end // size)])

    def save(self, name: str, transfers: Sequence[Transfer]) -> None:
        """Keep the frames of one layer, which the model has just written."""
        for transfer in transfers:
            frame = self._exchange.save(self._indices[name], self._layers[name], self._slots(transfer))
            try:
                self._frames.put(transfer.key, self._indices[name], frame)
            except LocalError as error:
                _log.warning("a prefix of %d tokens is not kept: %s", transfer.end, error)

    def failed(self) -> set[int]:
        """Blocks whose load failed since this was last asked."""
        failed, self._failed = self._failed, set()
        return failed

    def _slots(self, transfer: Transfer) -> Tensor:
        return slots_of(transfer.blocks, self._block_size, transfer.first, transfer.end)
