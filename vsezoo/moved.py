"""Earlier names of modules, kept for one version: importing one warns and returns the module under its new name.

Names of the plugin API of version 1 (`API_V1`) do not warn, because installed plugins use them.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.abc import Loader
else:  # it only documents the methods, and importing it takes longer than the rest of `import vsezoo`
    Loader = object

MOVED = {
    "vsezoo.checkpoint": "vsezoo.checkpoints.checkpoint",
    "vsezoo.checkpoint_folder": "vsezoo.storage.checkpoint_layout",
    "vsezoo.data.addresses": "vsezoo.storage.addresses",
    "vsezoo.data.batches": "vsezoo.training.batches",
    "vsezoo.data.cache": "vsezoo.storage.cache",
    "vsezoo.data.doctor.comparison": "vsezoo.data.doctor.split_comparison",
    "vsezoo.data.doctor.splits": "vsezoo.data.doctor.open_split",
    "vsezoo.data.feature_file": "vsezoo.data.precomputed.feature_file",
    "vsezoo.data.feature_record": "vsezoo.data.precomputed.feature_record",
    "vsezoo.data.layouts.coco": "vsezoo.data.pictures.layouts.coco",
    "vsezoo.data.layouts.flickr": "vsezoo.data.pictures.layouts.flickr",
    "vsezoo.data.layouts.folder": "vsezoo.data.pictures.layouts.folder",
    "vsezoo.data.layouts.karpathy": "vsezoo.data.pictures.layouts.karpathy",
    "vsezoo.data.layouts.shards": "vsezoo.data.pictures.layouts.shards",
    "vsezoo.data.listing": "vsezoo.data.pictures.listing",
    "vsezoo.data.named_images": "vsezoo.search.queries",
    "vsezoo.data.picture_check": "vsezoo.data.pictures.check",
    "vsezoo.data.picture_file": "vsezoo.data.pictures.picture_file",
    "vsezoo.data.picture_pairs": "vsezoo.data.pictures.pairs",
    "vsezoo.data.picture_search": "vsezoo.data.pictures.find",
    "vsezoo.data.picture_source": "vsezoo.data.pictures.source",
    "vsezoo.data.precomputed_source": "vsezoo.data.precomputed.source",
    "vsezoo.data.sampling": "vsezoo.training.sampling",
    "vsezoo.data.sentence_file": "vsezoo.search.sentence_file",
    "vsezoo.data.table_file": "vsezoo.data.pictures.table_file",
    "vsezoo.data.waiting": "vsezoo.storage.waiting",
    "vsezoo.encoders.gru": "vsezoo.encoders.recurrent",
    "vsezoo.encoders.lstm": "vsezoo.encoders.recurrent",
    "vsezoo.encoders.timm": "vsezoo.encoders.backbone",
    "vsezoo.encoders.torchvision": "vsezoo.encoders.backbone",
    "vsezoo.hub.card": "vsezoo.cards.card",
    "vsezoo.hub.command": "vsezoo.cards.command",
    "vsezoo.hub.curves": "vsezoo.publishing.curves",
    "vsezoo.hub.merge": "vsezoo.cards.merge",
    "vsezoo.hub.metadata": "vsezoo.cards.metadata",
    "vsezoo.hub.publication": "vsezoo.publishing.publication",
    "vsezoo.hub.push": "vsezoo.publishing.push",
    "vsezoo.legacy.archives": "vsezoo.conversion.archives",
    "vsezoo.legacy.arrays": "vsezoo.conversion.arrays",
    "vsezoo.legacy.contents": "vsezoo.conversion.pickle_contents",
    "vsezoo.legacy.conversion": "vsezoo.conversion.convert",
    "vsezoo.legacy.description": "vsezoo.conversion.description",
    "vsezoo.legacy.dictionary": "vsezoo.conversion.dictionary",
    "vsezoo.legacy.files": "vsezoo.conversion.files",
    "vsezoo.legacy.importer": "vsezoo.conversion.importer",
    "vsezoo.legacy.machine": "vsezoo.conversion.pickle_machine",
    "vsezoo.legacy.namespace": "vsezoo.conversion.argparse_options",
    "vsezoo.legacy.options": "vsezoo.conversion.kiros_options",
    "vsezoo.legacy.output": "vsezoo.conversion.output",
    "vsezoo.legacy.pickles": "vsezoo.conversion.pickles",
    "vsezoo.legacy.recognition": "vsezoo.conversion.recognition",
    "vsezoo.legacy.state_dicts": "vsezoo.conversion.state_dicts",
    "vsezoo.legacy.theano": "vsezoo.conversion.theano",
    "vsezoo.legacy.torch_files": "vsezoo.conversion.torch_files",
    "vsezoo.legacy.vocabulary": "vsezoo.conversion.vocabulary",
    "vsezoo.legacy.vocabulary_files": "vsezoo.conversion.vocabulary_files",
    "vsezoo.provenance": "vsezoo.checkpoints.provenance",
    "vsezoo.registry.api": "vsezoo.registry.audit.api",
    "vsezoo.registry.definitions": "vsezoo.registry.audit.definitions",
    "vsezoo.registry.inventory": "vsezoo.registry.audit.inventory",
    "vsezoo.registry.trial": "vsezoo.registry.audit.trial",
    "vsezoo.search.nearest": "vsezoo.search.indexes",
    "vsezoo.search.tensor_file": "vsezoo.search.array_writers",
    "vsezoo.tensors": "vsezoo.storage.tensors",
    "vsezoo.training.inheritance": "vsezoo.training.init_from",
    "vsezoo.training.observer": "vsezoo.training.callbacks",
    "vsezoo.training.optimizer": "vsezoo.training.optimizer_step",
}
PACKAGES = ("vsezoo.legacy", "vsezoo.data.layouts")
"""Packages that no longer exist; their modules are in `MOVED`."""
API_V1 = ("vsezoo.checkpoint", "vsezoo.legacy", "vsezoo.legacy.importer")


class MovedFinder(Loader):
    """Finds modules by their earlier names. Placed last, so that existing modules never reach it."""

    def __init__(self) -> None:
        self._own_specs: dict[str, ModuleSpec | None] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a moved module, or None for any other name."""
        if fullname in MOVED or fullname in PACKAGES:
            return ModuleSpec(fullname, self, is_package=fullname in PACKAGES)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Return the module under its new name; for a package that no longer exists, None: an empty one."""
        if spec.name in PACKAGES:
            return None
        new = MOVED[spec.name]
        if spec.name not in API_V1:
            warnings.warn(f"{spec.name} has moved to {new}.", DeprecationWarning, stacklevel=2)
        module = import_module(new)
        self._own_specs[spec.name] = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Execute nothing, because the module was imported under its new name; restore its own spec."""
        if module.__spec__ and module.__spec__.name in self._own_specs:
            module.__spec__ = self._own_specs.pop(module.__spec__.name)


def install() -> None:
    """Make earlier names importable."""
    if not any(isinstance(finder, MovedFinder) for finder in sys.meta_path):
        sys.meta_path.append(MovedFinder())
