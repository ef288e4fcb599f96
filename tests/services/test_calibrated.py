"""Codec rd over the real wire, under tables made without any text."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from calibration.calibrate import untried
from calibration.histograms import Histograms
from calibration.transform import design
from codec.calibration import file_name, serialize
from kvwire.errors import BindingError
from kvwire.requests import Exchange, Method, ScoreRequest, Text


def request(method, codec="rd:step=48"):
    return ScoreRequest(
        prompt=Text("What does the Contributor grant?"),
        context=Text("Each Contributor hereby grants to You a perpetual copyright license. "),
        continuations=(Text(" a license"),),
        exchange=Exchange(method=method, codec=codec),
    )


def tables(card):
    """Numbers as they are, each of a variance of 1."""
    shape = (len(card.layers), 2, card.kv_heads, card.head_dim)
    identity = torch.eye(card.head_dim, dtype=torch.float64).expand(*shape, card.head_dim)
    tensors = untried(np.zeros(shape, np.float32), design(identity, identity))
    tensors["frequencies"] = Histograms().frequencies()
    return serialize(card.binding.id, card.binding.weights_fingerprint, tensors)


async def test_a_codec_works_once_its_tables_are_there_and_is_refused_before(pair):
    """No restart in between; fewer bytes than 16 bits take, and an answer close to that of reading."""
    async with pair.receiver_client() as receiver:
        with pytest.raises(BindingError, match="kvwire codec calibrate"):
            await receiver.score(request(Method.PREFIX))
        card = (await receiver.describe()).card
        file = Path(os.environ["KVWIRE_HOME"]) / "calibrations" / file_name(card.binding.weights_fingerprint)
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(tables(card))
        coded = await receiver.score(request(Method.PREFIX))
        file.unlink()  # services that start later are to be without
        exact = await receiver.score(request(Method.PREFIX, "fp16"))
    assert coded.report.bytes.payload_bytes < exact.report.bytes.payload_bytes
    assert coded.scores[0].token_logprobs == pytest.approx(exact.scores[0].token_logprobs, abs=0.1)
