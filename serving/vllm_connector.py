"""vLLM's KV connector (v1) upon ``codec`` and ``fuser``: prefixes are saved as frames, and loaded from frames.

Only vLLM loads this file, by ``kv_connector_module_path``; nothing of kvwire needs vLLM. **Not run inside vLLM, and not
on a GPU**: its signatures are held against vLLM 0.33's, and tests drive its steps with tensors of vLLM's layouts. It is
configured by ``kv_connector_extra_config``: docs/serving.md.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from vllm.distributed.kv_transfer.kv_connector.v1.base import KVConnectorBase_V1, KVConnectorMetadata, KVConnectorRole
from vllm.v1.metrics.cache_hit_source import CacheHitSource

from codec.spec import CodecSpec
from fuser.projectors.identity import IdentityFuser
from fuser.registry import read_fuser
from kvwire.errors import BindingError, InvalidRequestError, UnsupportedError
from kvwire.model_card import ModelCard
from serving.card_file import read_card
from serving.exchange import Exchange
from serving.frames import FrameFolder
from serving.paged import PagedLayer
from serving.planning import Kept, Planner, Prompt, Scheduled, Step
from serving.transfer import Worker


@dataclass
class StepMetadata(KVConnectorMetadata):  # type: ignore[misc]  # vLLM is not installed where this is checked
    """What the scheduler's half tells the workers' half."""

    step: Step


class KvwireConnector(KVConnectorBase_V1):  # type: ignore[misc]  # the same
    """One half of it runs with the scheduler, one in the worker; both are made from the same configuration."""

    _cache_hit_source = CacheHitSource.DISK

    def __init__(self, vllm_config: Any, role: KVConnectorRole, kv_cache_config: Any) -> None:
        """Read the configuration.

        Raises:
            InvalidRequestError: A setting is missing.
            StartError, NotFoundError: A file cannot be read.
            UnsupportedError: Several workers, several kinds of layers, windows of attention, or a packed cache.
            SpecError, BindingError: Codec, fuser, cards and engine do not go together.
        """
        super().__init__(vllm_config, role, kv_cache_config)
        group = _only_group(vllm_config, kv_cache_config)
        self._block_size: int = group.kv_cache_spec.block_size
        # By number: model.layers.10 comes after model.layers.9.
        self._names = sorted(group.layer_names, key=lambda name: [int(part) for part in re.findall(r"\d+", name)])
        self._card = read_card(Path(self._setting("card")))
        if len(self._names) != len(self._card.layers):
            raise BindingError(
                f"the engine's model has {len(self._names)} layers, {self._card.binding.id} {len(self._card.layers)}; "
                "make the card of the model that is served"
            )
        sharer = read_card(Path(self._setting("sharer_card", self._setting("card"))))
        fuser = self._setting("fuser", "")
        spec = CodecSpec.parse(self._setting("codec"))
        self._exchange = Exchange(spec, read_fuser(Path(fuser)) if fuser else IdentityFuser(), sharer, self._card)
        self._frames = FrameFolder(Path(self._setting("folder")))
        self._planner = Planner(
            self._frames,
            loaded=Kept(_seed(sharer, spec), self._exchange.sources),
            # vLLM's own prefix cache does not tell what a fuser made from what the model computed.
            saved=None if fuser else Kept(_seed(self._card, spec), tuple(range(len(self._names)))),
            block_size=self._block_size,
        )
        self._worker: Worker | None = None

    # With the scheduler.

    def get_num_new_matched_tokens(self, request: Any, num_computed_tokens: int) -> tuple[int | None, bool]:
        """Tokens beyond those computed whose frames are there; they are loaded before the step computes."""
        prompt = _prompt(request)
        return (self._planner.held(prompt, num_computed_tokens) if prompt else 0), False

    def update_state_after_alloc(self, request: Any, blocks: Any, num_external_tokens: int) -> None:
        """A request has its blocks."""
        del blocks  # the step's metadata has them
        if prompt := _prompt(request):
            self._planner.begins(prompt, num_external_tokens)

    def build_connector_meta(self, scheduler_output: Any) -> KVConnectorMetadata:
        """What the workers load and save in this step."""
        self._planner.ends(scheduler_output.finished_req_ids)
        return StepMetadata(self._planner.step(_scheduled(scheduler_output)))

    # In the worker.

    def register_kv_caches(self, kv_caches: dict[str, Tensor]) -> None:
        """Know the layers' tensors."""
        layout, heads, head_dim = self._setting("layout", "content"), self._card.kv_heads, self._card.head_dim
        layers = {name: PagedLayer(kv_caches[name], layout, heads, head_dim) for name in self._names}
        self._worker = Worker(self._exchange, self._frames, layers, self._block_size)

    def start_load_kv(self, forward_context: Any, **kwargs: Any) -> None:
        """Load all layers, before the model reads the first."""
        del forward_context, kwargs
        self._registered.load(self._step.loads)

    def wait_for_layer_load(self, layer_name: str) -> None:
        """Nothing to wait for: :meth:`start_load_kv` returns once all is there."""

    def save_kv_layer(self, layer_name: str, kv_layer: Tensor, attn_metadata: Any, **kwargs: Any) -> None:
        """Save a layer, before the model goes on to the next."""
        del kv_layer, attn_metadata, kwargs  # the registered tensor is the same
        self._registered.save(layer_name, self._step.saves)

    def wait_for_save(self) -> None:
        """Nothing to wait for: :meth:`save_kv_layer` returns once the frame is kept."""

    def get_block_ids_with_load_errors(self) -> set[int]:
        """Blocks whose frames were damaged or gone; with ``kv_load_failure_policy: recompute`` vLLM computes them."""
        return self._registered.failed() if self._worker else set()

    @property
    def requires_kv_delivery(self) -> bool:
        """Nobody waits for what is saved: what is missing is computed."""
        return False

    @classmethod
    def requires_piecewise_for_cudagraph(cls, extra_config: dict[str, Any]) -> bool:
        """Layers are saved between the pieces of a graph, so there must be pieces."""
        del extra_config
        return True

    @property
    def _registered(self) -> Worker:
        if self._worker is None:
            raise InvalidRequestError("the engine's caches are not known yet; register_kv_caches comes first")
        return self._worker

    @property
    def _step(self) -> Step:
        metadata: StepMetadata = self._get_connector_metadata()
        return metadata.step

    def _setting(self, name: str, default: str | None = None) -> str:
        found = self._kv_transfer_config.get_from_extra_config(f"kvwire_{name}", default)
        if found is None:
            raise InvalidRequestError(
                f"kv_connector_extra_config has no kvwire_{name}; docs/serving.md tells what it is"
            )
        return str(found)


def _prompt(request: Any) -> Prompt | None:
    """A request whose cache its tokens tell; None for images, adapters and embeddings, whose do not."""
    if request.prompt_token_ids is None or request.mm_features or request.lora_request is not None:
        return None
    return Prompt(request.request_id, tuple(request.prompt_token_ids), request.cache_salt or "")


def _scheduled(output: Any) -> list[Scheduled]:
    """All requests of a step."""
    tokens, old = output.num_scheduled_tokens, output.scheduled_cached_reqs
    found = [
        Scheduled(new.req_id, new.block_ids[0], anew=True, computed=new.num_computed_tokens + tokens[new.req_id])
        for new in output.scheduled_new_reqs
    ]
    for request_id, blocks, computed in zip(old.req_ids, old.new_block_ids, old.num_computed_tokens, strict=True):
        anew = request_id in old.resumed_req_ids
        found.append(Scheduled(request_id, blocks[0] if blocks else (), anew, computed + tokens[request_id]))
    return found


def _seed(card: ModelCard, spec: CodecSpec) -> str:
    """What the frames of a model depend on besides the tokens."""
    binding = card.binding
    return f"{binding.weights_fingerprint.hex()} {binding.tokenizer_fingerprint.hex()} {spec}"


def _only_group(vllm_config: Any, kv_cache_config: Any) -> Any:
    """The layers, which all are of one kind, and whose cache is plain numbers."""
    workers, groups = vllm_config.parallel_config.world_size, kv_cache_config.kv_cache_groups
    if (workers, len(groups)) != (1, 1):
        raise UnsupportedError(
            f"an engine of {workers} workers, whose model has {len(groups)} kinds of layers; this connector serves one "
            "worker and models whose layers are alike"
        )
    [group] = groups
    device, spec = vllm_config.device_config.device_type, group.kv_cache_spec
    if device == "cpu" or getattr(spec, "state_content_bytes", "unknown") is not None:  # None: plain keys and values
        raise UnsupportedError(
            f"the engine's kernels pack the cache in an order of their own ({type(spec).__name__}, {device}); this "
            "connector reads plain keys and values, as FlashAttention, FlashInfer and Triton keep them on a GPU"
        )
    return group
