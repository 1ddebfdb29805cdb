"""The weights of a backbone: find, read and check their file, and compute their digest."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vsezoo.errors import CheckpointError, list_names
from vsezoo.pretrained.weights import VARIABLE


def find_weights(file: str | Path, folders: Sequence[Path] = ()) -> Path:
    """Return the path of a file of weights: as given, or of this name in `$VSEZOO_WEIGHTS` or one of the folders.

    Raises:
        CheckpointError: when it is not found.
    """
    given = Path(file)
    shared = os.environ.get(VARIABLE)
    places = [given, *(folder / given.name for folder in [*([Path(shared)] if shared else []), *folders])]
    for place in places:
        if os.path.isfile(place):  # noqa: PTH113 (False for an invalid name, for which Path.is_file raises)
            return place
    give = "Put it in the folder of the checkpoint" if folders else "Give the file with --image-weights"
    raise CheckpointError(
        f"is not a file of weights, and there is none of that name in {' or '.join(str(p.parent) for p in places[1:])}."
        if places[1:]
        else "is not a file of weights.",
        file=given,
        remedy=f"{give}, or set {VARIABLE} to the folder that holds {given.name}.",
    )


def read_weights(file: Path) -> dict[str, Tensor]:
    """Read a file of tensors.

    Raises:
        CheckpointError: for a file that is not safetensors.
    """
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"cannot be read as safetensors: {error}.",
            file=file,
            remedy="Give the tensors of the backbone's network as a safetensors file.",
        ) from error


def load_weights(
    network: nn.Module, tensors: Mapping[str, Tensor], left_out: Iterable[str], name: str, file: Path | None = None
) -> None:
    """Load tensors into a network; all names and shapes must agree, except for layers that are left out.

    Args:
        network: without its classifier.
        tensors: possibly with it. Batch counters may be absent, as in files of early versions of torch.
        left_out: names of the removed layers.
        name: name of the backbone, for the message.
        file: the file of the tensors; None: they come from the backbone's library.

    Raises:
        CheckpointError: for tensors that do not fit.
    """
    layers, expected = tuple(f"{layer}." for layer in left_out), network.state_dict()
    kept = {key: tensor for key, tensor in tensors.items() if not (key not in expected and key.startswith(layers))}
    absent = [key for key in expected.keys() - kept.keys() if not key.endswith("num_batches_tracked")]
    problems = [
        ("lacks", sorted(absent)),
        ("also has", sorted(kept.keys() - expected.keys())),
        (
            "has in another shape",
            [
                f"{key} {tuple(tensor.shape)} instead of {tuple(expected[key].shape)}"
                for key, tensor in kept.items()
                if key in expected and tensor.shape != expected[key].shape
            ],
        ),
    ]
    for words, names in problems:
        if names:
            raise CheckpointError(
                f"does not contain the weights of {name}: it {words} {list_names(names, 3)}.",
                file=file,
                remedy="Give the name of the backbone of these weights, with the model_args that it was trained with.",
            )
    network.load_state_dict(kept, strict=False)
