"""The text transformer of CLIP, MetaCLIP 2 and SigLIP, as `models/*/modeling_*.py` of transformers 5.24 compute it.

A search needs only this network, and to import the library for it takes longer than to load and run it. Tensors have
the names of transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "gelu_pytorch_tanh": partial(functional.gelu, approximate="tanh"),
    "quick_gelu": lambda states: states * torch.sigmoid(1.702 * states),
    "relu": functional.relu,
}
FIRST_EOS, LARGEST, LAST = "first", "largest", "last"
KINDS = {"clip_text_model": FIRST_EOS, "metaclip_2_text_model": FIRST_EOS, "siglip_text_model": LAST}
"""Where states are pooled, by `model_type`: at the first end mark, or the last position."""


class TextNetwork(nn.Module):
    """A transformer with layer norms before its blocks (Radford et al. 2021, section 2.4; Zhai et al. 2023).

    CLIP's reads from left to right and is pooled at the first end mark; where the configuration has the end mark 2, as
    before transformers 4.31, at the largest id. SigLIP's reads both ways and is pooled at the last position, behind
    which it has a linear layer.

    Args:
        config: of the network, as transformers has it.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width, eps = config["hidden_size"], config["layer_norm_eps"]
        self.pooling, self.eos = KINDS[config["model_type"]], int(config.get("eos_token_id") or 0)
        if config["model_type"] == "clip_text_model" and self.eos == 2:
            self.pooling = LARGEST
        self.embeddings = nn.ModuleDict(
            {
                "token_embedding": _make_embedding(config["vocab_size"], width),
                "position_embedding": _make_embedding(config["max_position_embeddings"], width),
            }
        )
        self.encoder = nn.Module()
        self.encoder.layers = nn.ModuleList(Block(config) for _ in range(config["num_hidden_layers"]))
        self.final_layer_norm = nn.LayerNorm(width, eps=eps)
        if self.pooling == LAST:
            self.head = nn.Linear(width, config["projection_size"])

    @classmethod
    def knows(cls, config: Mapping[str, Any]) -> bool:
        """Return whether a configuration is that of such a network."""
        return config.get("model_type") in KINDS and config.get("hidden_act") in ACTIVATIONS

    def release_after_blocks(self, release: Callable[[], None]) -> None:
        """Have a function called whenever a block has been computed."""
        blocks: Any = self.encoder.layers
        for block in blocks:
            block.register_forward_hook(lambda module, inputs, output: release())

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, return_dict: bool = True
    ) -> SimpleNamespace:
        """Return the pooled states `(B, D)` of ids `(B, L)` as `pooler_output`. A mask is not needed."""
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        states = self.embeddings["token_embedding"](input_ids) + self.embeddings["position_embedding"](places)
        blocks: Any = self.encoder.layers
        for block in blocks:
            states = block(states, causal=self.pooling != LAST)
        states = self.final_layer_norm(states)
        if self.pooling == LAST:
            return SimpleNamespace(pooler_output=self.head(states[:, -1]))
        marks = input_ids if self.pooling == LARGEST else torch.eq(input_ids, self.eos).int()
        rows = torch.arange(len(states), device=states.device)
        return SimpleNamespace(pooler_output=states[rows, marks.argmax(dim=-1)])


def _make_embedding(rows: int, width: int) -> nn.Embedding:
    """Return an embedding with unfilled memory: pretrained weights replace it, and to draw them takes a second."""
    return nn.Embedding(rows, width, _weight=torch.empty(rows, width))


class Block(nn.Module):
    """Self-attention and two linear layers, each after a layer norm, with a residual connection."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width, eps = config["hidden_size"], config["layer_norm_eps"]
        names = ("k_proj", "v_proj", "q_proj", "out_proj")
        self.self_attn = nn.ModuleDict({name: nn.Linear(width, width) for name in names})
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(width, eps=eps), nn.LayerNorm(width, eps=eps)
        inner = config["intermediate_size"]
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, inner), "fc2": nn.Linear(inner, width)})
        self.heads, self.dropout = config["num_attention_heads"], config.get("attention_dropout", 0.0)
        self.activate = ACTIVATIONS[config["hidden_act"]]

    def forward(self, states: Tensor, causal: bool) -> Tensor:
        """Return the next states `(B, L, D)`."""
        normed = self.layer_norm1(states)
        queries, keys, values = (
            self.self_attn[name](normed).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for name in ("q_proj", "k_proj", "v_proj")
        )
        dropout = self.dropout if self.training else 0.0
        found = functional.scaled_dot_product_attention(queries, keys, values, dropout_p=dropout, is_causal=causal)
        states = states + self.self_attn["out_proj"](found.transpose(1, 2).flatten(2))
        changed: Tensor = self.mlp["fc2"](self.activate(self.mlp["fc1"](self.layer_norm2(states))))
        return states + changed
