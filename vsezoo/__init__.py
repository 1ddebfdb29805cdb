"""vsezoo: a plugin-based model zoo for visual-semantic embeddings, images and sentences in one space.

Public names are imported on first use: `import vsezoo` alone loads neither torch nor numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vsezoo.moved import install as _find_moved_modules

if TYPE_CHECKING:
    from vsezoo.backbones import create_backbone as create_backbone
    from vsezoo.captioning.search import write_captions as write_captions
    from vsezoo.checkpoints.checkpoint import load as load
    from vsezoo.checkpoints.checkpoint import load_loss as load_loss
    from vsezoo.checkpoints.opened import Checkpoint as Checkpoint
    from vsezoo.construction import create_model as create_model
    from vsezoo.conversion.convert import convert as convert
    from vsezoo.conversion.convert import export as export
    from vsezoo.data.doctor.check import check_data as check_data
    from vsezoo.data.lookup import open_data as open_data
    from vsezoo.data.pictures.picture_file import read_picture as read_picture
    from vsezoo.data.source import OpenOptions as OpenOptions
    from vsezoo.errors import VsezooError as VsezooError
    from vsezoo.evaluation.evaluate import evaluate as evaluate
    from vsezoo.explanation.explain import explain as explain
    from vsezoo.features.extraction import extract_features as extract_features
    from vsezoo.features.extractor import FeatureForm as FeatureForm
    from vsezoo.features.pictures import find_pictures as find_pictures
    from vsezoo.model import JointEmbedding as JointEmbedding
    from vsezoo.publishing.push import push as push
    from vsezoo.registry import list_datasets as list_datasets
    from vsezoo.registry import list_models as list_models
    from vsezoo.registry.audit.inventory import plugins as plugins
    from vsezoo.search.export import embed as embed
    from vsezoo.search.index import open_index as open_index
    from vsezoo.training.bar import ProgressBar as ProgressBar
    from vsezoo.training.callbacks import Callback as Callback
    from vsezoo.training.callbacks import Observer as Observer
    from vsezoo.training.train import train as train

_find_moved_modules()

_HOMES = {
    "Checkpoint": "vsezoo.checkpoints.opened",
    "FeatureForm": "vsezoo.features.extractor",
    "JointEmbedding": "vsezoo.model",
    "Callback": "vsezoo.training.callbacks",
    "Observer": "vsezoo.training.callbacks",
    "OpenOptions": "vsezoo.data.source",
    "ProgressBar": "vsezoo.training.bar",
    "VsezooError": "vsezoo.errors",
    "check_data": "vsezoo.data.doctor.check",
    "convert": "vsezoo.conversion.convert",
    "create_backbone": "vsezoo.backbones",
    "create_model": "vsezoo.construction",
    "embed": "vsezoo.search.export",
    "evaluate": "vsezoo.evaluation.evaluate",
    "explain": "vsezoo.explanation.explain",
    "export": "vsezoo.conversion.convert",
    "extract_features": "vsezoo.features.extraction",
    "find_pictures": "vsezoo.features.pictures",
    "list_datasets": "vsezoo.registry",
    "list_models": "vsezoo.registry",
    "load": "vsezoo.checkpoints.checkpoint",
    "load_loss": "vsezoo.checkpoints.checkpoint",
    "open_data": "vsezoo.data.lookup",
    "open_index": "vsezoo.search.index",
    "plugins": "vsezoo.registry.audit.inventory",
    "push": "vsezoo.publishing.push",
    "read_picture": "vsezoo.data.pictures.picture_file",
    "train": "vsezoo.training.train",
    "write_captions": "vsezoo.captioning.search",
}

__all__ = list(_HOMES)

if TYPE_CHECKING:
    __version__: str
else:  # a type checker that knew of this function would take every misspelt name for one of ours

    def __getattr__(name: str) -> Any:
        if name in _HOMES:
            return getattr(import_module(_HOMES[name]), name)
        if name == "__version__":
            from importlib.metadata import version

            return version("vsezoo")
        raise AttributeError(f"module 'vsezoo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
