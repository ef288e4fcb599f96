"""Rows of local files as a dataset of lm-eval: of a folder named by ``--metadata data=DIR``, or by KVWIRE_DATA."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets import Dataset

from kvwire.errors import NotFoundError
from loadtest.datasets.rows import read_rows


def rows(files: Mapping[str, str], data: str = "", **_: Any) -> dict[str, Dataset]:
    """The rows of each split, from its JSONL file in that folder.

    Raises:
        NotFoundError: No folder was named, or it has no such file.
        InvalidRequestError: A line that is no JSON object.
    """
    folder = data or os.environ.get("KVWIRE_DATA")
    if not folder:
        raise NotFoundError("no folder of datasets: set KVWIRE_DATA, or give --metadata data=DIR")
    return {
        split: Dataset.from_list([row.fields for row in read_rows(Path(folder) / name)])
        for split, name in files.items()
    }
