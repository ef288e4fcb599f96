"""Trains a fuser on texts that both models have read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from calibration.gain import Gain, gain
from calibration.latents import ExactLatents, LatentsOfSentCache, SentLatents
from calibration.learn import Example, Examples, FrozenReceiver, Text, behind_fuser, check_length, own_predictions
from calibration.losses import Loss, LossName, divergence, likelihood
from calibration.readings import Files, Pair, TextReader, load_pair
from codec.codec import Codec
from codec.spec import Payload
from fuser.projectors import ridge_file
from fuser.projectors.ridge import RidgeFuser
from fuser.train.loop import Schedule, Step, train
from fuser.train.trainee import Trainee
from kvwire.errors import InvalidRequestError

#: Explained by so little, an output is a constant; its rate must not grow without bound.
_LEAST_SPREAD = 1e-3


@dataclass(frozen=True)
class Plan:
    """How a fuser is trained: ``batch`` texts a step, in an order that ``seed`` decides."""

    schedule: Schedule
    batch: int
    seed: int
    loss: LossName

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self.schedule) | {"batch": self.batch, "seed": self.seed, "loss": self.loss.value}


class Training:
    """A fuser of one band, and the texts it learns from; the sharer itself is no longer needed."""

    default_loss = LossName.DISTILLATION

    def __init__(
        self,
        fuser: RidgeFuser,
        sharer: TextReader,
        receiver: TextReader,
        files: Sequence[Files],
        codec: Codec | None = None,
        learns_through: TextReader | None = None,
    ) -> None:
        """With ``codec``, it learns from caches as that delivers them; through ``receiver`` if through no other."""
        self._fuser = fuser
        self._frozen = FrozenReceiver(receiver)
        self._teacher = FrozenReceiver(learns_through) if learns_through else self._frozen
        pairs = (load_pair(path) for path in files)
        self.texts = [_text(fuser, sharer, pair, codec) for pair in pairs]
        # What comes in is white, so the length of an output's weights is the spread of what they explain.
        spread = fuser.weights()["0.up"].norm(dim=1).clamp(min=_LEAST_SPREAD)
        self._trainee = Trainee(fuser, spread)

    @staticmethod
    def check(fuser: RidgeFuser, sharer: TextReader, receiver: TextReader) -> None:
        """Whether it can be trained for these models, before either has read anything.

        Raises:
            BindingError: It was made for others.
            InvalidRequestError: It has several bands.
        """
        if len(fuser.bands) != 1:
            raise InvalidRequestError(f"this fuser has {len(fuser.bands)} bands; calibrate one without --window")
        fuser.check(sharer.card, receiver.card)

    def run(self, plan: Plan, learned: Sequence[Text], folder: Path, about: Mapping[str, object]) -> Iterator[Step]:
        """Go on with the training in a folder, step by step; ``about`` tells it from any other.

        Raises:
            InvalidRequestError: The folder is of another.
        """
        examples, measure = Examples(learned, plan.batch, plan.seed), self._losses()[plan.loss]

        def loss(module: torch.nn.Module, step: int) -> torch.Tensor:
            drawn = examples.of(step)
            with self._teacher.precision():
                parts = behind_fuser(module, self._teacher, [(each.text, each.cut, each.follows) for each in drawn])
                return measure(self._teacher.log_probabilities(self._teacher.hidden(parts)), drawn)

        return train(self._trainee, loss, plan.schedule, folder, about)

    def _losses(self) -> dict[LossName, Loss[Example]]:
        return {LossName.LIKELIHOOD: likelihood, LossName.DISTILLATION: partial(_from_own_reading, self._teacher)}

    def gain(self, held_out: Sequence[Text]) -> Gain:
        """What the fuser, as it now is, brings on texts that it does not learn from."""
        return gain(self._trainee, self._frozen, held_out)

    def trained(self) -> RidgeFuser:
        """The fuser as it now is."""
        fuser = self._fuser
        tensors = {**fuser.weights(), **self._trainee.tensors()}
        return RidgeFuser(fuser.bands, tensors, fuser.pairing, fuser.openings)

    def write(self, path: Path, made: Mapping[str, Any]) -> None:
        """Write it to a file."""
        ridge_file.write(self.trained(), path, made)


def _from_own_reading(frozen: FrozenReceiver, found: torch.Tensor, examples: Sequence[Example]) -> torch.Tensor:
    return divergence(found, own_predictions(frozen, examples))


def _text(fuser: RidgeFuser, sharer: TextReader, pair: Pair, codec: Codec | None) -> Text:
    check_length(pair.receiver)
    if codec is not None and codec.spec.of is Payload.CACHE:
        return Text(pair, LatentsOfSentCache(fuser, sharer, pair, codec))
    # They are all that is needed of the sharer's cache, and take a sixth of the memory.
    exact = ExactLatents(fuser, sharer, pair)
    without_cache = replace(pair, sharer=replace(pair.sharer, frames=()))
    return Text(without_cache, SentLatents(exact, codec) if codec else exact)
