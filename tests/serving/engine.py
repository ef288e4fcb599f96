"""Plays vLLM 0.33 around a connector: its objects by their published names, block tables, steps and layers."""

from types import SimpleNamespace

import torch

from serving.paged import slots_of

SIZE = 4
TOKENS = [7, 99, 300, 12, 12, 45, 501, 8, 77, 230]  # two whole blocks, and two tokens to read
NAMES = [f"model.layers.{index}.self_attn.attn" for index in range(4)]


class Engine:
    """One half or both of a connector, and the caches of its layers."""

    def __init__(
        self, connector_class, published, extra, names=NAMES, workers=1, groups=1, device="cuda", packed_bytes=None
    ):
        self.published = published
        spec = published.made("AttentionSpec", state_content_bytes=packed_bytes)
        vars(spec).update(vars(published.made("KVCacheSpec", block_size=SIZE)))
        group = published.made("KVCacheGroupSpec", layer_names=names, kv_cache_spec=spec)
        transfer = published.made("KVTransferConfig", get_from_extra_config=extra.get)
        config = published.made(
            "VllmConfig",
            parallel_config=published.made("ParallelConfig", world_size=workers),
            device_config=published.made("DeviceConfig", device_type=device),
            kv_transfer_config=transfer,
        )
        caches = published.made("KVCacheConfig", kv_cache_groups=[group] * groups)
        self.scheduler = connector_class(config, "SCHEDULER", caches)
        self.worker = connector_class(config, "WORKER", kv_cache_config=caches)
        # vLLM registers layers as the model made them, which need not be in the order of their numbers.
        self.caches = {name: torch.zeros(12, 2, SIZE, 32) for name in reversed(names)}
        self.worker.register_kv_caches(self.caches)

    def request(self, request_id="a", tokens=TOKENS, **other):
        """A request as the scheduler holds it."""
        plain = {"mm_features": [], "lora_request": None, "cache_salt": None}
        return self.published.made("Request", request_id=request_id, prompt_token_ids=tokens, **plain | other)

    def matched(self, request, computed=0):
        """How many tokens would be loaded, and the request let in with them."""
        loaded, later = self.scheduler.get_num_new_matched_tokens(request, computed)
        assert later is False
        self.scheduler.update_state_after_alloc(request, SimpleNamespace(), loaded)
        return loaded

    def step(self, request, blocks, computed, scheduled, *, new=True, ended=()):
        """What the scheduler hands to the worker for a step of one request."""
        made = self.published.made
        news = [made("NewRequestData", req_id=request.request_id, block_ids=(blocks,), num_computed_tokens=computed)]
        running = made(
            "CachedRequestData",
            req_ids=[] if new else [request.request_id],
            new_block_ids=[] if new else [(blocks,) if blocks else None],
            num_computed_tokens=[] if new else [computed],
            resumed_req_ids=set(),
        )
        output = made(
            "SchedulerOutput",
            scheduled_new_reqs=news if new else [],
            scheduled_cached_reqs=running,
            num_scheduled_tokens={request.request_id: scheduled},
            finished_req_ids=set(ended),
        )
        return self.scheduler.build_connector_meta(output)

    def run(self, metadata, write=lambda: None):
        """A forward pass: load, compute layer by layer, save."""
        self.worker.bind_connector_metadata(metadata)
        self.worker.start_load_kv(SimpleNamespace())
        write()
        for name in NAMES:
            self.worker.wait_for_layer_load(name)
            self.worker.save_kv_layer(name, self.caches[name], None)
        self.worker.wait_for_save()

    def write(self, tiny, blocks, tokens=TOKENS):
        """What the model itself puts into the blocks."""
        slots = slots_of(blocks, SIZE, 0, len(tokens))
        for name, halves in zip(NAMES, tiny.read(tokens), strict=True):
            self.caches[name][slots // SIZE, :, slots % SIZE] = torch.cat(halves, dim=-1).transpose(0, 1)

    def cache(self, blocks, tokens):
        """Keys and values of the first tokens in these blocks."""
        slots = slots_of(blocks, SIZE, 0, tokens)
        paged = [self.caches[name][slots // SIZE, :, slots % SIZE].transpose(0, 1) for name in NAMES]
        return [(each[..., :16], each[..., 16:]) for each in paged]
