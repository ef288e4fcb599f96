"""``by=question``: the tokens that the receiver's question looks at, once the sharer has read it behind the context."""

from typing import ClassVar

from codec.prune.attention import ObservedAttention


class QuestionAttention(ObservedAttention):
    """:class:`ObservedAttention` of the question's queries instead of the context's own last ones.

    Source: SnapKV, arXiv 2404.14469, section 4, whose window is the end of a prompt that holds the question; here the
    question is the receiver's, and only the context's tokens are sent. It tells the sharer what is asked.
    """

    asks: ClassVar[bool] = True
