"""Text encoders with a pretrained transformer: any text model of the library transformers.

A new model loads configuration, tokenizer and weights from the Hub or a folder. Its checkpoint contains configuration
and tokenizer, as `transformer.json` and `tokenizer.json`, and the weights, or for frozen ones their source and digest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModel, PreTrainedModel

from vsezoo.batch import Embeddings
from vsezoo.encoders.pooling import POOLINGS
from vsezoo.encoders.transformer_source import (
    SUITABLE,
    explain_errors,
    find_folder_again,
    find_model,
    read_revision,
)
from vsezoo.encoders.transformer_tokenizer import TransformerTokenizer
from vsezoo.errors import CheckpointError, RecipeError
from vsezoo.interfaces import TextEncoder, Tokens
from vsezoo.pretrained.digests import TensorDigest
from vsezoo.pretrained.external import PRETRAINED
from vsezoo.pretrained.frozen import FrozenPart
from vsezoo.recipe.options import Above, AtLeast, OneOf
from vsezoo.storage.digests import RESTORE


class TransformerTextEncoder(FrozenPart, TextEncoder):
    """`g(c) = W pool(h_1 … h_L) + b` of the last hidden states h, then unit L2 norm. Not from one paper.

    As a set, a caption is `W h_l + b` of its tokens, not scaled.

    Args:
        embed_size: D, the width of the joint embedding.
        tokenizer: contains the configuration of the transformer.
        model: a name on the Hub, such as bert-base-uncased, or a folder written by `save_pretrained`.
        pool: how hidden states become one vector. "cls": the first token; "mean": all tokens; "last": the last token,
            for models that read from left to right. "max", "gpo": `W h_l + b` of all tokens, pooled like regions, see
            `vsezoo.encoders.pooling`. Padding is ignored.
        finetune: train the transformer too. False: it is frozen, without dropout.
        learning_rate_scale: learning rate of the transformer, as a multiple of `training.learning_rate`.
        max_len: maximum number of ids of a caption, special tokens included; longer captions are truncated. 0: as many
            as the model reads.
        normalize: scale embeddings to unit L2 norm.
        use_abs: take absolute values at the end, as in order-embeddings.
        store_weights: store the transformer in the checkpoint even if it is frozen.

    Raises:
        RecipeError: for an invalid option.
    """

    gives = "sets"
    external: ClassVar[str] = "transformer."
    finishing: ClassVar[frozenset[str]] = frozenset({"learning_rate_scale", "normalize", "use_abs", "store_weights"})
    tokenizer: TransformerTokenizer
    transformer: PreTrainedModel

    def __init__(
        self,
        *,
        embed_size: int,
        tokenizer: TransformerTokenizer,
        model: str = "",
        pool: Annotated[str, OneOf("cls", "mean", "last", "max", "gpo")] = "mean",
        finetune: bool = False,
        learning_rate_scale: Annotated[float, Above(0)] = 1.0,
        max_len: Annotated[int, AtLeast(0)] = 0,
        normalize: bool = True,
        use_abs: bool = False,
        store_weights: bool = False,
    ) -> None:
        super().__init__()
        self.tokenizer, self.model, self.pool = tokenizer, model, pool
        self.finetune, self.learning_rate_scale = finetune, learning_rate_scale
        self.normalize, self.use_abs, self.store_weights = normalize, use_abs, store_weights
        self._folder: Path | None = None  # source of the weights
        self._digest, self._loaded = TensorDigest(), ""
        with explain_errors(model):
            # The configuration must not choose a kernel: transformers would download it from the Hub.
            self.transformer = AutoModel.from_config(  # type: ignore[no-untyped-call]
                tokenizer.make_config(),
                dtype=torch.float32,
                attn_implementation=None,
                experts_implementation=None,
                trust_remote_code=False,
            )
        self.transformer.pooler = nn.Identity()  # BERT's does not affect the last hidden states
        self.transformer.requires_grad_(finetune)
        rows = self.transformer.config.vocab_size
        if len(tokenizer) > rows:
            raise RecipeError(
                f"its tokenizer has {len(tokenizer):,} ids, but the model only {rows:,}.",
                file=model,
                remedy="Resize the word embeddings to the number of ids, and save both again.",
            )
        self.fc = nn.Linear(self.transformer.config.hidden_size, embed_size)
        nn.init.xavier_uniform_(self.fc.weight)
        nn.init.zeros_(self.fc.bias)
        # Mean and W commute; other poolings do not.
        self.pooling = POOLINGS[pool]() if pool in ("max", "gpo") else None

    @classmethod
    def make_tokenizer(cls, options: Mapping[str, Any]) -> TransformerTokenizer:
        """Load the tokenizer of the option `model`, which truncates captions at `max_len`."""
        return TransformerTokenizer.from_pretrained(options.get("model", ""), options.get("max_len", 0))

    @classmethod
    def read_tokenizer(cls, folder: Path) -> TransformerTokenizer:
        """Load `tokenizer.json` and `transformer.json`."""
        return TransformerTokenizer.from_files(folder)

    @classmethod
    def portable_options(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options, with a folder reduced to its name."""
        model = options.get("model", "")
        folder = Path(model).expanduser()
        return {**options, "model": folder.absolute().name if model and folder.is_dir() else model}

    def load_pretrained(self) -> None:  # type: ignore[override] # it has its own source
        """Load the weights of the transformer from the Hub or the folder.

        Raises:
            RecipeError: for a model without safetensors weights.
            HubError: if they cannot be downloaded.
        """
        self._load(find_model(self.model))

    def _load(self, folder: Path) -> None:
        with explain_errors(self.model):
            pretrained, report = AutoModel.from_pretrained(
                folder,
                config=self.tokenizer.make_config(),
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        absent = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
        if absent:
            raise RecipeError(f"lacks the weights {', '.join(absent[:3])}, …", file=self.model, remedy=SUITABLE)
        pretrained.pooler = nn.Identity()
        self.transformer.load_state_dict(pretrained.state_dict())
        self._folder, self._loaded = folder, self.digest()

    def digest(self) -> str:
        """Return the SHA-256 of the weights of the transformer."""
        return self._digest.compute(self.transformer.state_dict())

    def skips_external_weights(self) -> bool:
        """Return whether the transformer equals its source and will not be changed."""
        return not self.finetune and not self.store_weights and bool(self._loaded) and self.digest() == self._loaded

    def describe(self) -> dict[str, Any]:
        """Return the name, source and digest of the weights, if they were loaded from a source."""
        if self._folder is None:
            return {}
        revision, folder = read_revision(self._folder), self._folder.absolute().name
        source = {"source": folder} if revision is None else {"source": PRETRAINED, "revision": revision}
        return {"transformer": {"name": folder if revision is None else self.model, **source, "sha256": self.digest()}}

    def list_folders(self) -> list[Path]:
        """Return the parent folder of the pretrained model, unless it is in the Hub cache."""
        return [] if self._folder is None or read_revision(self._folder) else [self._folder.absolute().parent]

    def restore_external(self, described: Mapping[str, Any], folders: Sequence[Path]) -> None:
        """Load the weights of the transformer again, and verify their digest."""
        stored = described.get("transformer")
        keys = ("name", "source", "sha256", "revision")
        name, source, digest, revision = (stored.get(key, "") if isinstance(stored, Mapping) else "" for key in keys)
        if not all(isinstance(value, str) for value in (name, source, digest, revision)) or not (source and digest):
            problem = f"config.json does not describe the weights of {self.model}."
            raise CheckpointError(problem, remedy=RESTORE)
        if source == PRETRAINED:
            self._load(find_model(name, revision or None))
        else:
            known = Path(self.model).name == source  # then it may be an absolute path on this machine
            self._load(find_folder_again(self.model if known else Path(source).name, folders))
        if self._loaded != digest:
            raise CheckpointError(
                f"the weights of {name} have the SHA-256 {self._loaded}, but the model was trained with {digest}.",
                file=self._folder,
                remedy="Use the pretrained model that it was trained with, and the version of transformers in "
                "transformer.json.",
            )

    def learning_rate_scales(self) -> Mapping[str, float]:
        """Return the scale of the transformer; the linear layer after it learns at `training.learning_rate`."""
        return {"transformer.": self.learning_rate_scale}

    def train(self, mode: bool = True) -> TransformerTextEncoder:
        """Set the mode; a frozen transformer stays in eval mode."""
        super().train(mode)
        self.transformer.train(mode and self.finetune)
        return self

    def is_fixed(self) -> bool:
        """Return whether the transformer is not trained, and each caption is one vector before the linear layer."""
        return not self.finetune and self.pooling is None and not self.keep_items

    def extract(self, inputs: Tokens) -> Tensor:
        """Return the pooled last hidden states `(B, F)`."""
        output, mask, lengths = self.run(inputs)
        return self.pool_states(output.last_hidden_state, mask, lengths)

    def finish(self, features: Tensor) -> Tensor:
        """Return the joint embeddings `(B, D)` of pooled states `(B, F)`."""
        embeddings: Tensor = self.fc(features).float()
        return self.scale(embeddings)

    def forward(self, tokens: Tokens) -> Tensor | Embeddings:
        """Return joint embeddings `(B, D)`, with `keep_items` also those of the tokens, `(B, L, D)`."""
        output, mask, lengths = self.run(tokens)
        states = output.last_hidden_state
        if self.pooling is not None or self.keep_items:
            items = self.fc(states).float().masked_fill(~mask[:, :, None], 0)
        if self.pooling is None:
            embeddings = self.finish(self.pool_states(states, mask, lengths))
        else:
            embeddings = self.scale(self.pooling(items, lengths))
        return Embeddings(embeddings, items, lengths) if self.keep_items else embeddings

    def run(self, tokens: Tokens, **options: bool) -> tuple[Any, Tensor, Tensor]:
        """Return the output of the transformer, the mask `(B, L)` of what is not padding, and the lengths."""
        lengths = tokens.lengths.to(tokens.ids.device)
        # Padding is identified by the lengths, not by its id, which in some vocabularies is a regular token.
        mask = torch.arange(tokens.ids.shape[1], device=tokens.ids.device) < lengths[:, None]
        # In eval mode, a caller with gradients enabled needs the graph: gradients of word embeddings explain a score.
        with torch.set_grad_enabled((self.finetune or not self.training) and torch.is_grad_enabled()):
            output = self.transformer(input_ids=tokens.ids, attention_mask=mask.long(), return_dict=True, **options)
        return output, mask, lengths

    def scale(self, embeddings: Tensor) -> Tensor:
        """Return embeddings `(B, D)` as the options `normalize` and `use_abs` have them."""
        if self.normalize:
            embeddings = functional.normalize(embeddings, dim=-1)
        return embeddings.abs() if self.use_abs else embeddings

    def pool_states(self, states: Tensor, mask: Tensor, lengths: Tensor) -> Tensor:
        """Return hidden states `(B, L, F)` as one vector each, `(B, F)`, by the option `pool`."""
        if self.pool == "cls":
            return states[:, 0]
        if self.pool == "last":
            return states[torch.arange(len(states), device=states.device), lengths - 1]
        return states.masked_fill(~mask[:, :, None], 0).sum(dim=1) / lengths[:, None]
