"""The codec grammar: what parses, how it prints, how it refuses."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec.bases import Base
from codec.codec import Codec
from codec.spec import CodecSpec, Keep, RopePhase
from kvwire.errors import SpecError

_numbers = st.floats(min_value=1e-9, max_value=9e8).map(lambda number: repr(number).removesuffix(".0"))
_rates = st.builds(lambda name, number: f"rd:{name}={number}", st.sampled_from(["bits", "quality"]), _numbers)
_bases = st.one_of(
    st.sampled_from(["fp32", "bf16", "fp8", "int8:per=token", "int8:per=head", "int4", "nf4:block=32"]),
    st.sampled_from(["kivi:bits=2,group=64", "hadamard:bits=3", "nf4:center=none"]),
    _rates,
)
_keeps = st.builds(
    lambda ratio, rest: ",".join([f"keep={ratio!r}", *rest]),
    st.floats(min_value=1e-9, max_value=1),
    st.sets(st.sampled_from(["by=value_norm", "scope=head", "scope=layer", "sinks=4"]), max_size=3).filter(
        lambda rest: not {"scope=head", "scope=layer"} <= rest
    ),
)
_ends = st.tuples(st.integers(0, 99), st.integers(0, 99)).map(lambda ends: f"{min(ends)}-{max(ends)}")
_parts = st.builds(lambda layers, base: f"kL{layers}@{base}", _ends, _bases)
_options = st.fixed_dictionaries(
    {},
    optional={
        "keep": _keeps,
        "rope": st.sampled_from(["rope=pre", "rope=post"]),
        "entropy": st.sampled_from(["entropy=none", "entropy=zstd", "entropy=ans"]),
        "mix": _parts.map(lambda part: f"mix={part}/v@fp32"),
        "of": st.sampled_from(["of=cache", "of=latents"]),
    },
).flatmap(lambda options: st.permutations(list(options.values())))
_specs = st.builds(lambda base, options: "+".join([base, *options]), _bases, _options)


@given(_specs)
def test_a_spec_prints_to_text_that_parses_to_the_same_spec(text):
    """Parsing and printing round-trip, and printing is a fixed point."""
    spec = CodecSpec.parse(text)
    assert CodecSpec.parse(str(spec)) == spec
    assert str(CodecSpec.parse(str(spec))) == str(spec)


@given(_specs)
def test_a_printed_spec_needs_no_shell_quoting(text):
    """Only letters, digits and marks that no shell touches."""
    assert set(str(CodecSpec.parse(text))) <= set("abcdefghijklmnopqrstuvwxyzLH0123456789:=,+._-@/")


@given(st.text(alphabet="kvLH0123456789.:=,+@/-int8fprodeby", max_size=40))
def test_any_text_is_a_spec_or_a_spec_error(text):
    """The parser raises nothing else."""
    with suppress(SpecError):
        CodecSpec.parse(text)


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("int8:per=token", "int8"),
        ("nf4:block=1", "nf4:block=1"),
        ("fp16+keep=1,by=random", "fp16"),
        ("fp16+entropy=none+rope=post+of=cache", "fp16"),
        ("int8+of=latents+mix=v@fp16", "int8+mix=v@fp16+of=latents"),
        ("int8+rope=pre+keep=0.50,sinks=4,by=recency", "int8+keep=0.5,sinks=4+rope=pre"),
        ("int8+mix=v@fp16/kL0-03@int8:per=head", "int8+mix=kL0-3@int8:per=head/v@fp16"),
        ("int8+mix=k@int8/v@fp16", "int8+mix=v@fp16"),
        ("rd:bits=2.0+rope=pre", "rd:bits=2"),
        ("rd:quality=0.020", "rd:quality=0.02"),
    ],
)
def test_spellings_of_one_codec_have_one_canonical_string(given, canonical):
    """Defaults go, order is fixed."""
    assert str(CodecSpec.parse(given)) == canonical


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "at 0.*unknown base; known: fp32"),
        ("int9", "at 0, 'int9': unknown base; known: fp32, fp16"),
        ("INT8", "unknown base"),
        ("int8:per=row", "per must be one of token, head; 'row'"),
        ("int8:blocks=4", "no parameter 'blocks'; it takes per, center"),
        ("int8:per=head,per=head", "at 14, 'per=head': 'per' is given twice"),
        ("nf4:block=0", "block must be at least 1 channel; 0"),
        ("nf4:block=1.5", "whole number; '1.5'"),
        ("int8:per", "at 5, 'per': key=value expected"),
        ("int8:per=", "at 5, 'per=': key=value expected$"),
        ("int8:=token", "at 5, '=token': key=value expected$"),
        ("fp16:bits=3", "fp16 has no parameter 'bits'; it takes none$"),
        ("int8+prune=0.5", "at 5, 'prune=0.5': unknown option; known: keep=, rope=, entropy=, mix=, of="),
        ("int8+", "unknown option"),
        ("int8+rope", "rope=... expected"),
        ("int8+rope=mid", "at 10, 'mid': must be one of pre, post"),
        ("int8+rope=pre+rope=pre", "'rope' is given twice"),
        ("int8+entropy=gzip", "one of none, zstd, ans"),
        ("int8+of=weights", "one of cache, latents"),
        ("int8+keep=0", "above 0 and up to 1; 0.0 is not"),
        ("int8+keep=0.0", "above 0"),
        ("int8+keep=1.01", "up to 1; 1.01"),
        ("int8+keep=nan", "'nan' is not"),
        ("int8+keep=-0.5", "'-0.5' is not"),
        ("int8+keep=half", "'half' is not"),
        ("int8+keep=0.5,ratio=0.5", "at 10, '0.5,ratio=0.5': the ratio stands first, without a name$"),
        ("int8+keep=0.5,scope=token", ": keep scope must be one of layer, head; 'token' is not$"),
        ("int8+keep=0.5,sinks=-1", "whole number; '-1'"),
        ("int8+mix=kL3-1@fp16", "3-1 runs backwards"),
        ("int8+mix=L0-1@fp16/kL1-2@fp32", "overlaps 'L0-1@fp16'"),
        ("int8+mix=@fp16", "a range"),
        ("int8+mix=kL0-1@fp16/kL1-2@fp32", "overlaps 'kL0-1@fp16'"),
        ("int8+mix=L1-2@fp16/L0-1@fp32", "overlaps"),
        ("int8+mix=L2-3@fp16/L0-5@fp32", "overlaps"),
        ("int8+mix=H1-2@fp16/L0-1@fp32", "overlaps"),
        ("int8+mix=H3-1@fp16", "at 9, 'H3-1': 3-1 runs backwards$"),
        ("int8+mix=x@fp16", r": a range .k.v..L<a>-<b>..H<a>-<b>. expected, such as k, vL0-3 or L4-7H0-1$"),
        ("int8+mix=k", "at 9, 'k': <range>@<base> expected$"),
        ("int8 ", "unknown base"),
        ("fp16+keep=0.5," + "sinks=0" * 99, "at most 512 characters"),
    ],
)
def test_a_malformed_spec_is_refused_saying_where_and_what_is_allowed(text, says):
    """The message quotes the offending text and lists what may stand there."""
    with pytest.raises(SpecError, match=says):
        CodecSpec.parse(text)


def test_a_spec_whose_canonical_form_is_too_long_is_refused():
    """A frame would be written that nobody reads: 1e-5 grows to 1e-05."""
    name = "a" * (512 - len("fp32+keep=1e-5,by="))
    assert len(str(CodecSpec.parse(f"fp32+keep=1e-5,by={name[1:]}"))) == 512
    with pytest.raises(SpecError, match="has 513 as written"):
        CodecSpec.parse(f"fp32+keep=1e-5,by={name}")


def test_an_entropy_coder_nobody_has_built_is_not_offered():
    """It parses, and making a codec of it says what there is instead."""
    with pytest.raises(SpecError, match="does not offer entropy=ans; use entropy=zstd or none"):
        Codec(CodecSpec.parse("int8+entropy=ans"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rd:bits=2+rope=post", "for keys before RoPE"),
        ("int8+mix=kL0-3@rd:bits=2", "for keys before RoPE"),
        ("rd:bits=2+mix=H0-1@int8", "leave H out of mix="),
    ],
)
def test_calibrated_tables_are_not_offered_for_what_they_are_not_of(text, says):
    """Before anything is encoded, also in a mix."""
    with pytest.raises(SpecError, match=says):
        Codec(CodecSpec.parse(text))


@pytest.mark.parametrize(
    ("ratio", "tokens", "kept"), [(0.5, 12, 6), (0.1, 12, 1), (0.01, 3, 1), (0.7, 10, 7), (0.25, 6, 2)]
)
def test_keep_rounds_the_ratio_half_up_and_never_to_nothing(ratio, tokens, kept):
    """0.25 of 6 tokens is 2."""
    assert Keep(ratio).count(tokens) == kept


def test_a_selector_nobody_has_built_is_not_offered():
    """Any name parses; a codec of it lists the selectors there are."""
    with pytest.raises(SpecError, match="'oracle' is not offered by this build; offered: recency, front, random"):
        Codec(CodecSpec.parse("int8+keep=0.5,by=oracle"))


@pytest.mark.parametrize(
    "parts", [("k", "v"), ("kL0-1", "kL2-9"), ("L0-1H0-9", "L2-2H3-3"), ("L0-1H0-9", "L0-1H10-10")]
)
def test_parts_that_share_no_plane_stand_beside_each_other(parts):
    """Keys and values, layers or heads apart."""
    text = "int8+mix=" + "/".join(f"{part}@fp16" for part in parts)
    assert str(CodecSpec.parse(text)) == text


def test_parts_stand_by_what_they_cover_first_both_halves_then_keys_then_values():
    """Within a half all layers, then by layer; within layers all heads, then by head."""
    parts = ["H9-9", "L7-7H0-0", "L7-7H1-1", "kL0-0H5-5", "kL0-3H0-0", "vH8-8", "vL0-0H2-2", "vL10-10H0-0"]
    text = "int8+mix=" + "/".join(f"{part}@fp16" for part in parts)
    backwards = "int8+mix=" + "/".join(f"{part}@fp16" for part in reversed(parts))
    assert str(CodecSpec.parse(backwards)) == text


def test_a_base_made_in_code_that_nobody_has_built_is_not_offered():
    """The text of a spec was refused before."""
    with pytest.raises(
        SpecError, match=r"^codec base 'int9' is not offered by this build; offered: fp32, fp16, bf16, "
    ):
        Base("int9").quantizer()


def test_a_parameter_of_a_base_made_in_code_is_refused_by_the_base_s_name():
    """As that of a text is."""
    with pytest.raises(SpecError, match=r"^int8 has no parameter 'block'"):
        Base("int8", (("block", "32"),)).quantizer()


def test_a_spec_made_in_code_equals_the_one_parsed():
    """The dataclass is the value; text is only its form."""
    parsed = CodecSpec.parse("int8+keep=0.5,scope=head+rope=pre")
    assert parsed == CodecSpec(parsed.base, Keep(0.5, scope="head"), RopePhase.PRE)
