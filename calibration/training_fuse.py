"""Trains a C2C fuser on texts that both models have read, through the frozen receiver."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from calibration.gain_fuse import FuseGain, fuse_gain
from calibration.learn import FrozenReceiver
from calibration.learn_fuse import FusedText, fused_texts, sharer_predictions, silenced, through
from calibration.losses import Loss, LossName, divergence, likelihood
from calibration.readings import Files, TextReader
from calibration.training import Plan
from codec.codec import Codec
from codec.spec import Payload
from fuser.binding import Pairing, Side
from fuser.projectors import c2c_file
from fuser.projectors.c2c import C2CFuser
from fuser.train.c2c_trainee import C2CTrainee
from fuser.train.fresh import check_one_tokenizer
from fuser.train.gates import gates_at
from fuser.train.loop import Step, train
from kvwire.errors import BindingError, InvalidRequestError


class FuseTraining:
    """A C2C fuser, and the texts it learns from."""

    default_loss = LossName.LIKELIHOOD

    def __init__(
        self,
        fuser: C2CFuser,
        sharer: TextReader,
        receiver: TextReader,
        files: Sequence[Files],
        codec: Codec | None = None,
        learns_through: TextReader | None = None,
        *,
        without_sharer: bool = False,
    ) -> None:
        """With ``codec``, it learns from caches as that delivers them; through ``receiver`` if through no other.

        ``without_sharer`` makes a control: it hears nothing of the sharer.
        """
        self._fuser = fuser
        self._sides = sharer, receiver
        self._frozen = FrozenReceiver(receiver)
        self._teacher = FrozenReceiver(learns_through) if learns_through else self._frozen
        shared = through(codec, sharer) if codec else sharer.beginning
        self._shared = silenced(shared) if without_sharer else shared
        self._trainee = C2CTrainee(fuser)
        self.texts = files

    @staticmethod
    def check(
        fuser: C2CFuser, sharer: TextReader, receiver: TextReader, loss: LossName | None, codec: Codec | None
    ) -> None:
        """Whether it can be trained for these models, before either has read anything.

        Raises:
            BindingError: It was made for others, they have tokenizers of their own, or predictions of another size.
            InvalidRequestError: A codec of what a C2C fuser does not have.
        """
        fuser.check(sharer.card, receiver.card)
        check_one_tokenizer(sharer.card.binding, receiver.card.binding)
        sizes = sharer.card.vocabulary, receiver.card.vocabulary
        if loss is LossName.DISTILLATION and sizes[0] != sizes[1]:
            raise BindingError(
                f"the sharer predicts {sizes[0]} tokens, the receiver {sizes[1]}: there is no distribution of the "
                "sharer's to learn; use --loss likelihood"
            )
        if codec is not None and codec.spec.of is Payload.LATENTS:
            raise InvalidRequestError("a C2C fuser has no latents to send; leave +of=latents out of --codec")

    def run(self, plan: Plan, learned: Sequence[Files], folder: Path, about: Mapping[str, object]) -> Iterator[Step]:
        """Go on with the training in a folder, step by step; ``about`` tells it from any other.

        Raises:
            InvalidRequestError: The folder is of another.
        """
        _, receiver = self._sides
        measure = self._losses()[plan.loss]

        def loss(module: torch.nn.Module, step: int) -> torch.Tensor:
            texts = fused_texts(learned, plan.batch, plan.seed, step)
            caches = [(self._shared(t.sharer, t.cut), receiver.beginning(t.receiver, t.cut)) for t in texts]
            with self._teacher.precision():
                layers = module(caches, gates_at(step, plan.schedule.steps, plan.seed))
                parts = [self._teacher.behind(each, t.follows) for each, t in zip(layers, texts, strict=True)]
                return measure(self._teacher.log_probabilities(self._teacher.hidden(parts)), texts)

        return train(self._trainee, loss, plan.schedule, folder, about)

    def _losses(self) -> dict[LossName, Loss[FusedText]]:
        return {LossName.LIKELIHOOD: likelihood, LossName.DISTILLATION: partial(_from_sharer, self._sides[0])}

    def gain(self, held_out: Sequence[Files]) -> FuseGain:
        """What the fuser, as it now is, brings on texts that it does not learn from."""
        return fuse_gain(self.trained(), self._frozen, self._sides, self._shared, held_out)

    def trained(self) -> C2CFuser:
        """The fuser as it now is, bound to exactly these models; its gates are hard."""
        pairing = Pairing(*(Side.of(side.card) for side in self._sides))
        return C2CFuser(self._trainee.trained(self._fuser), pairing, b"", self._fuser.mapping)

    def write(self, path: Path, made: Mapping[str, Any]) -> None:
        """Write it to a file."""
        c2c_file.write(self.trained(), path, made)


def _from_sharer(sharer: TextReader, found: torch.Tensor, texts: Sequence[FusedText]) -> torch.Tensor:
    return divergence(found, sharer_predictions(sharer, texts))
