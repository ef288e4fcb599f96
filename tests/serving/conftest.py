"""vLLM's connector base as it is published, where vLLM is not, and tiny models whose caches lie in blocks."""

import importlib
import json
import sys
import types
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.cache_utils import DynamicCache

from fuser.binding import Pairing, Side
from fuser.projectors.ridge import Band, Openings, RidgeFuser
from kvwire.engine.card import model_card
from kvwire.models.load import load
from kvwire.models.store import ModelStore
from serving.card_file import write_card
from serving.paged import PagedLayer
from tests.serving import signatures


class Published:
    """What vLLM 0.33 publishes, by tests/serving/signatures.json."""

    def __init__(self):
        self.snapshot = json.loads(signatures.FILE.read_text())
        self.classes = self.snapshot["classes"]
        self.base = signatures.abstract_base(self.classes["KVConnectorBase_V1"]["methods"])

    def made(self, name, **values):
        """An object with some of a class's attributes, and none that are not published."""
        unknown = values.keys() - {*self.classes[name]["names"], *self.classes[name]["methods"]}
        assert not unknown, f"vLLM's {name} has no {unknown}"
        return SimpleNamespace(**values)

    def modules(self):
        """The modules that the connector imports."""
        role, source = (
            SimpleNamespace(**{each: each for each in self.classes[name]["names"]})
            for name in ("KVConnectorRole", "CacheHitSource")
        )
        metadata = type("KVConnectorMetadata", (), {})
        base = {"KVConnectorBase_V1": self.base, "KVConnectorMetadata": metadata, "KVConnectorRole": role}
        holds = {
            "vllm.distributed.kv_transfer.kv_connector.v1.base": base,
            "vllm.v1.metrics.cache_hit_source": {"CacheHitSource": source},
        }
        found = {}
        for path, members in holds.items():
            parts = path.split(".")
            for end in range(1, len(parts) + 1):
                found.setdefault(".".join(parts[:end]), types.ModuleType(".".join(parts[:end])))
            vars(found[path]).update(members)
        return found


@pytest.fixture(scope="session")
def published():
    """Names and signatures."""
    return Published()


@pytest.fixture(scope="session")
def connector_class(published):
    """The connector, upon a base with vLLM's own signatures."""
    with pytest.MonkeyPatch.context() as patch:  # ends here: nobody else is to find a vLLM that is none
        for name, module in published.modules().items():
            patch.setitem(sys.modules, name, module)
        return importlib.import_module("serving.vllm_connector").KvwireConnector


class TinyModel:
    """A model, its card, and its caches as an engine holds them."""

    def __init__(self, folder):
        self.model = AutoModelForCausalLM.from_pretrained(folder).eval()
        self.card = model_card(load(ModelStore().pull(f"path:{folder}"), dtype=torch.float32))

    @torch.no_grad()
    def read(self, tokens):
        """Keys and values of each layer, ``(kv_heads, tokens, head_dim)``."""
        cache = self.model(torch.tensor([tokens]), use_cache=True).past_key_values
        return [(layer.keys[0], layer.values[0]) for layer in cache.layers]

    @torch.no_grad()
    def goes_on(self, cache, token):
        """Logits of a token read behind a cache."""
        held = DynamicCache()
        for index, (keys, values) in enumerate(cache):
            held.update(keys[None], values[None], index)
        return self.model(torch.tensor([[token]]), past_key_values=held).logits[0, -1]

    def blocks(self, make, layout):
        """An empty cache of each layer."""
        return [PagedLayer(make(), layout, self.card.kv_heads, self.card.head_dim) for _ in self.card.layers]


@pytest.fixture(scope="session")
def llama(own_store, tiny_llama):  # noqa: ARG001  # the store is where fingerprints are remembered
    """4 layers, 2 key-value heads of 16."""
    return TinyModel(tiny_llama)


@pytest.fixture(scope="session")
def other(own_store, other_llama):  # noqa: ARG001
    """3 layers, 1 key-value head of 32, the same tokenizer."""
    return TinyModel(other_llama)


@pytest.fixture(scope="session")
def ridge():
    """Make a map with numbers of its own: each of four receiver layers from one or two of the sharer's three."""

    def made(sharer, receiver):
        pairing = Pairing(Side.of(sharer), Side.of(receiver))
        bands = (Band((0, 1), (0, 1), 5), Band((1, 2), (2, 3), 6))
        draw = torch.Generator().manual_seed(3)
        shapes = RidgeFuser.shapes(bands, pairing)
        tensors = {name: torch.rand(shape, generator=draw) + 0.1 for name, shape in shapes.items()}
        return RidgeFuser(bands, tensors, pairing, Openings((), ()))

    return made


@pytest.fixture(scope="session")
def card_of(tmp_path_factory):
    """Path of a file with a model's card."""

    def written(tiny):
        path = tmp_path_factory.mktemp("card") / "card.json"
        write_card(tiny.card, path)
        return path

    return written
