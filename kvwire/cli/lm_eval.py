"""``kvwire experiment lm-eval``: tasks of lm-evaluation-harness, answered over the wire."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kvwire.cli.options import (
    DEFAULT_PAIR,
    CaOption,
    CertOption,
    DataOption,
    FuserOption,
    FusersOption,
    JsonOption,
    KeyOption,
    PairOption,
    PolicyOption,
    ReceiverOption,
    TokenOption,
    save,
    services,
)
from kvwire.errors import InvalidRequestError, NotFoundError
from kvwire.requests import FaultPolicy, Method, RelayMode

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager


def lm_eval(
    tasks: Annotated[str, typer.Option(help="names of tasks and groups, with commas between them")],
    limit: Annotated[int | None, typer.Option(min=1, help="at most so many items of each task")] = None,
    num_fewshot: Annotated[int | None, typer.Option(min=0, help="examples before each item")] = None,
    include_path: Annotated[Path | None, typer.Option(help="folder with tasks of your own")] = None,
    apply_chat_template: Annotated[bool, typer.Option("--apply-chat-template", help="each text is a chat")] = False,
    log_samples: Annotated[bool, typer.Option("--log-samples", help="every item's answers go into --json")] = False,
    use_cache: Annotated[Path | None, typer.Option(help="keep answers here, and go on from them")] = None,
    method: Annotated[Method, typer.Option(help="who reads what")] = Method.PREFIX,
    codec: Annotated[str, typer.Option(help="codec spec of the cache")] = "fp16",
    policy: PolicyOption = "",
    fuser: FuserOption = "identity",
    on_fault: Annotated[FaultPolicy, typer.Option(help="what to do when the sharer fails")] = FaultPolicy.FAIL,
    relay: Annotated[RelayMode, typer.Option(help="what the sharer sends in method text")] = RelayMode.WRITTEN,
    prompt_tokens: Annotated[
        int, typer.Option(min=0, help="last tokens that are the prompt; what stands before, only the sharer reads")
    ] = 0,
    separator: Annotated[str, typer.Option(help=r"or: the prompt begins behind the last one (\n is a new line)")] = "",
    num_concurrent: Annotated[int, typer.Option(min=1, help="requests in flight")] = 4,
    tokenizer: Annotated[str, typer.Option(help="model with the receiver's tokenizer, if the store has none")] = "",
    data: DataOption = None,
    pair: PairOption = DEFAULT_PAIR,
    fusers: FusersOption = None,
    receiver: ReceiverOption = "",
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    token_file: TokenOption = None,
    json_file: JsonOption = None,
) -> None:
    """Run tasks of lm-evaluation-harness over the wire; beside its own, those of local files that we ship."""
    try:
        from lm_eval import simple_evaluate
        from lm_eval.utils import handle_non_serializable, make_table
    except ImportError as missing:
        raise NotFoundError(
            f"lm-evaluation-harness is not here ({missing}); pip install 'kvwire[lm-eval]'"
        ) from missing
    from experiments.harness.model import KvwireLM

    names, manager = _tasks(tasks, include_path, data)
    with services(pair, receiver, "", fusers, codec) as addresses:
        model = KvwireLM(
            receiver=receiver or (addresses.sharer if method is Method.SHARER_ONLY else addresses.receiver),
            method=method,
            codec=codec,
            policy=policy,
            fuser=fuser,
            on_fault=on_fault,
            relay=relay,
            prompt_tokens=prompt_tokens,
            separator=separator.replace(r"\n", "\n"),
            tokenizer=tokenizer or ("" if receiver else _answering(pair, method)),
            num_concurrent=num_concurrent,
            ca=ca,
            certificate=cert,
            private_key=key,
            token_file=token_file,
        )
        found = simple_evaluate(
            model=model,
            tasks=names,
            limit=limit,
            num_fewshot=num_fewshot,
            apply_chat_template=apply_chat_template,
            log_samples=log_samples,
            use_cache=str(use_cache) if use_cache else None,
            task_manager=manager,
        )
    sys.stdout.write(make_table(found) + "\n")
    sys.stdout.write("\n".join(f"{name:<15} {value}" for name, value in model.traffic.to_json().items()) + "\n")
    save(found, json_file, default=handle_non_serializable)


def _tasks(tasks: str, include_path: Path | None, data: Path | None) -> "tuple[list[str], TaskManager]":
    """Their names, and where lm-eval finds them.

    Raises:
        InvalidRequestError: There is none of a name.
    """
    from lm_eval.tasks import TaskManager

    from experiments.harness import TASKS

    folders = [TASKS, *([include_path] if include_path else [])]
    manager = TaskManager(include_path=folders, metadata={"data": str(data)} if data else {})
    names = tasks.split(",")
    if unknown := [name for name in names if not manager.match_tasks([name])]:
        raise InvalidRequestError(f"no task {', '.join(unknown)}; `python -m lm_eval ls tasks` lists those of lm-eval")
    return names, manager


def _answering(pair: str, method: Method) -> str:
    """The model that answers."""
    from kvwire.processes import Pair

    models = Pair.parse(pair)
    return models.sharer if method is Method.SHARER_ONLY else models.receiver
