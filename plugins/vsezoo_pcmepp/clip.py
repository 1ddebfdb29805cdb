"""The transformers of CLIP (Radford et al. 2021), whose last blocks PCME++ runs twice: for the mean and the variance.

Blocks are `x + attn(ln_1(x))`, then `x + mlp(ln_2(x))` with QuickGELU. The first blocks are shared; the last have twins
of the same shape, the uncertainty path. Tensors have the names of OpenAI's code, as in files of PCME++;
`rename_tensors` translates those of transformers.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor, nn


class QuickGELU(nn.Module):
    """`x σ(1.702 x)`."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return a tensor of the same shape."""
        return inputs * torch.sigmoid(1.702 * inputs)


class Block(nn.Module):
    """A block of a transformer, norms first.

    Args:
        width: of a token.
        heads: of the attention.
        hidden: units of the hidden layer.
    """

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        layers = {"c_fc": nn.Linear(width, hidden), "gelu": QuickGELU(), "c_proj": nn.Linear(hidden, width)}
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """Return `(B, K, width)`; the mask `(K, K)` is added to the attention's logits."""
        normed = self.ln_1(tokens)
        tokens = tokens + self.attn(normed, normed, normed, need_weights=False, attn_mask=mask)[0]
        output: Tensor = tokens + self.mlp(self.ln_2(tokens))
        return output


class Blocks(nn.Module):
    """Blocks one after the other, and twins of the last ones.

    Args:
        width: of a token.
        heads: of the attention; 0: one for 64 numbers, at least one.
        hidden: units of the hidden layers; 0: four times the width.
        layers: blocks.
        twins: of the last blocks, how many have a twin.
        name: under which the twins are kept.
    """

    def __init__(self, width: int, heads: int, hidden: int, layers: int, twins: int = 0, name: str = "") -> None:
        super().__init__()
        heads, hidden = heads or max(1, width // 64), hidden or 4 * width
        self.resblocks = nn.ModuleList(Block(width, heads, hidden) for _ in range(layers))
        if name:
            self.add_module(name, nn.ModuleList(Block(width, heads, hidden) for _ in range(twins)))


def run_paths(
    tokens: Tensor, blocks: nn.ModuleList, twins: nn.ModuleList, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the tokens of the path of the mean and of that of the variance, `(B, K, width)` each."""
    shared = len(blocks) - len(twins)
    for block in blocks[:shared]:
        tokens = block(tokens, mask)
    paths = []
    for rest in (blocks[shared:], twins):
        path = tokens
        for block in rest:
            path = block(path, mask)
        paths.append(path)
    return paths[0], paths[1]


class VisionTransformer(nn.Module):
    """The image side of CLIP without its last norm and projection.

    Args:
        width: of a token.
        layers: blocks.
        heads: see `Blocks`.
        hidden: see `Blocks`.
        patch_size: side of a patch in pixels.
        image_size: side of a picture in pixels.
        twins: see `Blocks`.
    """

    def __init__(
        self, width: int, layers: int, heads: int, hidden: int, patch_size: int, image_size: int, twins: int
    ) -> None:
        super().__init__()
        count = (image_size // patch_size) ** 2
        self.conv1 = nn.Conv2d(3, width, patch_size, patch_size, bias=False)
        self.class_embedding = nn.Parameter(width**-0.5 * torch.randn(width))
        self.positional_embedding = nn.Parameter(width**-0.5 * torch.randn(count + 1, width))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = Blocks(width, heads, hidden, layers)
        self.uncertainty_transformer = Blocks(width, heads, hidden, twins)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tokens of both paths, `(B, 1 + patches, width)`, of pictures `(B, 3, S, S)`."""
        patches = self.conv1(pictures).flatten(2).transpose(1, 2)
        first = self.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
        tokens = self.ln_pre(torch.cat([first, patches], dim=1) + self.positional_embedding)
        return run_paths(tokens, self.transformer.resblocks, self.uncertainty_transformer.resblocks)


class TextTransformer(nn.Module):
    """The text side of CLIP without its projection; the last norm is on the path of the mean alone.

    Args:
        words: ids that there are.
        width: of a token.
        layers: blocks.
        heads: see `Blocks`.
        hidden: see `Blocks`.
        positions: tokens that a caption may have.
        twins: see `Blocks`.
    """

    def __init__(
        self, words: int, width: int, layers: int, heads: int, hidden: int, positions: int, twins: int
    ) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(words, width)
        self.positional_embedding = nn.Parameter(0.01 * torch.randn(positions, width))
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        self.transformer = Blocks(width, heads, hidden, layers, twins, "prob_resblocks")
        self.ln_final = nn.LayerNorm(width)

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tokens of both paths, `(B, L, width)`; each token attends to those before it alone."""
        tokens = self.token_embedding(ids) + self.positional_embedding[: ids.shape[1]]
        mask = torch.full((ids.shape[1],) * 2, -torch.inf, device=ids.device).triu(1)
        twins = self.transformer.get_submodule("prob_resblocks")
        assert isinstance(twins, nn.ModuleList)
        mean, variance = run_paths(tokens, self.transformer.resblocks, twins, mask)
        return self.ln_final(mean), variance


RENAMED = {
    r"embeddings\.class_embedding": "class_embedding",
    r"embeddings\.patch_embedding\.weight": "conv1.weight",
    r"embeddings\.position_embedding\.weight": "positional_embedding",
    r"embeddings\.token_embedding\.weight": "token_embedding.weight",
    r"pre_layrnorm\.(\w+)": r"ln_pre.\1",
    r"final_layer_norm\.(\w+)": r"ln_final.\1",
    r"encoder\.layers\.(\d+)\.layer_norm(\d)\.(\w+)": r"transformer.resblocks.\1.ln_\2.\3",
    r"encoder\.layers\.(\d+)\.self_attn\.out_proj\.(\w+)": r"transformer.resblocks.\1.attn.out_proj.\2",
    r"encoder\.layers\.(\d+)\.mlp\.fc1\.(\w+)": r"transformer.resblocks.\1.mlp.c_fc.\2",
    r"encoder\.layers\.(\d+)\.mlp\.fc2\.(\w+)": r"transformer.resblocks.\1.mlp.c_proj.\2",
}
"""Names of tensors in files of transformers, and here."""
QUERY = re.compile(r"encoder\.layers\.(\d+)\.self_attn\.q_proj\.(\w+)")


def rename_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of one side of a CLIP of transformers under the names here; others are left out."""
    renamed = {}
    for name, tensor in tensors.items():
        for pattern, ours in RENAMED.items():
            if match := re.fullmatch(pattern, name):
                renamed[match.expand(ours)] = tensor
        if match := QUERY.fullmatch(name):
            parts = [tensors[name.replace("q_proj", f"{letter}_proj")] for letter in "qkv"]
            renamed[f"transformer.resblocks.{match[1]}.attn.in_proj_{match[2]}"] = torch.cat(parts)
    return renamed
