"""`vsezoo features`: extract features of images to files."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vsezoo.cli import console, shards, shared_options
from vsezoo.cli.arguments import DATASET
from vsezoo.cli.assignments import read_assignments
from vsezoo.cli.command import Command, section
from vsezoo.cli.skipped import print_skipped
from vsezoo.data.source import OpenOptions
from vsezoo.errors import UsageError, suggest_name
from vsezoo.recipe import CHOICES

if TYPE_CHECKING:
    from vsezoo.backbones import Backbone
    from vsezoo.features.extraction import SplitSummary
    from vsezoo.features.image_tower import ImageTower
    from vsezoo.inputs import PairDataset

OF_FLAGS = ("weights", "features", "crops")
"""Options of a backbone that have their own flags."""


@click.command(
    cls=Command,
    examples=[
        ("vsezoo features photos/ --backbone timm:resnet50 --output features/photos", "A folder of images."),
        (
            "vsezoo features flickr8k --backbone torchvision:vgg19 --crops 10 --output f8k",
            "Means over ten crops of Flickr8K's images, found in ./data/flickr8k.",
        ),
        ("vsezoo features photos/ --backbone timm:resnet50 --grid --output features/grid", "Regions: a grid of cells."),
        (
            "vsezoo features photos/ --backbone clip-vit-b32.openai --output features/clip",
            "By the image tower of a CLIP.",
        ),
        ("vsezoo features coco/ --from trainval.tsv --output features/coco", "Regions that a detector has found."),
    ],
)
@click.argument("data", type=DATASET, required=False)
@click.option("--backbone", metavar="NAME", help="timm:NAME, torchvision:NAME, or a CHECKPOINT.")
@click.option(
    "--from",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Instead of --backbone: regions and boxes of a detector, in TSV or LMDB; repeatable.",
)
@click.option("--output", required=True, type=click.Path(path_type=Path), help="Output folder.")
@click.option("--resume", is_flag=True, help="Continue the work in the output folder.")
@click.option(
    "--weights",
    "--image-weights",
    "weights",
    metavar="FILE",
    default="pretrained",
    show_default=True,
    help="A .safetensors file; pretrained: the library's weights; none: random initialisation.",
)
@shared_options.device
@shared_options.as_json
@section(
    "Features",
    click.option("--crops", type=click.Choice(["1", "10"]), default="1", show_default=True, help="Crops to average."),
    click.option("--grid", is_flag=True, help="Write the cells of the last feature map as regions."),
    click.option("--normalize", is_flag=True, help="Scale each feature to unit L2 norm."),
    click.option(
        "--dtype",
        type=click.Choice(["float32", "float16"]),
        default="float32",
        show_default=True,
        help="Number type of the written features.",
    ),
    click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Option of the backbone; repeatable."),
)
@section(
    "Data",
    shared_options.data_root,
    click.option("--split", "splits", multiple=True, help="train, dev, test, …; repeatable.  [default: all]"),
    shared_options.use_restval,
    shared_options.on_bad_image("error"),
)
@section(
    "Run",
    click.option("--batch-size", type=click.IntRange(1), help="Images in a batch.  [default: 32 divided by the crops]"),
    click.option("--workers", type=click.IntRange(0), help="Data loader workers.  [default: one per core but one]"),
    click.option(
        "--precision",
        type=click.Choice(CHOICES["precision"]),
        default="fp32",
        show_default=True,
        help="Precision of the backbone.",
    ),
    shards.option,
)
def features(
    data: str | None,
    backbone: str | None,
    files: tuple[Path, ...],
    weights: str,
    settings: tuple[str, ...],
    crops: str,
    grid: bool,
    dtype: str,
    normalize: bool,
    splits: tuple[str, ...],
    use_restval: bool,
    data_root: Path | None,
    on_bad_image: str,
    batch_size: int | None,
    workers: int | None,
    device: str,
    precision: str,
    shard: str | None,
    resume: bool,
    output: Path,
    as_json: bool,
) -> None:
    """Extract features of the images of DATA with a backbone, to a folder that --data reads.

    The backbone is one of timm or torchvision, or the image tower of a pretrained model such as clip-vit-b32.openai,
    named as for other commands.

    DATA is a data set of images, a folder with captions, or any folder of images. Without captions the features are
    written to one file, all_ims.npy, and the names to all_ids.txt.

    With --from, the features and boxes are those of a detector's files, in the order of the list of DATA, whose
    pictures need not be there. Without DATA, all images of the files are written.
    """
    if files:
        names = ("backbone", "resume", "crops", "grid", "normalize", "settings", "shard", "use_restval")
        _refuse_unused(names, "--from")
        from vsezoo.cli.detected_features import write_files

        write_files(files, output, data or "", data_root, splits, dtype, on_bad_image, as_json=as_json)
        return
    if not data or not backbone:
        missing = "DATA" if not data else "--backbone"
        raise UsageError(
            f"{missing} is missing.", remedy="Give pictures and a --backbone, or a detector's files with --from."
        )
    options = read_assignments("--set", settings, "image_size=192")
    from vsezoo.cli.bars import show_splits
    from vsezoo.devices import SLOW_BF16, choose_precision
    from vsezoo.features.extraction import extract_features
    from vsezoo.features.extractor import FeatureForm
    from vsezoo.features.pictures import find_pictures

    pictures = find_pictures(data, data_root)
    accounts: dict[str, Any] = {}

    def open_split(split: str, options: OpenOptions) -> PairDataset:
        opened = pictures.open(split, options)
        if opened.account and (summary := opened.account["summary"]) not in accounts:
            accounts[summary] = dict(opened.account)
            console.print_note(summary)
        return opened

    share = shards.read_shard(shard)
    place = shards.choose_device(device)
    if (chosen := choose_precision(precision, place)) != precision:
        console.print_warning(SLOW_BF16.format(what="the backbone computes"))
    network = _open(backbone) or _build(backbone, {**_check(options), "weights": weights, "crops": int(crops)}, grid)
    with show_splits() as advance:
        try:
            summaries = extract_features(
                open_split,
                splits or pictures.names,
                network,
                output,
                form=FeatureForm(dtype, normalize, chosen, batch_size or max(1, 32 // network.views)),
                options=OpenOptions(data_root, use_restval=use_restval, on_bad_image=on_bad_image),
                workers=max(1, (os.cpu_count() or 1) - 1) if workers is None else workers,
                device=place,
                shard=share,
                resume=resume,
                advance=advance,
            )
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"{console.escape(str(output))}: everything but the last seconds of work is kept.\n"
                "Continue with the same command and --resume."
            ) from None
    print_skipped({name: reason for summary in summaries for name, reason in summary.skipped.items()})
    if as_json:
        account = {"account": next(iter(accounts.values()))} if accounts else {}
        done = [dataclasses.asdict(summary) for summary in summaries]
        console.print_json({"output": str(output), "splits": done, **account})
        return
    rows = [_describe(summary) for summary in summaries]
    console.print_table(["split", "features", "captions", "left out", "pictures/s"], rows)


def _refuse_unused(names: Iterable[str], source: str) -> None:
    """Refuse options of a backbone together with another source of features."""
    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            flag = "--set" if name == "settings" else f"--{name.replace('_', '-')}"
            raise UsageError(f"{flag} does not apply to {source}.", remedy=f"Leave out {flag}, or {source}.")


def _describe(summary: SplitSummary) -> tuple[str, ...]:
    speed = f"{summary.done / summary.seconds:.1f}" if summary.done else "already done"
    if summary.share == 0:
        speed = "none in this shard"
    if not summary.whole:
        return summary.split, "other shards not finished", "", "", speed
    shape = " x ".join(f"{size:,}" for size in summary.shape)
    return summary.split, shape, f"{summary.captions:,}", f"{len(summary.skipped):,}", speed


def _check(options: dict[str, Any]) -> dict[str, Any]:
    """Return the given options of a backbone after checking names and values.

    Raises:
        UsageError: for an unknown option or a value that it cannot have.
    """
    from vsezoo.backbones.options import BackboneOptions
    from vsezoo.recipe.signatures import read_options

    known = read_options(BackboneOptions, given=OF_FLAGS)
    for name in options:
        if name not in known:
            listing = f"Options: {', '.join(known)}."
            raise UsageError(f"A backbone has no option {name!r}.", remedy=suggest_name(name, known, listing))
    return {name: known[name].convert(value, f"--set {name}") for name, value in options.items()}


def _open(name: str) -> ImageTower | None:
    """Return the image tower of a pretrained model; None: the name is that of a backbone, or of nothing."""
    from vsezoo.backbones.catalogue import LIBRARIES
    from vsezoo.checkpoints.locate import find_named
    from vsezoo.hub.reference import parse_reference

    known = parse_reference(name) is not None or find_named(name) is not None or Path(name).expanduser().is_dir()
    if name.partition(":")[0] in LIBRARIES or not known:
        return None
    _refuse_unused(("weights", "crops", "grid", "settings"), f"--backbone {name}")
    from vsezoo.checkpoints.opened import Checkpoint
    from vsezoo.features.image_tower import ImageTower

    checkpoint = Checkpoint.open(name)
    label = checkpoint.reference if checkpoint.on_hub else Path(name).absolute().name
    return ImageTower(str(label), checkpoint.model().image_encoder)


def _build(name: str, options: dict[str, Any], grid: bool) -> Backbone:
    import torch

    from vsezoo.backbones import create_backbone

    torch.manual_seed(0)  # random weights must be the same in every shard and after --resume
    backbone = create_backbone(name, features="grid" if grid else "pooled", **options)
    backbone.load_pretrained()
    return backbone
