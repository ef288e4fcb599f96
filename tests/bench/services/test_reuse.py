"""What the first question on a context is held against."""

from types import SimpleNamespace

from bench.services import reuse


async def test_the_first_question_pays_for_its_context_alone(monkeypatch):
    """A service that has read nothing as long has more to do than read; it reads another as long before."""
    contexts = []

    class Asked:
        """A client that notes contexts."""

        def __init__(self, _address):
            pass

        async def __aenter__(self):
            return self

        async def __aexit__(self, *_):
            pass

        async def generate_all(self, request):
            contexts.append(request.context.text)
            return SimpleNamespace()

    monkeypatch.setattr(reuse, "Client", Asked)
    answers = await reuse._asked("", ["one?", "two?"])
    other, *same = contexts
    assert len(answers) == 2
    assert len(set(same)) == 1
    assert len(other) == len(same[0])
    assert other[:20] != same[0][:20]
