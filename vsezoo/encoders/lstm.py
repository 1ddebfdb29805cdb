"""Captions by an LSTM over word embeddings (Kiros et al. 2014, section 2.1; linxd5's VSE_Pytorch)."""

from __future__ import annotations

from torch import nn

from vsezoo.encoders.recurrent import RecurrentTextEncoder


class LSTMTextEncoder(RecurrentTextEncoder):
    """A `torch.nn.LSTM`, without peepholes; of its two states, the hidden one is the caption."""

    network = nn.LSTM
