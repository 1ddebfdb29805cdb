"""Captions that begin alike, read once: against the network itself."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from vsezoo.batch import Tokens
from vsezoo.encoders import prefixes
from vsezoo.encoders.prefixes import can_share, read_prefixes
from vsezoo.encoders.recurrence import run_recurrence

WORDS = torch.tensor([[0, 1, 2, 0], [0, 1, 0, 0], [3, 1, 2, 0], [0, 1, 2, 3], [0, 0, 0, 0], [0, 1, 2, 0]])
"""Rows of inputs; the first is padding, too."""
LENGTHS = torch.tensor([3, 2, 3, 4, 1, 3])


@pytest.mark.parametrize("network", [nn.GRU, nn.LSTM])
def test_the_states_are_those_of_the_network(network: type[nn.GRU] | type[nn.LSTM]) -> None:
    torch.manual_seed(0)
    rnn, inputs = network(7, 5, batch_first=True, dtype=torch.float64), torch.randn(4, 7, dtype=torch.float64)
    packed = pack_padded_sequence(inputs[WORDS], LENGTHS, batch_first=True, enforce_sorted=False)
    with torch.no_grad():
        found = read_prefixes(rnn, inputs, WORDS, LENGTHS)
        torch.testing.assert_close(found, run_recurrence(rnn, packed)[1][-1], rtol=0, atol=1e-14)
    assert torch.equal(found[0], found[5])


def test_each_beginning_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []

    class Cell(prefixes.GRUCell):
        @staticmethod
        def advance(step: prefixes.Step, inputs: Tensor, states: Tensor) -> None:
            read.append(len(states))
            states.zero_()

    monkeypatch.setattr(prefixes, "GRUCell", Cell)
    read_prefixes(nn.GRU(7, 5), torch.zeros(4, 7), WORDS, LENGTHS)
    assert read == [2, 2, 2, 1]


def test_where_they_are_not_shared() -> None:
    plain = nn.GRU(2, 3)
    assert not can_share(plain)  # gradients may be asked for
    with torch.no_grad():
        assert can_share(plain)
        assert not can_share(nn.GRU(2, 3, num_layers=2))
        assert not can_share(nn.GRU(2, 3, bidirectional=True))
        with torch.autocast("cpu", torch.bfloat16):
            assert not can_share(plain)


@pytest.mark.parametrize(("options", "batches"), [({}, 1), ({"pool": "mean"}, 2), ({"bidirectional": True}, 2)])
def test_a_batch_mixes_lengths_where_beginnings_are_shared(options: dict[str, Any], batches: int) -> None:
    model = tiny.make_model(**{f"text_encoder__{name}": value for name, value in options.items()}).eval()
    captions = model.tokenizer.encode([*["red blue"] * 20, *["red blue red blue red blue"] * 20])
    assert len(list(model.embed_by_length(captions))) == batches
    assert len(list(model.embed_by_length(captions, 8))) >= 5


def test_embeddings_are_those_of_training() -> None:
    model = tiny.make_model().eval()
    captions = model.tokenizer.encode([*tiny.CAPTIONS, *(f"{text} again" for text in tiny.CAPTIONS)])
    batch = Tokens.pad(captions)
    expected = model.encoders["text_encoder"](batch).detach()
    torch.testing.assert_close(model.embed_tokens(captions).embeddings, expected, rtol=0, atol=1e-6)
