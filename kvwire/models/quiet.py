"""Silence for transformers: its progress bars and advice belong to no user of kvwire."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any

from transformers.utils import logging as _logging

#: transformers types only some of its logging functions.
logging: Any = _logging


@contextmanager
def quiet() -> Iterator[None]:
    """Run the body without transformers' bars and messages; errors still propagate as exceptions."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        # The GGUF reader draws a tqdm bar that no setting of transformers reaches.
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
