"""Models that tests share: one real model from the store, and tiny random ones of three families.

The tiny models are made in a second, the same ones in every run: 4 layers, 4 query and 2 key-value heads of 16
values, 512 tokens of vocabulary, and a byte-level tokenizer with a chat template.
"""

import datetime as dt
import importlib.util
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import hypothesis
import pytest
import torch
import trustme
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from kvwire import processes
from kvwire.models.manifest import StoredModel
from kvwire.models.store import ModelStore, default_home
from tests import warm

# As in the services: torch computes on one thread, and tests that share a machine do not fight over its cores.
torch.set_num_threads(1)

# A shell starts background jobs deaf to Ctrl-C, and what they start is deaf too; some tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# On a busy machine a slow example says nothing about the code.
hypothesis.settings.register_profile(
    "shared-machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("shared-machine")

# Taken before any test points the environment elsewhere.
_STORE = default_home()

_VOCABULARY = 512
_SPECIAL = ["<bos>", "<eos>", "<turn>", "<end>"]
_ROLES = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<eos>"}
_CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'tool' %}{{ raise_exception('tools have no turn') }}{% endif %}"
    "<turn>{{ message['role'] }}\n{{ message['content'] }}<end>\n{% endfor %}"
    "{% if add_generation_prompt %}<turn>assistant\n{% endif %}"
)
_SHAPE: dict[str, Any] = {
    "vocab_size": _VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 2048,
    "initializer_range": 0.125,  # 1/sqrt(hidden): logits spread out, so that greedy choices are no coin flips
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What needs a GPU is skipped, and says so, where there is none."""
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("no CUDA GPU here: not run")


@pytest.fixture(scope="session", autouse=True)
def warm_services() -> Iterator[None]:
    """Both services come from a process that has imported what they need, but for those on another host."""
    cold, parents = processes.started, []

    def started(command: Sequence[str], environment: Mapping[str, str], log: IO[str] | None) -> Any:
        python, _, module, *arguments = command
        if python != sys.executable or not module.endswith("_service"):
            return cold(command, environment, log)
        parents.extend([] if parents else [warm.Parent(environment)])
        if not parents[0].fits(environment):
            return cold(command, environment, log)
        return parents[0].fork(module, arguments, environment, log.fileno() if log else 2)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "started", started)
        yield
    for parent in parents:
        parent.close()


@pytest.fixture(scope="session")
def own_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A model store of the tests' own, one for all: services that run must not see another one's files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KVWIRE_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session", params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Where a service may compute: the same test on the CPU in every run, so that what a GPU runs cannot rot."""
    return torch.device(request.param)


@pytest.fixture
def set_threads() -> Iterator[Callable[[int], None]]:
    """Sets how many threads torch computes on; after the test they are as many as before."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def smollm2() -> StoredModel:
    """SmolLM2-135M of the default store, pulled on first use; tests that ask for it are marked `model`."""
    return ModelStore(_STORE).pull("smollm2-135m")


@pytest.fixture(scope="session")
def official_c2c() -> ModuleType:
    """tests/official_c2c.py: checkpoints in the official layout, and their formula in float64."""
    spec = importlib.util.spec_from_file_location("official_c2c", Path(__file__).with_name("official_c2c.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Authority:
    """A certificate authority of the tests; ``certificate`` is the path of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ca = trustme.CA()
        self.certificate = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(self.certificate)

    def issue(self, *names: str, expired: bool = False) -> tuple[Path, Path]:
        """Paths of a certificate of these hosts, and of its key."""
        ended = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
        times = {"not_before": ended - dt.timedelta(days=1), "not_after": ended} if expired else {}
        leaf, number = self._ca.issue_cert(*names, **times), len(list(self._folder.iterdir()))
        certificate, key = (self._folder / f"{number}-{what}.pem" for what in ("certificate", "key"))
        leaf.cert_chain_pems[0].write_to_path(certificate)
        leaf.private_key_pem.write_to_path(key)
        return certificate, key


@pytest.fixture(scope="session")
def new_authority(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Authority]:
    """Make a certificate authority of one's own."""
    return lambda: Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny Llama; its tokenizer adds no BOS."""
    return _save(LlamaForCausalLM, LlamaConfig(**_SHAPE), tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def other_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a Llama of another size with the tokenizer of the tiny one: 3 layers, 1 key-value head of 32."""
    size = {"num_hidden_layers": 3, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32}
    return _save(LlamaForCausalLM, LlamaConfig(**_SHAPE | size), tmp_path_factory.mktemp("other-llama"))


@pytest.fixture(scope="session")
def tiny_qwen2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny Qwen2, whose queries, keys and values have a bias; its tokenizer adds no BOS."""
    return _save(Qwen2ForCausalLM, Qwen2Config(**_SHAPE), tmp_path_factory.mktemp("qwen2"))


@pytest.fixture(scope="session")
def tiny_gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny Gemma 3 with a sliding window of 8 tokens in three of four layers; its tokenizer adds BOS."""
    sliding, full = "sliding_attention", "full_attention"
    config = Gemma3TextConfig(
        **_SHAPE,
        query_pre_attn_scalar=16,
        sliding_window=8,
        layer_types=[sliding, sliding, full, sliding],
        rope_parameters={
            sliding: {"rope_type": "default", "rope_theta": 10_000.0},
            full: {"rope_type": "default", "rope_theta": 1_000_000.0},
        },
    )
    return _save(Gemma3ForCausalLM, config, tmp_path_factory.mktemp("gemma"), adds_bos=True)


def _save(family: Any, config: Any, folder: Path, *, adds_bos: bool = False) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = family(config)
        for name, parameter in model.named_parameters():
            if name.endswith("_proj.bias"):  # transformers starts them at zero, which would hide a forgotten bias
                torch.nn.init.normal_(parameter)
    model.save_pretrained(folder)
    _tokenizer(adds_bos=adds_bos).save_pretrained(folder)
    return folder


def _tokenizer(*, adds_bos: bool) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    licence = Path(__file__).parents[1] / "LICENSE"  # eleven kilobytes of English that every checkout has
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=_SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([licence.read_text(encoding="utf-8")], trainer)
    if adds_bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<bos> $A", pair="<bos> $A $B", special_tokens=[("<bos>", 0)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_input_names=["input_ids", "attention_mask"],
        chat_template=_CHAT_TEMPLATE,
        **_ROLES,
    )
