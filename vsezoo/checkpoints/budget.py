"""How much a constructor may create before it is compared with the weights: sizes in a `config.json` are untrusted."""

from __future__ import annotations

import math
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

from vsezoo.errors import VsezooError

SPARE_ELEMENTS = 2**26
"""Elements of tensors that are not stored, such as positions and masks: 256 MiB of float32."""


class TooLargeError(VsezooError):
    """A module that asks for more parameters or larger tensors than its weights allow."""


class TensorBudget(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses to create a tensor of more than so many elements, before it takes memory.

    Args:
        most: number of elements.
    """

    def __init__(self, most: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = most

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Look at the sizes that functions such as `empty`, `zeros` and `randn` get, then call them."""
        given = kwargs or {}
        for place, argument in enumerate(func._schema.arguments):
            if argument.name == "size" and "expand" not in func._schema.name and "view" not in func._schema.name:
                size = args[place] if place < len(args) else given.get("size", ())
                if math.prod(size) > self.most:
                    raise TooLargeError(
                        f"describes a tensor of shape {tuple(size)}, which is larger than all of its weights."
                    )
            elif argument.name in ("end", "n", "steps") and place < len(args):
                count = args[place]
                if isinstance(count, int | float) and count > self.most:
                    raise TooLargeError(f"describes a tensor of {count:,} numbers, more than all of its weights.")
        return func(*args, **given)
