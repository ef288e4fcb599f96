"""``run.json``: everything a result depends on, written before the first line and never changed."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from experiments.engines.base import Introduction
from experiments.here import code_here
from experiments.plan import Block, Plan
from kvwire.errors import BindingError, InvalidRequestError
from loadtest.report import model_facts

FORMAT = 1


def provenance(
    plan: Plan,
    introduced: Sequence[Introduction],
    engine: Mapping[str, Any],
    artifacts: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """All of it; ``introduced`` are the workers, ``engine`` what is to be said of what runs them.

    ``artifacts``: SHA-256 of what was made for the recipe, by name.

    Raises:
        BindingError: The workers do not run one code and one pair of models; says what differs.
    """
    named, machines = plan.named, _machines(introduced)
    models = _one_of_all([_models(worker) for worker in introduced])
    return {
        "format": FORMAT,
        "begun": datetime.now(UTC).isoformat(timespec="seconds"),
        "recipe": {"name": named.name, "sha256": named.sha256, "text": named.source.text},
        "title": named.recipe.title,
        **({"row": list(named.recipe.row)} if named.recipe.row else {}),
        **({"artifacts": dict(artifacts)} if artifacts else {}),
        "seed": named.recipe.seed,
        "fusers": list(introduced[0].services["receiver"].fusers),
        "datasets": [_dataset(block) for block in plan.blocks],
        "models": models,
        "code": _one_of_all([code_here(), *(dict(worker.code) for worker in introduced)]),
        "machine": {**engine, **machines[0], **({"other_machines": machines[1:]} if machines[1:] else {})},
    }


def begin(path: Path, wanted: dict[str, Any]) -> None:
    """Write ``run.json``, or go on with the one that is there if it differs in nothing but the time.

    Raises:
        InvalidRequestError: It is of another run; says what differs.
    """
    if not path.is_file():
        written = path.with_suffix(".tmp")
        written.write_text(json.dumps(wanted, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        written.replace(path)
        return
    try:
        found = json.loads(path.read_bytes())
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InvalidRequestError(f"{path} is no provenance ({error}); use another folder") from error
    differing = _differences(found, json.loads(json.dumps(wanted)), "")
    if differing:
        raise InvalidRequestError(
            f"{path.parent} holds another run, and results must not be mixed; use another folder. "
            f"What differs: {'; '.join(differing[:5])}"
        )


def _models(worker: Introduction) -> dict[str, Any]:
    return {side: model_facts(description) for side, description in worker.services.items()}


def _one_of_all(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What all are; not all results would be of one thing otherwise."""
    for other in found[1:]:
        if differing := _differences(found[0], other, ""):
            raise BindingError(
                f"a worker is not as the others, and results must not be mixed: {'; '.join(differing[:5])}; "
                "give every machine the same kvwire, models and fusers"
            )
    return found[0]


def _machines(introduced: Sequence[Introduction]) -> list[dict[str, Any]]:
    """Each kind of machine once, in an order that does not depend on who came first."""
    kinds = {json.dumps(dict(worker.machine), sort_keys=True): dict(worker.machine) for worker in introduced}
    return [kinds[kind] for kind in sorted(kinds)]


def _differences(found: Any, wanted: Any, place: str) -> list[str]:
    """Paths of what is not equal, with both values, cut short."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        keys = [key for key in {**found, **wanted} if (place, key) != ("", "begun")]
        return [d for key in keys for d in _differences(found.get(key), wanted.get(key), f"{place}.{key}".lstrip("."))]
    if found == wanted:
        return []
    if place == "recipe.text":
        return []  # its hash is told already
    return [f"{place} was {str(found)[:60]}, is {str(wanted)[:60]}"]


def _dataset(block: Block) -> dict[str, Any]:
    """Hash, ids and clusters of the items in use: the hash is over what was asked, whatever file it came from."""
    fields = [question.fields for question in block.questions]
    text = json.dumps(fields, sort_keys=True, ensure_ascii=False)
    return {
        "name": block.dataset,
        "items_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "items": [question.id for question in block.questions],
        "clusters": [question.cluster for question in block.questions],
        "arms": [arm.to_json() for arm in block.arms],
    }
