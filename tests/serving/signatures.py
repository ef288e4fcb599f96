"""Writes down what vLLM's connector base and what it is given look like, and makes a base of that where vLLM is not.

::

    python -m pip download --no-deps --dest wheels vllm==0.33.0
    python tests/serving/signatures.py wheels/vllm-0.33.0-*.whl

Names, parameters and what is abstract are read off the source, which is not run.
"""

import ast
import hashlib
import inspect
import json
import sys
import zipfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

BASE = "vllm/distributed/kv_transfer/kv_connector/v1/base.py"
SOURCES = {
    BASE: ("KVConnectorBase_V1", "KVConnectorMetadata", "KVConnectorRole"),
    "vllm/config/device.py": ("DeviceConfig",),
    "vllm/config/kv_transfer.py": ("KVTransferConfig",),
    "vllm/config/parallel.py": ("ParallelConfig",),
    "vllm/config/vllm.py": ("VllmConfig",),
    "vllm/v1/core/sched/output.py": ("NewRequestData", "CachedRequestData", "SchedulerOutput"),
    "vllm/v1/kv_cache_interface.py": ("KVCacheConfig", "KVCacheGroupSpec", "KVCacheSpec", "AttentionSpec"),
    "vllm/v1/metrics/cache_hit_source.py": ("CacheHitSource",),
    "vllm/v1/request.py": ("Request",),
}
FILE = Path(__file__).with_name("signatures.json")

#: Whose methods the connector overrides or calls; of the others it reads attributes only.
_CALLED = ("KVConnectorBase_V1", "KVTransferConfig")

_KINDS = {"classmethod": classmethod, "staticmethod": staticmethod, "property": property}


def of_source(source: bytes, name: str) -> dict[str, Any]:
    """A class's methods, each as one line, and the names its objects have: fields, members, attributes."""
    [found] = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == name]
    nodes = list(ast.walk(found))
    names = {
        each.target.id for each in found.body if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    }
    names |= {target.id for each in found.body if isinstance(each, ast.Assign) for target in each.targets}
    names |= {each.attr for each in nodes if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store)}
    methods = {each.name: _line_of_source(each) for each in found.body if isinstance(each, ast.FunctionDef)}
    return {"methods": methods if name in _CALLED else {}, "names": sorted(names)}


def _line_of_source(function: ast.FunctionDef) -> str:
    decorators = {each.id for each in function.decorator_list if isinstance(each, ast.Name)}
    arguments = function.args
    names = [each.arg for each in (*arguments.posonlyargs, *arguments.args)]
    without = len(names) - len(arguments.defaults)
    parameters = [name + "=" * (index >= without) for index, name in enumerate(names)]
    parameters += [f"*{arguments.vararg.arg}"] if arguments.vararg else []
    parameters += [f"**{arguments.kwarg.arg}"] if arguments.kwarg else []
    return _line("abstractmethod" in decorators, next(iter(decorators & set(_KINDS)), "method"), parameters)


def of_class(found: type, name: str) -> str:
    """The line of a method that is there, so that it can be compared."""
    member = inspect.getattr_static(found, name)
    kind = type(member).__name__ if type(member).__name__ in _KINDS else "method"
    function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
    marks = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    parameters = inspect.signature(function).parameters.values()
    shown = [marks.get(each.kind, "") + each.name + "=" * (each.default is not each.empty) for each in parameters]
    return _line(getattr(function, "__isabstractmethod__", False), kind, shown)


def _line(abstract: bool, kind: str, parameters: list[str]) -> str:  # noqa: FBT001  # a mark, not a switch
    return f"{'abstract ' * abstract}{kind} ({', '.join(parameters)})"


def abstract_base(methods: dict[str, str]) -> type:
    """A class with these methods; what it does is what the connector uses of vLLM's own, and nothing else."""

    def init(self: Any, vllm_config: Any, role: Any, kv_cache_config: Any) -> None:
        del role, kv_cache_config
        self._kv_transfer_config = vllm_config.kv_transfer_config
        self._connector_metadata = None

    def bind(self: Any, connector_metadata: Any) -> None:
        self._connector_metadata = connector_metadata

    own = {"__init__": init, "bind_connector_metadata": bind}
    own["_get_connector_metadata"] = lambda self: self._connector_metadata
    return type("KVConnectorBase_V1", (ABC,), {name: own.get(name) or _stub(line) for name, line in methods.items()})


def _stub(line: str) -> Any:
    def stub(*_: Any, **__: Any) -> None:
        raise NotImplementedError

    made = abstractmethod(stub) if line.startswith("abstract ") else stub
    kind = line.removeprefix("abstract ").split()[0]
    return _KINDS[kind](made) if kind in _KINDS else made


if __name__ == "__main__":
    with zipfile.ZipFile(sys.argv[1]) as wheel:
        sources = {path: wheel.read(path) for path in SOURCES}
    snapshot = {
        "version": Path(sys.argv[1]).name.split("-")[1],
        "sha256": {path: hashlib.sha256(source).hexdigest() for path, source in sources.items()},
        "classes": {name: of_source(sources[path], name) for path, names in SOURCES.items() for name in names},
    }
    FILE.write_text(json.dumps(snapshot, indent=1) + "\n", encoding="utf-8")
