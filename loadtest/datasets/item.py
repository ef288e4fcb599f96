"""The values that datasets are turned into: one type for each shape of question."""

from dataclasses import dataclass

from kvwire.errors import InvalidRequestError

MIN_CHOICES, MAX_CHOICES = 2, 5  # what the public sets hold: ARC has a few questions with 3 and with 5


@dataclass(frozen=True, slots=True)
class Item:
    """One multiple-choice question.

    ``choices`` and ``labels`` are in the file's order; ``answer`` is the position of the right choice among them.
    Labels are whatever the file uses (``A``, ``1``, ...), so a choice is only ever named by its position.
    ``context`` is what the sharer alone may know, None without one.

    Raises:
        InvalidRequestError: A field that no question can have, with the defect.
    """

    id: str
    question: str
    choices: tuple[str, ...]
    labels: tuple[str, ...]
    answer: int
    context: str | None = None

    def __post_init__(self) -> None:
        _require_text(id=self.id, question=self.question)
        if self.context is not None:
            _require_text(context=self.context)
        if not MIN_CHOICES <= len(self.choices) <= MAX_CHOICES:
            raise InvalidRequestError(f"{len(self.choices)} choices; a question has {MIN_CHOICES} to {MAX_CHOICES}")
        if len(self.labels) != len(self.choices):
            raise InvalidRequestError(f"{len(self.labels)} labels for {len(self.choices)} choices")
        if len(set(self.labels)) < len(self.labels):
            raise InvalidRequestError(f"a label occurs twice in {', '.join(self.labels)}")
        if not all(choice.strip() for choice in self.choices):
            raise InvalidRequestError("a choice is empty")
        if not 0 <= self.answer < len(self.choices):
            raise InvalidRequestError(f"answer {self.answer} is no position among {len(self.choices)} choices")


@dataclass(frozen=True, slots=True)
class SpanItem:
    """One reading question, answered in a few words of the ``context``; ``answers`` are the wordings that count.

    Raises:
        InvalidRequestError: An empty field, with its name.
    """

    id: str
    question: str
    answers: tuple[str, ...]
    context: str

    def __post_init__(self) -> None:
        _require_text(id=self.id, question=self.question, context=self.context)
        if not self.answers or not all(answer.strip() for answer in self.answers):
            raise InvalidRequestError("an answer is empty or none is given")


@dataclass(frozen=True, slots=True)
class ContinuationItem:
    """One stretch of text: what the sharer alone reads, the word the receiver starts from, and what comes next.

    The three parts joined are the text, character for character. ``cluster`` names the document it is cut from: items
    of one document are alike, so intervals resample whole documents.

    Raises:
        InvalidRequestError: An empty field, with its name.
    """

    id: str
    context: str
    prompt: str
    continuation: str
    cluster: str

    def __post_init__(self) -> None:
        _require_text(
            id=self.id,
            context=self.context,
            prompt=self.prompt,
            continuation=self.continuation,
            cluster=self.cluster,
        )


def _require_text(**fields: str) -> None:
    for name, text in fields.items():
        if not text.strip():
            raise InvalidRequestError(f"{name} is empty")
