"""Model ``kvwire`` against lm-eval's own ``hf`` on the same weights: every kind of request, at every border."""

import pytest
import torch
from lm_eval.api.instance import Instance

from experiments.harness.model import KvwireLM
from kvwire.errors import BindingError, InvalidRequestError, NotFoundError

PAIRS = [
    ("Subject to the terms of this License, each Contributor hereby", " grants to You"),
    ("Subject to the terms of this License, each Contributor hereby", " denies"),
    ("A space that belongs to what follows ", "license"),
    ("Lines that end:\n\n", "one more"),
    ("You may add Your own copyright state", "ment"),
    ("naïve café ☕", "☕ naïve"),
    ("a", " b"),
    ("", "Licensor shall mean the copyright owner"),
]
TEXT = "Unless required by applicable law or agreed to in writing, Licensor provides the Work on an AS IS BASIS. " * 5


def instances(kind, arguments):
    return [Instance(kind, {}, each, index) for index, each in enumerate(arguments)]


def close(found, wanted):
    assert [total for total, _ in found] == pytest.approx([total for total, _ in wanted], abs=1e-3)
    assert [greedy for _, greedy in found] == [greedy for _, greedy in wanted]


@pytest.mark.parametrize(
    "arguments",
    [{}, {"prompt_tokens": 3}, {"method": "receiver_reads"}, {"method": "receiver_only"}, {"method": "fuse"}],
    ids=lambda each: "-".join(map(str, each.values())) or "prefix",
)
def test_log_likelihoods_are_those_of_hf(both, arguments):
    """Trailing spaces, tokens across the border, several tokens to a character, and nothing before the continuation."""
    pairs = PAIRS if arguments.get("method") != "fuse" else PAIRS[:-2]  # which needs two tokens before
    asked = instances("loglikelihood", pairs)
    close(both.wire(**arguments).loglikelihood(asked), both.own().loglikelihood(asked))


def test_a_separator_divides_behind_its_last_place(both):
    """The context is sent, and what the receiver makes of it is what it would make of the text."""
    wire = both.wire(separator="License, ")
    asked = instances("loglikelihood", [*PAIRS[:2], PAIRS[-1]])
    close(wire.loglikelihood(asked), both.own().loglikelihood(asked))
    assert wire.traffic.payload_bytes > 0


def test_a_text_without_the_separator_is_refused(llama):
    """The sharer would read nothing, and nobody would see it."""
    with pytest.raises(InvalidRequestError, match="no separator '###' in 'a b'"):
        llama.wire(separator="###").loglikelihood(instances("loglikelihood", [("a b", " c")]))


def test_greedy_continuations_are_told_from_others(both):
    """One that greedy decoding writes, and the same with another last token."""
    own, wire = both.own(), both.wire()
    before = own.tok_encode("Subject to the terms")
    with torch.no_grad():
        ids = own.model.generate(torch.tensor([before]), max_new_tokens=6, do_sample=False)[0, len(before) :].tolist()
    other = [*ids[:-1], (ids[-1] + 1) % 500]
    asked = [(None, before, ids), (None, before, other), (None, before, ids[:1]), (None, before, other[-1:])]
    found = wire._loglikelihood_tokens(asked)
    close(found, own._loglikelihood_tokens(asked))
    assert [greedy for _, greedy in found] == [True, False, True, False]


def test_neighbours_with_one_context_are_one_request(llama):
    """Two choices of one question are read once."""
    wire = llama.wire(method="receiver_reads")
    wire.loglikelihood(instances("loglikelihood", [("One question:", " this"), ("One question:", " that")]))
    scorings = wire.traffic.paths.total() - wire.traffic.cut_short
    assert scorings <= 1 + 2  # one scoring, and at most one generation for each


@pytest.mark.parametrize("method", ["prefix", "receiver_reads"])
def test_rolling_log_likelihoods_are_those_of_hf(both, method):
    """A text of several windows, one of one token, and an empty one."""
    asked = instances("loglikelihood_rolling", [(TEXT,), ("a",), (TEXT[:100],)])
    wire = both.wire(method=method, max_length=48)
    found = wire.loglikelihood_rolling(asked)
    assert found == pytest.approx(both.own(max_length=48).loglikelihood_rolling(asked), abs=1e-3)
    assert (wire.traffic.payload_bytes > 0) == (method == "prefix")


@pytest.mark.parametrize("method", ["prefix", "receiver_reads"])
def test_generations_are_those_of_hf(both, method):
    """To the limit, and to a string that ends them."""
    own = both.own()
    longest = own.generate_until(instances("generate_until", [(TEXT[:90], {"max_gen_toks": 12})]))[0]
    stop = longest[len(longest) // 2 :][:2]
    said = [{"max_gen_toks": 12}, {"max_gen_toks": 12, "until": [stop]}, {"until": stop, "max_gen_toks": 3}]
    asked = instances("generate_until", [(TEXT[:90], each) for each in said])
    found = both.wire(method=method).generate_until(asked)
    assert found == own.generate_until(asked)
    assert found[0] == longest
    assert found[1] in longest[:-1]


def test_what_is_too_long_is_cut_on_the_left(both):
    """As hf cuts it."""
    asked = instances("loglikelihood", [(TEXT, " This License")])
    close(both.wire(max_length=40).loglikelihood(asked), both.own(max_length=40).loglikelihood(asked))
    asked = instances("generate_until", [(TEXT, {"max_gen_toks": 8})])
    assert both.wire(max_length=40).generate_until(asked) == both.own(max_length=40).generate_until(asked)


def test_a_chat_is_rendered_as_by_hf(llama):
    """With the tokenizer's template."""
    chat = [{"role": "user", "content": "Who grants?"}]
    own, wire = llama.own(), llama.wire()
    assert wire.apply_chat_template(chat) == own.apply_chat_template(chat)
    assert wire.chat_template(True) == own.chat_template(True)


def test_a_coarse_codec_moves_log_likelihoods_and_sends_less(llama):
    """What is scored really went through the codec."""
    asked = instances("loglikelihood", PAIRS[:1])
    fine, coarse = llama.wire(), llama.wire(codec="int4")
    (exact, _), (moved, _) = *fine.loglikelihood(asked), *coarse.loglikelihood(asked)
    assert moved != pytest.approx(exact, abs=1e-4)
    assert coarse.traffic.payload_bytes < fine.traffic.payload_bytes / 4


def test_receiver_only_reads_the_prompt_alone_where_it_is_divided(llama):
    """The floor to hold a prefix against."""
    one, other = ("License. Each Contributor", " grants"), ("Nothing. Each Contributor", " grants")
    wire = llama.wire(method="receiver_only", separator=". ")
    found = wire.loglikelihood(instances("loglikelihood", [one, other]))
    assert found[0] == found[1]
    assert wire.traffic.payload_bytes == 0


def test_a_verbatim_relay_reads_what_hf_reads(both):
    """Context and prompt go as text."""
    asked = instances("loglikelihood", PAIRS[:2])
    wire = both.wire(method="text", relay="verbatim", separator="License,")
    close(wire.loglikelihood(asked), both.own().loglikelihood(asked))


def test_the_sharer_is_asked_by_itself_at_its_own_address(llama):
    """The same model answers the same there."""
    asked = instances("loglikelihood", PAIRS[:3])
    wire = llama.wire(receiver=llama.sharer, method="sharer_only")
    close(wire.loglikelihood(asked), llama.own().loglikelihood(asked))
    assert wire.traffic.paths.keys() == {"sharer_only"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"receiver": ""}, "receiver=HOST:PORT"),
        ({"method": "telepathy"}, "method=telepathy: use one of receiver_only"),
        ({"codec": "int8+keep=0.5", "by": "recency"}, "no argument by.*as JSON"),
        ({"batch_size": 8}, "batch_size=8: leave it out"),
        ({"num_concurrent": 0}, "at least one request"),
        ({"prompt_tokens": 1, "separator": "x"}, "give one"),
        ({"method": "fuse", "prompt_tokens": 1}, "in method fuse both models read the same"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(llama, arguments, message):
    """Before anything is asked."""
    with pytest.raises(InvalidRequestError, match=message):
        llama.wire(**arguments)


def test_a_text_without_tokens_is_refused(llama):
    """There is nothing to go on from."""
    with pytest.raises(InvalidRequestError, match="the prompt is empty"):
        llama.wire().generate_until(instances("generate_until", [("", {"max_gen_toks": 3})]))


def test_sampling_is_refused(llama):
    """A greedy answer must not pass for a sample."""
    asked = instances("generate_until", [("a b", {"do_sample": True, "temperature": 0.7})])
    with pytest.raises(InvalidRequestError, match="do_sample"):
        llama.wire().generate_until(asked)


def test_another_models_tokenizer_is_refused(llama, tiny_gemma):
    """Its tokens would mean something else."""
    with pytest.raises(BindingError, match="has another tokenizer"):
        llama.wire(tokenizer=f"path:{tiny_gemma}")


def test_a_receiver_whose_tokenizer_nobody_has_is_refused(llama):
    """The store of this test is empty."""
    with pytest.raises(NotFoundError, match="tokenizer=path:DIR"):
        llama.wire(tokenizer="")


def test_a_failure_ends_the_run(llama):
    """No item is left out of an accuracy."""
    wire = llama.wire(codec="int3000")
    assert isinstance(wire, KvwireLM)
    with pytest.raises(InvalidRequestError, match="int3000"):
        wire.loglikelihood(instances("loglikelihood", PAIRS[:2]))
