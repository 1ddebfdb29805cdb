"""Captions by a GRU over word embeddings (Kiros et al. 2014; VSE++)."""

from __future__ import annotations

from torch import nn

from vsezoo.encoders.recurrent import RecurrentTextEncoder


class GRUTextEncoder(RecurrentTextEncoder):
    """A `torch.nn.GRU`, whose formulas are those of the Theano release of Kiros et al. (2014)."""

    network = nn.GRU
