"""vsezoo: a plugin-based model zoo for visual-semantic embeddings, images and sentences in one space.

The public names are imported when they are first used, so that `import vsezoo` brings neither torch nor numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vsezoo.moved import install as _find_moved_modules

if TYPE_CHECKING:
    from vsezoo.checkpoints.checkpoint import load as load
    from vsezoo.construction import create_model as create_model
    from vsezoo.conversion.convert import convert as convert
    from vsezoo.conversion.convert import export as export
    from vsezoo.errors import VsezooError as VsezooError
    from vsezoo.evaluation.evaluate import evaluate as evaluate
    from vsezoo.model import JointEmbedding as JointEmbedding
    from vsezoo.publishing.push import push as push
    from vsezoo.registry import list_models as list_models
    from vsezoo.registry.audit.inventory import plugins as plugins
    from vsezoo.search.export import embed as embed
    from vsezoo.search.index import open_index as open_index
    from vsezoo.training.train import train as train

_find_moved_modules()

_HOMES = {
    "JointEmbedding": "vsezoo.model",
    "VsezooError": "vsezoo.errors",
    "convert": "vsezoo.conversion.convert",
    "create_model": "vsezoo.construction",
    "embed": "vsezoo.search.export",
    "evaluate": "vsezoo.evaluation.evaluate",
    "export": "vsezoo.conversion.convert",
    "list_models": "vsezoo.registry",
    "load": "vsezoo.checkpoints.checkpoint",
    "open_index": "vsezoo.search.index",
    "plugins": "vsezoo.registry.audit.inventory",
    "push": "vsezoo.publishing.push",
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
