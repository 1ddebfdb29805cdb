"""Broken image encoders, each made from a sound one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from museum import exhibit
from torch import Tensor, nn
from torch.nn import functional

from vsezoo.interfaces import ImageEncoder, PairDataset


@exhibit()
class SoundImages(ImageEncoder):
    """Nothing is wrong: a layer, then unit norm."""

    kinds = ("vector",)

    def __init__(self, *, embed_size: int, img_dim: int = 4) -> None:
        super().__init__()
        self.fc = nn.Linear(img_dim, embed_size)

    @classmethod
    def resolve_options(cls, options: Mapping[str, Any], data: PairDataset) -> dict[str, Any]:
        return {**options, "img_dim": data.image_shape[-1]}

    def transform(self, training: bool) -> Callable[[Any], Tensor]:
        return torch.as_tensor

    def forward(self, images: Tensor) -> Tensor:
        return functional.normalize(self.fc(images), dim=-1).float()


@exhibit("construction")
class RangeOption(SoundImages):
    """JSON has nothing like the default."""

    def __init__(self, *, embed_size: int, img_dim: int = 4, sizes: Any = range(2)) -> None:
        super().__init__(embed_size=embed_size, img_dim=img_dim)


@exhibit("construction")
class OptionWithoutDefault(SoundImages):
    """Neither listed nor settable."""

    def __init__(self, *, embed_size: int, depth: int, img_dim: int = 4) -> None:
        super().__init__(embed_size=embed_size, img_dim=img_dim)


@exhibit("construction")
class AnyOption(SoundImages):
    """What is misspelt is swallowed."""

    def __init__(self, *, embed_size: int, img_dim: int = 4, **more: Any) -> None:
        super().__init__(embed_size=embed_size, img_dim=img_dim)


@exhibit("construction")
class UnknownKind(SoundImages):
    """There is no such form of image."""

    kinds = ("tensor",)


@exhibit("construction")
class NoKinds(ImageEncoder):
    """It does not say what it takes."""

    def transform(self, training: bool) -> Callable[[Any], Tensor]:
        return torch.as_tensor

    def forward(self, images: Tensor) -> Tensor:
        return images


@exhibit("construction")
class ChangesOption(SoundImages):
    """The list is the recipe's own, and longer for the next one who builds from it."""

    def __init__(self, *, embed_size: int, img_dim: int = 4, sizes: Any = [3]) -> None:  # noqa: B006
        super().__init__(embed_size=embed_size, img_dim=img_dim)
        sizes.append(embed_size)


@exhibit("construction")
class ReturnsArray(SoundImages):
    """What comes out is no tensor."""

    def forward(self, images: Tensor) -> Any:
        return super().forward(images).detach().numpy()


@exhibit("construction")
class Exits(SoundImages):
    """Ends the program."""

    def forward(self, images: Tensor) -> Tensor:
        raise SystemExit("no images")


@exhibit("seed")
class SetsSeed(SoundImages):
    """All that is drawn after it is the same in every step."""

    def forward(self, images: Tensor) -> Tensor:
        torch.manual_seed(0)
        return super().forward(functional.dropout(images, 0.1, self.training))


@exhibit("seed")
class SetsSeedOnce(SoundImages):
    """The training's seed means nothing."""

    def __init__(self, *, embed_size: int, img_dim: int = 4) -> None:
        torch.manual_seed(0)
        super().__init__(embed_size=embed_size, img_dim=img_dim)


@exhibit("inputs")
class ChangesImages(SoundImages):
    """Changes what others read after it."""

    def forward(self, images: Tensor) -> Tensor:
        images /= images.norm(dim=-1, keepdim=True)
        return super().forward(images)


@exhibit("gradients")
class Frozen(SoundImages):
    """Nothing that comes out can be trained."""

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images)


@exhibit("state")
class LooseTensor(SoundImages):
    """A tensor that stays where it is when the model goes to a GPU."""

    def __init__(self, *, embed_size: int, img_dim: int = 4) -> None:
        super().__init__(embed_size=embed_size, img_dim=img_dim)
        self.scale = torch.full((img_dim,), 2.0)

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(self.scale * images)


@exhibit("shapes")
class DeviatesInTraining(SoundImages):
    """The last batch of an epoch may be one pair, which has no deviation."""

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            images = images / (images - images.mean(dim=0)).square().sum(dim=0).sqrt()
        return super().forward(images)


@exhibit("seed")
class DrawsElsewhere(SoundImages):
    """The weights come from a generator that nobody has seeded."""

    def __init__(self, *, embed_size: int, img_dim: int = 4) -> None:
        super().__init__(embed_size=embed_size, img_dim=img_dim)
        drawn = np.random.default_rng().normal(size=self.fc.weight.shape).astype(np.float32)
        self.fc.weight.data.copy_(torch.from_numpy(drawn))


@exhibit("eval", "checkpoint", "batch")
class DropsAlways(SoundImages):
    """Dropout that does not know of eval mode."""

    def forward(self, images: Tensor) -> Tensor:
        return functional.dropout(super().forward(images), 0.5)


@exhibit("gradients")
class UnusedLayer(SoundImages):
    """A layer that forward does not use."""

    def __init__(self, *, embed_size: int, img_dim: int = 4) -> None:
        super().__init__(embed_size=embed_size, img_dim=img_dim)
        self.spare = nn.Linear(2, 2)


@exhibit()
class DeclaredLayer(UnusedLayer):
    """Nothing is wrong: the same layer, declared."""

    without_gradient = ("spare.",)


@exhibit("state")
class TiedWeights(SoundImages):
    """One matrix under two names."""

    def __init__(self, *, embed_size: int, img_dim: int = 4) -> None:
        super().__init__(embed_size=embed_size, img_dim=img_dim)
        self.again = nn.Linear(img_dim, embed_size)
        self.again.weight = self.fc.weight

    def forward(self, images: Tensor) -> Tensor:
        return functional.normalize(self.fc(images) + self.again(images), dim=-1).float()


@exhibit("checkpoint")
class ForgottenMean(SoundImages):
    """What `fit` learns is a plain attribute."""

    mean = 0.0

    def fit(self, data: PairDataset) -> None:
        self.mean = float(data.images([0]).mean())

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images - self.mean)


@exhibit("shapes", "batch")
class Squeezes(SoundImages):
    """A batch of one loses its dimension."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images).squeeze()


@exhibit("autocast")
class MixesTypes(SoundImages):
    """Adds bfloat16 into float32 in place."""

    def forward(self, images: Tensor) -> Tensor:
        total = torch.zeros(len(images), self.fc.out_features)
        return total.index_add(0, torch.arange(len(images)), self.fc(images))


@exhibit("learning-rates")
class MisspeltRate(SoundImages):
    """No parameter begins so."""

    def learning_rate_scales(self) -> Mapping[str, float]:
        return {"cnn.": 0.1}


@exhibit("count")
class ReadsNumbers(SoundImages):
    """The constructor wants the value of a tensor."""

    def __init__(self, *, embed_size: int, img_dim: int = 4) -> None:
        super().__init__(embed_size=embed_size, img_dim=img_dim)
        self.scale = self.fc.weight.norm().item()


@exhibit("kinds")
class OneKindOnly(SoundImages):
    """Of regions it makes as many embeddings."""

    kinds = ("vector", "regions")


@exhibit("batch")
class BatchMean(SoundImages):
    """Subtracts the mean of the batch."""

    def forward(self, images: Tensor) -> Tensor:
        embeddings = super().forward(images)
        return embeddings - 0.1 * embeddings.mean(dim=0)


@exhibit("regions")
class FirstRegion(SoundImages):
    """Promises that the order of regions does not count, and takes the first one."""

    kinds = ("regions",)
    region_order = "invariant"

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images[:, 0])


@exhibit("transform")
class OwnTransform(SoundImages):
    """The transform is a method, so that a copy of it brings the weights."""

    def prepare(self, images: Any) -> Tensor:
        return torch.as_tensor(images)

    def transform(self, training: bool) -> Callable[[Any], Tensor]:
        return self.prepare


def add_noise(images: Any) -> Tensor:
    return torch.as_tensor(images + np.random.default_rng().normal(size=images.shape).astype(np.float32))


@exhibit("transform")
class UnseededTransform(SoundImages):
    """The noise of training can never be had again."""

    def transform(self, training: bool) -> Callable[[Any], Tensor]:
        return add_noise if training else torch.as_tensor
