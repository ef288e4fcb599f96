"""What was promised of a pair that is troubled all the time, held against what a soak saw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.services.accounts import Check
from bench.services.faults.resources import Resources
from bench.services.faults.troubles import Trouble
from bench.services.scrape import Scrape
from bench.services.soak import Memory
from kvwire.requests import Method
from loadtest.open_loop import Sent
from loadtest.scoring import ChoiceScore

_ANSWERED_SHARE = 0.999
_FUSED_SHARE = 0.95
#: A fault is over for who comes so much later: gRPC has connected anew.
_SETTLED_S = 1.0
_SIDES = ("sharer", "receiver")

#: What each path makes of an item with nothing hurt, by path and item.
References = Mapping[Method, Mapping[str, tuple[ChoiceScore, ...]]]


@dataclass(frozen=True)
class Soaked:
    """What a soak saw: every request, every fault, memory by the lives of processes, and counters of the receiver."""

    sent: list[Sent]
    troubles: list[Trouble]
    memory: dict[str, Memory]
    counted: Scrape
    references: References
    before: Resources
    after: Resources

    def checks(self) -> list[Check]:
        """What must hold."""
        answered = [each for each in self.sent if each.ok]
        outside = [each for each in answered if not self._troubled(each)]
        fused = [each for each in outside if _path(each) is Method.PREFIX]
        wrong = [each for each in answered if not self._labelled(each)]
        lives = {name: max((m for n, m in self.memory.items() if n.startswith(name)), key=_length) for name in _SIDES}
        return [
            _share("answered", answered, self.sent, _ANSWERED_SHARE),
            _share("fused outside fault windows", fused, outside, _FUSED_SHARE),
            Check("paths labelled right", f"{len(answered) - len(wrong)} of {len(answered)}", not wrong),
            *self._counts(answered),
            *(life.check(name) for name, life in lives.items()),
            Check("threads, files, sockets of the receiver", f"{self.before} then {self.after}", self._kept_nothing()),
        ]

    def _troubled(self, sent: Sent) -> bool:
        """Whether a request was on its way while a fault was."""
        end_s = sent.due_s + sent.total_s
        return any(sent.due_s < each.ended_s + _SETTLED_S and end_s > each.begun_s for each in self.troubles)

    def _labelled(self, sent: Sent) -> bool:
        """Whether an answer is that of the path it names, and says why if that is not the one asked for."""
        report = sent.outcome.report
        if report is None or report.fell_back is (report.path is Method.PREFIX):
            return False
        item, scores = sent.outcome.result.id, sent.outcome.result.scores
        nearest = min(self.references, key=lambda path: _apart(scores, self.references[path][item]))
        return nearest is report.path

    def _counts(self, answered: Sequence[Sent]) -> list[Check]:
        reports = [each.outcome.report for each in answered if each.outcome.report]
        moved = [report.bytes for report in reports if report.bytes]
        name = "kvwire_wire_bytes_total"
        pairs = {
            "payload bytes": (sum(b.payload_bytes for b in moved), self.counted.total(name, counter="payload")),
            "gRPC bytes": (sum(b.grpc_bytes for b in moved), self.counted.total(name, counter="grpc")),
        } | {
            f"answers by {path}": (
                sum(report.path is path for report in reports),
                self.counted.total("kvwire_answers_total", method="prefix", path=path.value),
            )
            for path in self.references
        }
        return [Check(what, f"client {a:,}, receiver {b:,.0f}", a == b) for what, (a, b) in pairs.items()]

    def _kept_nothing(self) -> bool:
        return all(getattr(self.after, name) <= getattr(self.before, name) for name in ("threads", "files", "sockets"))


def _path(sent: Sent) -> Method | None:
    return sent.outcome.report.path if sent.outcome.report else None


def _length(memory: Memory) -> int:
    return len(memory.at_s)


def _apart(ours: Sequence[ChoiceScore], theirs: Sequence[ChoiceScore]) -> float:
    return sum(abs(a.sum_logprob - b.sum_logprob) for a, b in zip(ours, theirs, strict=True))


def _share(name: str, part: Sequence[Sent], whole: Sequence[Sent], least: float) -> Check:
    share = len(part) / max(1, len(whole))
    return Check(name, f"{len(part)} of {len(whole)}, {100 * share:.2f} %", bool(whole) and share >= least)
