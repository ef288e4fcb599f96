"""Whole tasks of lm-eval over the wire, with the results of lm-eval's own model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import lm_eval
import pytest
from lm_eval.tasks import TaskManager

from experiments.harness import TASKS
from kvwire.errors import NotFoundError

DATA = Path(os.environ.get("KVWIRE_DATA") or Path(__file__).parents[4] / "shared" / "data")
LOCAL = ["arc_easy_local", "openbookqa_local", "openbookqa_fact_local"]


def evaluated(model, data, tasks=LOCAL, **options):
    manager = TaskManager(include_path=TASKS, include_defaults=False, metadata={"data": str(data)})
    return lm_eval.simple_evaluate(model=model, tasks=tasks, task_manager=manager, bootstrap_iters=0, **options)


def totals(found):
    return [answer[0] for samples in found["samples"].values() for each in samples for answer in each["filtered_resps"]]


def accuracies(found):
    return {task: (result["acc,none"], result["acc_norm,none"]) for task, result in found["results"].items()}


def test_local_tasks_have_the_results_of_hf(llama, data):
    """Every choice of every item, and the accuracies that follow."""
    wire, own = evaluated(llama.wire(), data), evaluated(llama.own(), data)
    assert accuracies(wire) == accuracies(own)
    assert totals(wire) == pytest.approx(totals(own), abs=1e-3)
    assert len(totals(wire)) == 3 * 12  # three tasks, twelve choices


def test_examples_before_an_item_may_be_what_only_the_sharer_reads(llama, data):
    """Two shots, divided behind them."""
    wire = evaluated(llama.wire(separator="\n\n"), data, ["arc_easy_local"], num_fewshot=2)
    own = evaluated(llama.own(), data, ["arc_easy_local"], num_fewshot=2)
    assert accuracies(wire) == accuracies(own)
    info = wire["config"]
    assert info["exchange"]["method"] == "prefix"
    assert info["traffic"]["answered_by"].keys() == {"prefix"}
    assert info["traffic"]["payload_bytes"] > 0


def test_a_folder_without_the_data_is_named(llama, tmp_path):
    """By the path of the file that is missing."""
    with pytest.raises(NotFoundError, match="ARC-Easy-train"):
        evaluated(llama.wire(), tmp_path, ["arc_easy_local"])


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "arc").is_dir(), reason=f"no public datasets in {DATA}; set KVWIRE_DATA")
@pytest.mark.parametrize("arguments", [{}, {"prompt_tokens": 12, "num_concurrent": 2}])
def test_a_real_model_has_the_results_of_hf(real, arguments):
    """SmolLM2 with itself, on real items."""
    wire = evaluated(real.wire(**arguments), DATA, LOCAL[:2], limit=6)
    own = evaluated(real.own(), DATA, LOCAL[:2], limit=6)
    assert accuracies(wire) == accuracies(own)
    assert totals(wire) == pytest.approx(totals(own), abs=1e-3)


@pytest.mark.slow
def test_the_command_prints_and_writes_results(tiny_llama, data, tmp_path):
    """It starts a pair, runs tasks, and says what was sent."""
    out, pair = tmp_path / "found.json", f"path:{tiny_llama}:path:{tiny_llama}"
    code = "from kvwire.cli.main import main; main()"
    command = [sys.executable, "-c", code, "experiment", "lm-eval", "--tasks", ",".join(LOCAL), "--limit", "2"]
    command += ["--pair", pair, "--codec", "int8", "--data", data, "--json", out]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "arc_easy_local" in ended.stdout
    found = json.loads(out.read_text())
    assert found["n-samples"]["arc_easy_local"]["effective"] == 2
    assert found["config"]["exchange"]["codec"] == "int8"
    assert f"payload_bytes   {found['config']['traffic']['payload_bytes']}" in ended.stdout


@pytest.mark.slow
def test_lm_evals_own_command_line_knows_the_model(llama, tiny_llama, data):
    """With all its options; what kvwire refuses is one line."""
    command = [sys.executable, "-m", "experiments.harness", "run", "--model", "kvwire", "--tasks", "arc_easy_local"]
    command += ["--include_path", TASKS, "--metadata", f"data={data}", "--limit", "1", "--model_args"]
    arguments = f"receiver={llama.receiver},tokenizer=path:{tiny_llama}"
    ended = [
        subprocess.run([*command, given], capture_output=True, text=True, check=False)
        for given in (arguments, f"{arguments},method=telepathy")
    ]
    assert ended[0].returncode == 0, ended[0].stderr
    assert "|arc_easy_local|" in ended[0].stdout
    assert ended[1].returncode == 1
    assert ended[1].stderr.splitlines()[-1].startswith("error: method=telepathy: use one of")
