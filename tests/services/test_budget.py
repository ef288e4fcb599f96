"""A budget of bytes over the real wire: the sharer chooses, the message keeps to it, the report says what it was."""

import os
from pathlib import Path

import pytest

from codec.allocate.profile import Profile, file_name
from codec.spec import CodecSpec
from kvwire.errors import BindingError, SpecError
from kvwire.requests import Exchange, Method, ScoreRequest, Text, TokenIds

CONTEXT = TokenIds(tuple(range(4, 304)))
CODECS = ("hadamard:bits=2,center=none", "hadamard:bits=4,center=none", "int8")


def request(policy, codec="fp16", method=Method.PREFIX):
    return ScoreRequest(
        prompt=Text("What does the Contributor grant?"),
        context=CONTEXT,
        continuations=(Text(" a license"),),
        exchange=Exchange(method=method, codec=codec, policy=policy),
    )


@pytest.fixture
async def profiled(pair):
    """A profile of the pair's model, the same for every layer but for the first one's keys."""
    async with pair.receiver_client() as receiver:
        binding = (await receiver.describe()).card.binding
    rows = (((9.0, 0.5, 1e-3), (0.1, 0.01, 1e-5)), *[((0.2, 0.02, 1e-5), (0.1, 0.01, 1e-5))] * 3)
    profile = Profile(binding.id, binding.weights_fingerprint, 512, 32, 4, CODECS, rows)
    path = Path(os.environ["KVWIRE_HOME"]) / "profiles" / file_name(binding.weights_fingerprint)
    path.parent.mkdir(exist_ok=True)
    path.write_text(profile.to_json())
    yield path
    path.unlink()


async def test_without_a_profile_a_budget_is_refused(pair):
    """With the command that makes one."""
    async with pair.receiver_client() as receiver:
        with pytest.raises(BindingError, match="kvwire codec profile"):
            await receiver.score(request("budget=65536"))


@pytest.mark.parametrize(
    ("budget", "options"),
    [(32000, ""), (48000, "+rope=pre"), (24000, "+keep=0.5,by=attention,scope=head"), (60000, "+entropy=zstd")],
)
@pytest.mark.usefixtures("profiled")
async def test_the_message_keeps_to_its_budget_and_uses_it(pair, budget, options):
    """The trailer's count of whole frames; options of the codec stay, its base and mix are the sharer's choice."""
    async with pair.receiver_client() as receiver:
        report = (await receiver.score(request(f"budget={budget}", f"fp16{options}"))).report
    assert 0.9 * budget < report.bytes.payload_bytes <= budget
    assert report.codec.startswith("hadamard:")
    assert "+mix=kL0-" in report.codec
    assert CodecSpec.parse(report.codec).keep == CodecSpec.parse(f"fp16{options}").keep


@pytest.mark.usefixtures("profiled")
async def test_a_budget_is_kept_to_where_caches_are_fused(pair):
    """Of all tokens that both read."""
    async with pair.receiver_client() as receiver:
        report = (await receiver.score(request("budget=40000", method=Method.FUSE))).report
    assert 0.8 * 40000 < report.bytes.payload_bytes <= 40000


@pytest.mark.usefixtures("profiled")
async def test_what_cannot_be_kept_to_is_refused(pair):
    """A budget that nothing fits, a policy nobody knows, a mix by hand."""
    async with pair.receiver_client() as receiver:
        with pytest.raises(SpecError.__base__, match="too small: 300 tokens take"):
            await receiver.score(request("budget=5000"))
        with pytest.raises(SpecError.__base__, match="budget=BYTES"):
            await receiver.score(request("cheap"))
        with pytest.raises(SpecError.__base__, match="leave it out"):
            await receiver.score(request("budget=50000", "int8+mix=k@int4"))
