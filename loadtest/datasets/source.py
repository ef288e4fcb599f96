"""Where a public dataset's file comes from: the folder given with ``--data``, or else the Hugging Face hub."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError

from kvwire.errors import InvalidRequestError, NotFoundError

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a dataset repository on the hub; ``revision`` is a commit, so the rows never change under a run."""

    repo: str
    revision: str
    path: str


Fetch = Callable[[HubFile], Path]


@dataclass(frozen=True, slots=True)
class Query:
    """What is wanted of a dataset. ``data_dir`` is the only place looked at when given, else ``fetch`` is asked."""

    data_dir: Path | None
    split: str
    open_book: bool
    fetch: Fetch

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise InvalidRequestError(f"no split {self.split!r}; there are {', '.join(SPLITS)}")

    def find(self, local: tuple[str, ...], remote: HubFile | None) -> Path:
        """The first of the ``local`` paths that exists under ``data_dir``, or the fetched ``remote`` file.

        Raises:
            NotFoundError: It is not there, or there is no such file on the hub; says what was looked for and where.
        """
        wanted = " or ".join(local)
        if self.data_dir is None:
            if remote is None:
                raise NotFoundError(f"the hub has no such file; point --data or KVWIRE_DATA at a folder with {wanted}")
            return self.fetch(remote)
        for name in local:
            path = self.data_dir / name
            if path.is_file():
                return path
        raise NotFoundError(
            f"{self.data_dir} has no {wanted}; point --data or KVWIRE_DATA at a folder that does"
            + (f", or leave both out to download {remote.repo} from the hub" if remote else "")
        )


def fetch_from_hub(file: HubFile) -> Path:
    """Download a file once into the hub's own cache.

    Raises:
        NotFoundError: The hub cannot be reached or does not have it.
    """
    try:
        return Path(hf_hub_download(file.repo, file.path, revision=file.revision, repo_type="dataset"))
    except (OSError, HfHubHTTPError) as error:
        raise NotFoundError(
            f"{file.path} of dataset {file.repo}@{file.revision[:8]} could not be had from the hub ({error}); "
            "point --data or KVWIRE_DATA at a folder with the dataset's JSONL files"
        ) from error
