"""vsezoo: a plugin-based model zoo for visual-semantic embeddings, images and sentences in one space.

The public names are imported when they are first used, so that `import vsezoo` brings neither torch nor numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vsezoo.checkpoint import load as load
    from vsezoo.construction import create_model as create_model
    from vsezoo.errors import VsezooError as VsezooError
    from vsezoo.evaluation.evaluate import evaluate as evaluate
    from vsezoo.hub.push import push as push
    from vsezoo.legacy.conversion import convert as convert
    from vsezoo.legacy.conversion import export as export
    from vsezoo.model import JointEmbedding as JointEmbedding
    from vsezoo.registry import list_models as list_models
    from vsezoo.registry.inventory import plugins as plugins
    from vsezoo.search.export import embed as embed
    from vsezoo.search.index import open_index as open_index
    from vsezoo.training.train import train as train

_HOMES = {
    "JointEmbedding": "vsezoo.model",
    "VsezooError": "vsezoo.errors",
    "convert": "vsezoo.legacy.conversion",
    "create_model": "vsezoo.construction",
    "embed": "vsezoo.search.export",
    "evaluate": "vsezoo.evaluation.evaluate",
    "export": "vsezoo.legacy.conversion",
    "list_models": "vsezoo.registry",
    "load": "vsezoo.checkpoint",
    "open_index": "vsezoo.search.index",
    "plugins": "vsezoo.registry.inventory",
    "push": "vsezoo.hub.push",
    "train": "vsezoo.training.train",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("vsezoo")
    raise AttributeError(f"module 'vsezoo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
