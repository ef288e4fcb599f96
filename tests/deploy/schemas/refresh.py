r"""Makes the schemas of this folder anew from pydantic models of the custom resources, which PyPI has.

::

    python -m pip download --no-deps --dest wheels cloudcoil-models-keda==2.16.1.0 \
      cloudcoil-models-prometheus-operator==0.80.1.0 cloudcoil-models-cert-manager==1.17.1.0
    python tests/deploy/schemas/refresh.py wheels

They come from the definitions that prometheus-operator, KEDA and cert-manager publish, all under Apache-2.0.
The modules are large, 100,000 lines in all, so only the classes that a resource needs are run, without their builders.
"""

import ast
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import pydantic

#: Resource -> start of the wheel's name, and the module in it.
RESOURCES = {
    "PodMonitor": ("cloudcoil_models_prometheus_operator", "cloudcoil/models/prometheus_operator/v1.py"),
    "PrometheusRule": ("cloudcoil_models_prometheus_operator", "cloudcoil/models/prometheus_operator/v1.py"),
    "ScaledObject": ("cloudcoil_models_keda", "cloudcoil/models/keda/v1alpha1.py"),
    "Certificate": ("cloudcoil_models_cert_manager", "cloudcoil/models/cert_manager/v1.py"),
    "Issuer": ("cloudcoil_models_cert_manager", "cloudcoil/models/cert_manager/v1.py"),
}

#: Words for people, and what a model fills in: neither says what is valid.
_NOT_KEPT = {"title", "description", "default"}


class _Strict(pydantic.BaseModel):
    """In place of the library's own base: what a resource does not define is refused."""

    model_config = pydantic.ConfigDict(extra="forbid")


class _Apimachinery:
    """In place of the library's models of metadata: Kubernetes' own schema has that."""

    ObjectMeta = dict


def schema(wheel: Path, module: str, resource: str) -> dict[str, Any]:
    """The JSON Schema of a resource."""
    with zipfile.ZipFile(wheel) as archive:
        tree = ast.parse(archive.read(module))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    needed: set[str] = set()
    waiting = [resource]
    while waiting:
        name = waiting.pop()
        if name in needed:
            continue
        needed.add(name)
        fields = [part for part in classes[name].body if isinstance(part, ast.AnnAssign)]
        classes[name].body = list[ast.stmt](fields)
        names = {node.id for part in fields for node in ast.walk(part) if isinstance(node, ast.Name)}
        waiting += names & set(classes)
    kept = [node for node in tree.body if not isinstance(node, ast.ClassDef) or node.name in needed]
    kept = [node for node in kept if not _of_the_library(node)]
    scope: dict[str, Any] = {
        "BaseModel": _Strict,
        "Resource": _Strict,
        "apimachinery": _Apimachinery,
        "__name__": __name__,
    }
    exec(compile(ast.Module(kept, []), module, "exec"), scope)  # noqa: S102  # pinned sources, run by hand
    scope[resource].model_rebuild(_types_namespace=scope)
    return _bare(scope[resource].model_json_schema(by_alias=True))


def _of_the_library(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cloudcoil")


def _bare(node: Any) -> Any:
    """A schema without the words; properties keep their names, whatever they are."""
    if isinstance(node, list):
        return [_bare(each) for each in node]
    if not isinstance(node, dict):
        return node
    found = {}
    for key, value in node.items():
        if key in ("properties", "$defs"):
            found[key] = {name: _bare(each) for name, each in value.items()}
        elif key not in _NOT_KEPT and not (key == "pattern" and "(?i)" in value):  # a flag inside: Go's way, not ours
            found[key] = _bare(value)
    return found


if __name__ == "__main__":
    for resource, (start, module) in RESOURCES.items():
        [wheel] = Path(sys.argv[1]).glob(f"{start}-*.whl")
        text = json.dumps(schema(wheel, module, resource), separators=(",", ":"), sort_keys=True)
        (Path(__file__).parent / f"{resource}.json").write_text(text + "\n")
