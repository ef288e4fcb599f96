"""What passes of the receiver's own take, learned from its answers."""

from kvwire.report import Report
from receiver_service.choosing.curve import Curve


class OwnPasses:
    """Seconds by the number of tokens that a pass reads."""

    def __init__(self) -> None:
        self._curve = Curve()

    def heard(self, report: Report) -> None:
        """Learn from an answer what its passes took, whichever it had."""
        counts = report.tokens
        passes = {"prefill": counts.head + counts.context + counts.prompt, "prompt": counts.prompt}
        for stage, tokens in passes.items():
            if (seconds := report.stage_s(stage, "receiver")) is not None:
                self._curve.learn(tokens, seconds)

    def at(self, tokens: int) -> float:
        """Seconds to read so many tokens; 0 while nothing is known."""
        return self._curve.at(tokens)
