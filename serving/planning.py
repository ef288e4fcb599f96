"""What is loaded and saved in a step of the engine: the half beside its scheduler, which sees tokens and no tensors."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from serving.frames import Frames, prefix_keys


@dataclass(frozen=True)
class Prompt:
    """A request as far as its cache goes. ``owner``: whose caches it may share; empty for everybody's."""

    request_id: str
    tokens: tuple[int, ...]
    owner: str = ""


@dataclass(frozen=True)
class Transfer:
    """Tokens ``first`` to ``end`` of a request that has these blocks; its frames are of its first ``framed`` tokens."""

    key: str
    framed: int
    first: int
    end: int
    blocks: tuple[int, ...] = ()


@dataclass(frozen=True)
class Step:
    """What the workers do in one step."""

    loads: tuple[Transfer, ...] = ()
    saves: tuple[Transfer, ...] = ()


@dataclass(frozen=True)
class Scheduled:
    """A request in a step: the blocks it got, all or (not ``anew``) more, and its tokens computed by the step's end."""

    request_id: str
    blocks: Sequence[int]
    anew: bool
    computed: int


@dataclass(frozen=True)
class Kept:
    """Of which model frames are, by the seed of their keys, and which of its layers are needed."""

    seed: str
    layers: tuple[int, ...]


class Planner:
    """Finds held prefixes, and remembers what is to be loaded, and what saved once its tokens are computed."""

    def __init__(self, frames: Frames, loaded: Kept, saved: Kept | None, block_size: int) -> None:
        """``saved``: None where nothing is, because what the engine holds may not be its model's own."""
        self._frames = frames
        self._loaded = loaded
        self._saved = saved
        self._block_size = block_size
        self._found: dict[str, Transfer] = {}
        self._loads: dict[str, Transfer] = {}
        self._saves: dict[str, Transfer] = {}

    def held(self, prompt: Prompt, computed: int) -> int:
        """Tokens beyond those computed, up to the end of the longest prefix whose frames are there.

        At least one token of the prompt is left for the engine to read.
        """
        keys = self._keys(self._loaded, prompt)
        for blocks in range(len(keys), computed // self._block_size, -1):
            if self._frames.holds(keys[blocks - 1], self._loaded.layers):
                end = blocks * self._block_size
                self._found[prompt.request_id] = Transfer(keys[blocks - 1], end, computed, end)
                return end - computed
        return 0

    def begins(self, prompt: Prompt, loaded: int) -> None:
        """A request was let in: so many of its tokens that were held are loaded, the engine computes the others.

        A prefix that nobody holds yet is saved once it is computed.
        """
        found = self._found.pop(prompt.request_id, None)
        if found and loaded:
            self._loads[prompt.request_id] = replace(found, end=found.first + loaded)
        if self._saved is None:
            return
        keys = self._keys(self._saved, prompt)
        if keys and not self._frames.holds(keys[-1], self._saved.layers):
            end = len(keys) * self._block_size
            self._saves[prompt.request_id] = Transfer(keys[-1], end, 0, end)

    def ends(self, request_ids: Iterable[str]) -> None:
        """Requests that ended, however: nothing more is done for them."""
        for request_id in request_ids:
            for plan in (self._found, self._loads, self._saves):
                plan.pop(request_id, None)

    def step(self, scheduled: Iterable[Scheduled]) -> Step:
        """What is to be done in the step that computes these."""
        loads, saves = [], []
        for each in scheduled:
            if load := self._loads.pop(each.request_id, None):
                loads.append(replace(load, blocks=tuple(each.blocks)))
            if save := self._saves.pop(each.request_id, None):
                save = replace(save, blocks=(() if each.anew else save.blocks) + tuple(each.blocks))
                if each.computed >= save.end:
                    saves.append(save)
                else:
                    self._saves[each.request_id] = save
        return Step(tuple(loads), tuple(saves))

    def _keys(self, kept: Kept, prompt: Prompt) -> list[str]:
        return prefix_keys(f"{kept.seed}\n{prompt.owner}", prompt.tokens, self._block_size)
