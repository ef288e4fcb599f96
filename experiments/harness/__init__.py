"""lm-evaluation-harness through the wire: its model ``kvwire``, and tasks of it that read local files.

May import: the client and its security, the values in ``kvwire.requests`` and ``kvwire.report``, ``kvwire.errors``, the
model store for a tokenizer, ``loadtest``, lm_eval. A new task is one YAML file in ``tasks/``.
"""

from pathlib import Path

#: Tasks that read local files.
TASKS = Path(__file__).with_name("tasks")
