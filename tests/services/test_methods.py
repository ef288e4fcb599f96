"""Every method end to end: two processes, gRPC between them, answers against one another and against the model."""

from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from kvwire.errors import NotFoundError
from kvwire.requests import (
    ChatMessage,
    Exchange,
    GenerateRequest,
    Messages,
    Method,
    RelayMode,
    RequestInfo,
    ScoreRequest,
    Text,
    TokenIds,
)

CONTEXT = Text("Each Contributor hereby grants to You a perpetual, worldwide, non-exclusive copyright license. ")
PROMPT = Text("Subject to the terms of this License, what does the Contributor grant?")
CHAT = Messages((ChatMessage("user", "What does the Contributor grant?"),))
CHAT_CONTEXT = Messages((ChatMessage("user", "Contributors grant licenses."), ChatMessage("assistant", "Noted.")))


def request(method, context=CONTEXT, prompt=PROMPT, codec="fp32", **exchange):
    made = Exchange(method=method, codec=codec, **exchange)
    return GenerateRequest(prompt=prompt, context=context, exchange=made, max_new_tokens=24, ignore_eos=True)


def ids(generation):
    return [token.id for token in generation.tokens]


@pytest.mark.parametrize("prompt", [PROMPT, CHAT, TokenIds((7, 8, 9))], ids=["text", "chat", "ids"])
@pytest.mark.parametrize("context", [CONTEXT, CHAT_CONTEXT, TokenIds(tuple(range(4, 40)))], ids=["text", "chat", "ids"])
async def test_prefix_with_one_model_on_both_sides_equals_reading(any_pair, context, prompt):
    """The receiver goes on from the sharer's exact cache as if it had read the context itself."""
    async with any_pair.receiver_client() as receiver:
        read = await receiver.generate_all(request(Method.RECEIVER_READS, context, prompt))
        shared = await receiver.generate_all(request(Method.PREFIX, context, prompt))
    assert ids(shared) == ids(read)
    assert shared.report.tokens.slots == read.report.tokens.context > 0
    assert [t.logprob for t in shared.tokens] == pytest.approx([t.logprob for t in read.tokens], abs=1e-3)


async def test_fuse_with_one_model_on_both_sides_equals_reading(any_pair):
    """Identity fusing replaces the receiver's cache with an equal one."""
    async with any_pair.receiver_client() as receiver:
        read = await receiver.generate_all(request(Method.RECEIVER_READS))
        fused = await receiver.generate_all(request(Method.FUSE))
    assert ids(fused) == ids(read)
    assert fused.report.bytes.payload_bytes > 0


async def test_receiver_only_never_sees_the_context(pair):
    """Another context changes nothing; reading it does."""
    async with pair.receiver_client() as receiver:
        one = await receiver.generate_all(request(Method.RECEIVER_ONLY))
        other = await receiver.generate_all(request(Method.RECEIVER_ONLY, context=Text("Something else.")))
        read = await receiver.generate_all(request(Method.RECEIVER_READS))
    assert ids(one) == ids(other) != ids(read)


async def test_sharer_only_is_answered_by_the_sharer(pair):
    """The same model answers the same from the other process."""
    async with pair.sharer_client() as sharer, pair.receiver_client() as receiver:
        there = await sharer.generate_all(request(Method.SHARER_ONLY))
        here = await receiver.generate_all(request(Method.RECEIVER_READS))
    assert ids(there) == ids(here)


async def test_a_verbatim_relay_equals_reading(any_pair):
    """The context comes as text and is read as it is."""
    async with any_pair.receiver_client() as receiver:
        read = await receiver.generate_all(request(Method.RECEIVER_READS))
        relayed = await receiver.generate_all(request(Method.TEXT, relay=RelayMode.VERBATIM))
    assert ids(relayed) == ids(read)
    assert relayed.report.bytes.payload_bytes == len(CONTEXT.text.encode())


async def test_a_written_relay_reports_what_the_sharer_wrote(pair):
    """The message has the length that was allowed, and its tokens are counted."""
    async with pair.receiver_client() as receiver:
        relayed = await receiver.generate_all(request(Method.TEXT, relay_max_tokens=5))
    assert 0 < relayed.report.tokens.relayed <= 5
    assert relayed.report.bytes.payload_bytes > 0
    assert relayed.report.stage_s("decode", "sharer") > 0


async def test_a_sharer_writes_what_it_is_told_to(pair):
    """By another instruction another message, which the receiver goes on from in another way."""
    async with pair.receiver_client() as receiver:
        usual, again, other = [
            ids(await receiver.generate_all(request(Method.TEXT, relay_max_tokens=5, relay_instruction=told)))
            for told in ("", "", "Say in one word whose licence it is:")
        ]
    assert usual == again != other


async def test_scores_equal_the_models_own_log_likelihoods(any_pair):
    """Every token of every continuation, against transformers in float64."""
    tokenizer = AutoTokenizer.from_pretrained(any_pair.model)
    model = AutoModelForCausalLM.from_pretrained(any_pair.model, dtype=torch.float64).eval()
    pieces = (" a license", " no warranty of any kind", " it")
    async with any_pair.receiver_client() as receiver:
        scoring = await receiver.score(
            ScoreRequest(
                prompt=PROMPT,
                continuations=tuple(Text(p) for p in pieces),
                context=CONTEXT,
                exchange=Exchange(Method.PREFIX, codec="fp32"),
            )
        )
    head = tokenizer("").input_ids

    def plain(text):
        return tokenizer(text, add_special_tokens=False).input_ids

    before = head + plain(CONTEXT.text) + plain(PROMPT.text)
    for piece, score in zip(pieces, scoring.scores, strict=True):
        tokens = plain(piece)
        with torch.inference_mode():
            rows = torch.log_softmax(model(torch.tensor([before + tokens])).logits[0], -1)[len(before) - 1 : -1]
        assert list(score.token_ids) == tokens
        assert score.token_logprobs == pytest.approx([float(r[t]) for r, t in zip(rows, tokens, strict=True)], abs=1e-3)
        assert score.characters == len(piece)


@pytest.mark.parametrize(
    ("codec", "bits"), [("fp32", 32), ("fp16", 16), ("bf16", 16), ("int8", 9), ("int8:per=head", 8)]
)
async def test_bytes_are_counted_from_payload_to_socket(pair, codec, bits):
    """Each counter contains the one before it, and bits per value are near what the codec says."""
    context = TokenIds(tuple(range(4, 504)))
    async with pair.receiver_client() as receiver:
        moved = (await receiver.generate_all(request(Method.PREFIX, context, codec=codec))).report.bytes
    assert moved.values == 2 * 4 * 2 * 500 * 16
    assert moved.payload_bytes < moved.grpc_bytes < moved.socket_bytes < 1.05 * moved.payload_bytes
    assert moved.socket_isolated
    assert moved.bits_per_value == pytest.approx(bits, abs=0.2)


async def test_the_report_names_models_codec_and_stages_of_both_sides(pair):
    """Enough to explain one request afterwards."""
    async with pair.receiver_client() as receiver:
        report = (await receiver.generate_all(request(Method.PREFIX, codec="int8"))).report
    assert (report.method, report.path, report.codec, report.fuser) == ("prefix", "prefix", "int8", "identity")
    assert report.sharer_model == report.answering_model != ""
    for stage, side in (("encode", "sharer"), ("decode_frames", "receiver"), ("first_token", "receiver")):
        assert report.stage_s(stage, side) > 0
    assert report.tokens.generated == 24


async def test_the_first_token_of_a_scoring_is_the_greedy_one(pair):
    """Time to first token is measured on a token that is really the first."""
    async with pair.receiver_client() as receiver:
        generation = await receiver.generate_all(request(Method.PREFIX))
        made = ScoreRequest(PROMPT, (Text(" a"),), CONTEXT, Exchange(Method.PREFIX, codec="fp32"))
        scoring = await receiver.score(made)
    assert scoring.first_token.id == generation.tokens[0].id
    assert 0 < scoring.first_token_s <= scoring.total_s


async def test_describe_tells_the_card_methods_and_sharers(pair):
    """What a peer must know before it asks."""
    async with pair.receiver_client() as receiver, pair.sharer_client() as sharer:
        here, there = await receiver.describe(), await sharer.describe()
    assert here.card.binding == there.card.binding
    assert (here.card.kv_heads, here.card.head_dim, len(here.card.layers)) == (2, 16, 4)
    assert here.sharers == ("sharer",)
    assert set(here.methods) | set(there.methods) == set(Method)
    assert {"fp32", "fp16", "bf16", "int8"} <= set(here.codecs)
    assert "rd" not in there.codecs  # it was started without tables


async def test_keys_before_rope_are_rotated_back_by_the_receiver(any_pair):
    """Uncompressed, the round trip through the un-rotated keys changes no token."""
    async with any_pair.receiver_client() as receiver:
        read = await receiver.generate_all(request(Method.RECEIVER_READS))
        shared = await receiver.generate_all(request(Method.PREFIX, codec="fp32+rope=pre"))
    assert ids(shared) == ids(read)
    assert shared.report.codec == "fp32+rope=pre"


@pytest.mark.parametrize("scope", ["layer", "head"])
async def test_a_pruned_prefix_sends_fewer_bytes_and_still_answers(any_pair, scope):
    """Half the tokens are about half the bytes; the slots keep their places."""
    context = TokenIds(tuple(range(4, 204)))
    async with any_pair.receiver_client() as receiver:
        whole = (await receiver.generate_all(request(Method.PREFIX, context))).report
        half = (
            await receiver.generate_all(
                request(Method.PREFIX, context, codec=f"fp32+keep=0.5,by=key_norm,scope={scope}")
            )
        ).report
    assert half.tokens.slots == whole.tokens.slots == 200
    assert half.bytes.values == whole.bytes.values
    assert half.bytes.payload_bytes == pytest.approx(whole.bytes.payload_bytes / 2, rel=0.05)


async def test_keeping_every_token_of_a_pruned_spec_changes_nothing(any_pair):
    """keep=1 is the whole cache."""
    async with any_pair.receiver_client() as receiver:
        read = await receiver.generate_all(request(Method.RECEIVER_READS))
        kept = await receiver.generate_all(request(Method.PREFIX, codec="fp32+keep=1,by=value_norm,scope=head"))
    assert ids(kept) == ids(read)


@pytest.mark.parametrize("scope", ["layer", "head"])
async def test_a_token_pruned_from_a_fused_cache_keeps_the_receivers_own(any_pair, scope):
    """With one model on both sides the receiver's own is the same, so nothing changes."""
    async with any_pair.receiver_client() as receiver:
        read = await receiver.generate_all(request(Method.RECEIVER_READS))
        fused = await receiver.generate_all(request(Method.FUSE, codec=f"fp32+keep=0.3,by=random,scope={scope}"))
    assert ids(fused) == ids(read)


async def test_a_scoring_compares_with_a_kept_one(pair):
    """The same request diverges by nothing, a coarser codec by something."""
    made = ScoreRequest(PROMPT, (Text(" a license"),), CONTEXT, Exchange(Method.PREFIX, codec="fp32"))
    reference = replace(made, info=RequestInfo("reference", "mia"), keep_distributions=True)
    same = replace(made, info=RequestInfo("same", "mia"), compare_with="reference")
    coarse = replace(same, exchange=Exchange(Method.PREFIX, codec="int4"))
    async with pair.receiver_client() as receiver:
        await receiver.score(reference)
        equal = (await receiver.score(same)).scores[0]
        changed = (await receiver.score(coarse)).scores[0]
        with pytest.raises(NotFoundError, match="keep_distributions first"):
            await receiver.score(replace(same, info=RequestInfo("other", "tom")))
    assert max(equal.kl_nats) < 1e-6
    assert all(equal.same_top1)
    assert max(changed.kl_nats) > 1e-4
