"""The connector in an engine's hands: a scheduler and a worker save what a model read, another pair loads it.

These tests play the engine: blocks, block tables and steps as vLLM 0.33 hands them over, and caches of a real model.
"""

from types import SimpleNamespace

import pytest
import torch

from codec.spec import CodecSpec
from fuser.binding import Pairing, Side
from fuser.projectors import ridge_file
from fuser.projectors.identity import IdentityFuser
from fuser.projectors.ridge import Band, Openings, RidgeFuser
from kvwire.errors import BindingError, InvalidRequestError, UnsupportedError
from serving.exchange import Exchange
from serving.frames import FrameFolder, prefix_keys
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


@pytest.fixture
def extra(tmp_path, card_of, llama):
    """The configuration: what must be there, and no more."""
    return {"kvwire_folder": tmp_path / "frames", "kvwire_codec": "fp32", "kvwire_card": card_of(llama)}


@pytest.fixture
def engine(connector_class, published, extra):
    """Make an engine, all of which share the folder."""

    def made(codec="fp32", **other):
        return Engine(connector_class, published, extra | {"kvwire_codec": codec}, **other)

    return made


def fill(engine, llama, blocks=(5, 1, 8)):
    """An engine reads the prompt, and what it read is saved."""
    request = engine.request()
    assert engine.matched(request) == 0
    metadata = engine.step(request, list(blocks), 0, len(TOKENS))
    engine.run(metadata, lambda: engine.write(llama, blocks))


@pytest.mark.parametrize(("codec", "off"), [("fp32", 0.0), ("int8", 0.05)])
def test_what_one_engine_read_another_loads(engine, llama, codec, off):
    """Its whole blocks, into other blocks; what the model then says is what it says with its own cache."""
    fill(engine(codec), llama)
    second = engine(codec)
    request = second.request("b")
    assert second.matched(request) == 8
    second.run(second.step(request, [0, 7, 2], 8, 2))
    assert second.worker.get_block_ids_with_load_errors() == set()
    own = [(keys[:, :8], values[:, :8]) for keys, values in llama.read(TOKENS)]
    found = second.cache([0, 7, 2], 8)
    for got, expected in zip(found, own, strict=True):
        for ours, theirs in zip(got, expected, strict=True):
            assert float((ours - theirs).abs().max()) <= off * float(theirs.abs().max())
    assert int(llama.goes_on(found, TOKENS[8]).argmax()) == int(llama.goes_on(own, TOKENS[8]).argmax())


def test_layers_are_told_apart_by_their_numbers(engine, llama, extra):
    """Not by the order in which vLLM lists them."""
    fill(engine(names=NAMES[::-1]), llama)
    [prefix] = extra["kvwire_folder"].iterdir()
    assert sorted(file.name for file in prefix.iterdir()) == [f"{index}.kvf" for index in range(4)]
    second = engine()
    second.run(second.step((request := second.request("b")), [0, 7, 2], second.matched(request), 2))
    assert torch.equal(second.cache([0, 7, 2], 8)[3][0], llama.read(TOKENS)[3][0][:, :8])


def test_a_prompt_that_is_read_in_pieces_is_saved_with_the_last_of_them(engine, llama, extra):
    """Its blocks come in pieces, too."""
    first = engine()
    request = first.request()
    first.matched(request)
    first.run(first.step(request, [5], 0, 4))
    assert not extra["kvwire_folder"].exists()
    first.run(first.step(request, [1, 8], 4, 6, new=False), lambda: first.write(llama, [5, 1, 8]))
    second = engine()
    assert second.matched(second.request("b")) == 8


def test_a_damaged_frame_is_told_and_its_blocks_are_computed(engine, llama, extra):
    """Once; vLLM computes them under kv_load_failure_policy recompute."""
    fill(engine(), llama)
    [file] = extra["kvwire_folder"].glob("*/2.kvf")
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    second = engine()
    request = second.request("b")
    assert second.matched(request) == 8
    second.run(second.step(request, [0, 7, 2], 8, 2))
    assert second.worker.get_block_ids_with_load_errors() == {0, 7}
    assert second.worker.get_block_ids_with_load_errors() == set()


def test_the_engines_own_prefix_cache_comes_first(engine, llama):
    """What it has computed is not loaded, and not written over."""
    fill(engine(), llama)
    second = engine()
    request = second.request("b")
    assert second.matched(request, computed=4) == 4
    second.run(second.step(request, [0, 7, 2], 8, 2))
    assert not second.caches[NAMES[1]][0].any()
    assert second.caches[NAMES[1]][7].any()


@pytest.mark.parametrize(
    "other",
    [{"cache_salt": "mia"}, {"mm_features": ["an image"]}, {"lora_request": "an adapter"}, {"prompt_token_ids": None}],
    ids=lambda each: next(iter(each)),
)
def test_a_cache_that_tokens_alone_do_not_tell_is_not_shared(engine, llama, other):
    """With another salt, an image, an adapter, or from embeddings; nor is it saved for others."""
    fill(engine(), llama)
    second = engine()
    request = second.request("b")
    vars(request).update(other)
    assert second.matched(request) == 0


def test_callers_of_one_salt_share(engine, llama):
    """As vLLM's own prefix cache has it."""
    first = engine()
    request = first.request(cache_salt="mia")
    first.matched(request)
    first.run(first.step(request, [5, 1, 8], 0, 10), lambda: first.write(llama, [5, 1, 8]))
    assert engine().matched(engine().request("b", cache_salt="mia")) == 8
    assert engine().matched(engine().request("b")) == 0


def test_another_codec_finds_nothing(engine, llama):
    """Frames are of one spec."""
    fill(engine(), llama)
    assert engine("int8").matched(engine().request("b")) == 0


def test_a_request_that_ended_before_it_was_read_is_not_saved(engine, llama, extra):
    """Its blocks are somebody else's by then."""
    first = engine()
    request = first.request()
    first.matched(request)
    first.run(first.step(request, [5], 0, 4))
    gone = first.step(first.request("b", tokens=[1, 2, 3]), [5], 0, 3, ended=["a"])
    first.run(gone, lambda: first.write(llama, [5, 1, 8]))
    assert first.step(request, [1, 8], 4, 6, new=False).step.saves == ()
    assert not extra["kvwire_folder"].exists()


@pytest.mark.parametrize(
    ("other", "error", "said"),
    [
        ({"workers": 2}, UnsupportedError, "2 workers"),
        ({"groups": 2}, UnsupportedError, "2 kinds of layers"),
        ({"names": NAMES[:3]}, BindingError, "3 layers"),
        ({"device": "cpu"}, UnsupportedError, "order of their own"),
        ({"packed_bytes": 128}, UnsupportedError, "order of their own"),
    ],
)
def test_an_engine_that_is_not_served_is_refused_when_it_starts(engine, other, error, said):
    """Rather than half of a cache saved."""
    with pytest.raises(error, match=said):
        engine(**other)


@pytest.mark.parametrize("missing", ["folder", "codec", "card"])
def test_a_setting_that_is_missing_is_named(connector_class, published, extra, missing):
    """There is no default for where frames lie, and what they are."""
    del extra[f"kvwire_{missing}"]
    with pytest.raises(InvalidRequestError, match=f"no kvwire_{missing}"):
        Engine(connector_class, published, extra)


@pytest.fixture
def fuser(tmp_path, llama, other):
    """A file with a map from the other model to this one."""
    pairing = Pairing(Side.of(other.card), Side.of(llama.card))
    bands = (Band((0, 1, 2), (0, 1, 2, 3), 6),)
    draw = torch.Generator().manual_seed(3)
    tensors = {name: torch.rand(shape, generator=draw) for name, shape in RidgeFuser.shapes(bands, pairing).items()}
    path = tmp_path / "fuser.safetensors"
    ridge_file.write(RidgeFuser(bands, tensors, pairing, Openings((), ())), path, {})
    return path


def test_with_a_fuser_another_models_frames_are_loaded_and_none_are_saved(engine, other, extra, fuser, card_of):
    """What was projected is never handed on as the model's own."""
    exchange = Exchange(CodecSpec.parse("fp32"), IdentityFuser(), other.card, other.card)
    layers, slots = other.blocks(lambda: torch.zeros(9, 1, SIZE, 64), "content"), slots_of([0, 1], SIZE, 0, 8)
    frames = FrameFolder(extra["kvwire_folder"])
    binding = other.card.binding
    seed = f"{binding.weights_fingerprint.hex()} {binding.tokenizer_fingerprint.hex()} fp32\n"
    [_, key] = prefix_keys(seed, TOKENS, SIZE)
    for index, halves in enumerate(other.read(TOKENS[:8])):
        layers[index].scatter(slots, *halves)
        frames.put(key, index, exchange.save(index, layers[index], slots))
    extra |= {"kvwire_fuser": fuser, "kvwire_sharer_card": card_of(other)}
    second = engine()
    request = second.request("b")
    assert second.matched(request) == 8
    metadata = second.step(request, [0, 7, 2], 8, 2)
    assert metadata.step.saves == ()
    second.run(metadata)
    assert second.worker.get_block_ids_with_load_errors() == set()
    assert all(second.caches[name][7].any() for name in NAMES)
    unread = second.request("c", tokens=[9] * 10)
    assert second.matched(unread) == 0
    assert second.step(unread, [3, 4, 5], 0, 10).step.saves == ()


def test_graphs_leave_room_for_saving(connector_class):
    """Layers are saved between pieces of a CUDA graph; inside one Python is not run."""
    assert connector_class.requires_piecewise_for_cudagraph({}) is True
