"""Clients and services a minor version apart: what fits works, and what does not is refused with both versions.

The newer side is this code with protos that have a field, a value or a call more in each place, generated here, in
processes of its own; the older client has nothing but stubs of the last release's protos.
"""

import json
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from kvwire.client import Client
from kvwire.errors import InvalidRequestError
from kvwire.processes import FREE_PORTS, running_service
from kvwire.requests import MINOR_VERSION, Exchange, GenerateRequest, Method, ScoreRequest, Text

ROOT = Path(__file__).parents[2]
FREE = ["--threads", "1", "--log-level", "warning", *FREE_PORTS]
CONTEXT = Text("a perpetual license. ")

MORE_IN_PROTOS = {
    "model_service.proto": [
        ("bool ignore_eos = 6;", "bool ignore_eos = 6;\n  // News.\n  string news = 99;"),
        ("string software = 9;", "string software = 9;\n  // News.\n  string news = 99;"),
        ("double logprob = 3;", "double logprob = 3;\n  // News.\n  string news = 99;"),
        ("service ModelService {", "service ModelService {\n  rpc Guess(DescribeRequest) returns (DescribeResponse);"),
    ],
    "exchange.proto": [
        ("METHOD_FUSE = 6;", "METHOD_FUSE = 6;\n  METHOD_NEWS = 99;"),
        ("string answering_model = 11;", "string answering_model = 11;\n  string news = 99;"),
    ],
    "cache.proto": [("bytes content_digest = 21;", "bytes content_digest = 21;\n  string news = 99;")],
    "sharer_service.proto": [("Alignment alignment = 16;", "Alignment alignment = 16;\n  string news = 99;")],
}
# What the newer services say of it, unasked.
MORE_IN_CODE = {
    "requests.py": [(f"MINOR_VERSION = {MINOR_VERSION}", f"MINOR_VERSION = {MINOR_VERSION + 1}")],
    "rpc/model_serde.py": [
        ("software=description.software,", 'software=description.software, news="more",'),
        ("for m in description.methods]", "for m in description.methods] + [99]"),
    ],
    "rpc/answer_serde.py": [
        ("logprob=token.logprob)", 'logprob=token.logprob, news="more")'),
        ("answering_model=report.answering_model,", 'answering_model=report.answering_model, news="more",'),
    ],
    "rpc/stream_serde.py": [
        ("content_digest=header.content_digest,", 'content_digest=header.content_digest, news="more",'),
    ],
    "rpc/share_request_serde.py": [
        ("info=info_to_proto(request.info),", 'info=info_to_proto(request.info), news="more",'),
    ],
}

# Of another version: it has nothing of kvwire but the stubs that lie beside it.
CLIENT = """
import json, sys
import grpc
from kvwire.v1 import exchange_pb2, model_service_pb2 as pb, model_service_pb2_grpc

def generate(method=exchange_pb2.METHOD_PREFIX, **info):
    asked = pb.GenerateRequest(max_new_tokens=3, ignore_eos=True, exchange={"method": method, "codec": "int8"})
    asked.info.protocol_version = 1
    for name, value in info.items():
        setattr(asked.info, name, value)
    asked.context.text, asked.prompt.text = "a perpetual license. ", "hello"
    return asked

def outcome(call):
    try:
        return call()
    except grpc.RpcError as error:
        return [error.code().name, error.details()]

def tokens(request):
    return [event.token.id for event in stub.Generate(request) if event.HasField("token")]

with grpc.insecure_channel(sys.argv[1]) as channel:
    stub = model_service_pb2_grpc.ModelServiceStub(channel)
    asked = generate()
    found = {"described": outcome(lambda: stub.Describe(pb.DescribeRequest()).software)}
    found["answered"] = outcome(lambda: tokens(asked))
    if "news" in pb.GenerateRequest.DESCRIPTOR.fields_by_name:
        asked.news = "more"
        found["field"] = outcome(lambda: tokens(asked))
        found["value"] = outcome(lambda: tokens(generate(99)))
        found["call"] = outcome(lambda: stub.Guess(pb.DescribeRequest()).software)
        found["needed"] = outcome(lambda: tokens(generate(needed_minor_version=int(sys.argv[2]))))
        found["not needed"] = outcome(lambda: tokens(generate(needed_minor_version=int(sys.argv[2]) - 1)))
    else:
        found["minor"] = "needed_minor_version" in pb.RequestInfo.DESCRIPTOR.fields_by_name
    print(json.dumps(found))
"""


def protoc(folder, *options, files):
    out = [f"--python_out={folder}", f"--grpc_python_out={folder}"]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *map(str, options), *out, *files], check=True)


def changed(file, edits):
    text = file.read_text()
    for before, after in edits:
        assert text.count(before) == 1, (file, before)
        text = text.replace(before, after)
    file.write_text(text)


def ask(folder, address):
    """What a client of the version in a folder finds at an address."""
    (folder / "client.py").write_text(CLIENT)
    command = [sys.executable, folder / "client.py", address, str(MINOR_VERSION + 1)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def newer(tmp_path_factory):
    """A folder with a whole kvwire that is a minor version ahead."""
    folder = tmp_path_factory.mktemp("newer")
    shutil.copytree(ROOT / "kvwire", folder / "kvwire", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "proto", folder / "proto")
    for name, edits in MORE_IN_PROTOS.items():
        changed(folder / "proto/kvwire/v1" / name, edits)
    for name, edits in MORE_IN_CODE.items():
        changed(folder / "kvwire" / name, edits)
    names = sorted(path.name for path in (ROOT / "proto/kvwire/v1").glob("*.proto"))
    protoc(folder, "-I", folder / "proto", files=[f"kvwire/v1/{name}" for name in names])
    return folder


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A folder with stubs of the last release's protos, and nothing else."""
    folder = tmp_path_factory.mktemp("released")
    names = sorted(path.name for path in (ROOT / "proto/kvwire/v1").glob("*.proto"))
    image = ROOT / "proto/released.binpb"
    protoc(folder, f"--descriptor_set_in={image}", files=[f"kvwire/v1/{name}" for name in names])
    for package in ("kvwire", "kvwire/v1"):
        (folder / package / "__init__.py").touch()
    return folder


async def test_a_client_of_the_last_release_is_answered(pair, released):
    """It does not know that there are minor versions."""
    async with pair.receiver_client() as client:
        expected = await client.generate_all(asked())
        software = (await client.describe()).software
    found = ask(released, pair.receiver.address)
    assert found == {"described": software, "answered": [token.id for token in expected.tokens], "minor": False}


async def test_a_newer_client_is_answered_or_told_what_it_needs_too_much(pair, newer):
    """What it can do without is answered; a value, a call or a version it needs is refused with its number."""
    async with pair.receiver_client() as client:
        tokens = [token.id for token in (await client.generate_all(asked())).tokens]
    found = ask(newer, pair.receiver.address)
    assert [found[each] for each in ("answered", "field", "not needed")] == [tokens] * 3
    assert found["value"][0] == "INVALID_ARGUMENT"
    assert "99" in found["value"][1]
    assert found["call"][0] == "UNIMPLEMENTED"
    status, words = found["needed"]
    assert status == "FAILED_PRECONDITION"
    assert f"needs protocol version 1.{MINOR_VERSION + 1}, this service speaks 1.{MINOR_VERSION}" in words


def asked(method=Method.PREFIX, sharer=""):
    exchange = Exchange(method, codec="int8", sharer=sharer)
    return GenerateRequest(Text("hello"), CONTEXT, exchange, 3, ignore_eos=True)


@pytest.fixture(scope="module")
def mixed(pair, newer, tmp_path_factory):
    """Receivers of both versions, each with a sharer of the other: ours, and the newer one."""
    logs, model = tmp_path_factory.mktemp("logs"), ["--model", f"path:{pair.model}", *FREE]
    inside = ["env", "-C", str(newer)]  # python -m finds the newer kvwire there, before the installed one
    with ExitStack() as stack:
        sharer = stack.enter_context(running_service("sharer_service", model, logs / "sharer.log", inside))
        ours = [*model, "--sharers", f"sharer={sharer.address}"]
        theirs = [*model, "--sharers", f"sharer={pair.sharer.address}"]
        yield (
            stack.enter_context(running_service("receiver_service", ours, logs / "ours.log")).address,
            stack.enter_context(running_service("receiver_service", theirs, logs / "newer.log", inside)).address,
        )


@pytest.mark.slow
@pytest.mark.parametrize("method", [Method.PREFIX, Method.TEXT, Method.RECEIVER_ONLY])
async def test_services_a_minor_version_apart_answer_as_those_of_one(pair, mixed, method):
    """Our receiver with a newer sharer and the other way round, both asked by our client."""
    async with pair.receiver_client() as client:
        expected = (await client.generate_all(asked(method))).text
    for address in mixed:
        async with Client(address) as client:
            assert (await client.generate_all(asked(method))).text == expected


@pytest.mark.slow
async def test_our_client_reads_a_newer_service(pair, mixed):
    """Whose card names a method we do not know, and whose every message has a field more."""
    _, newer_receiver = mixed
    async with Client(newer_receiver) as client, pair.receiver_client() as ours:
        described, own = await client.describe(), await ours.describe()
        assert (described.minor_version, own.minor_version) == (MINOR_VERSION + 1, MINOR_VERSION)
        assert described.methods == own.methods
        request = ScoreRequest(Text("hello"), (Text(" you"),), CONTEXT, Exchange(codec="int8"))
        assert (await client.score(request)).scores == (await ours.score(request)).scores
        with pytest.raises(InvalidRequestError, match="send it there"):
            await client.generate_all(asked(Method.SHARER_ONLY))


@pytest.mark.slow
def test_a_newer_client_gets_from_a_newer_service_what_it_needs(mixed, newer):
    """So that the refusals of an older one are its version's doing."""
    _, newer_receiver = mixed
    found = ask(newer, newer_receiver)
    assert found["needed"] == found["answered"]
