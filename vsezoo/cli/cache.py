"""`vsezoo cache`: what commands store to be faster the next time."""

from __future__ import annotations

import click

from vsezoo.cli import console, shared_options
from vsezoo.cli.command import Group

UNIT = 1e6


@click.group(
    "cache",
    cls=Group,
    examples=[
        ("vsezoo cache show", "Show what the cache folder contains."),
        ("vsezoo cache verify", "Look for damaged files."),
        ("vsezoo cache clean", "Remove damaged files and what killed commands left."),
        ("vsezoo cache clean --all", "Remove everything."),
    ],
)
def cache() -> None:
    """Show, verify or clean the cache folder.

    It contains what can be computed again at any time, such as embeddings. $VSEZOO_CACHE chooses the folder.
    """


@cache.command(
    "show",
    examples=[
        ("vsezoo cache show", "Show what the cache folder contains."),
        ("VSEZOO_CACHE=/data/cache vsezoo cache show", "The same of another folder."),
    ],
)
@shared_options.as_json
def show(as_json: bool) -> None:
    """List the folders of the cache with their sizes."""
    from vsezoo.storage.cache import find_cache
    from vsezoo.storage.cache_contents import list_topics

    folder, topics = find_cache(), list_topics()
    if as_json:
        console.print_json({"folder": str(folder), "topics": [vars(topic) for topic in topics]})
        return
    console.results().print(str(folder))
    rows = [[topic.name, f"{topic.entries:,}", f"{topic.size / UNIT:,.1f}", topic.description] for topic in topics]
    if rows:
        console.print_table(["folder", "entries", "MB", "what"], rows)


@cache.command(
    "verify",
    examples=[
        ("vsezoo cache verify", "Look for damaged files."),
        ("vsezoo cache verify --json > damaged.json", "Write them as JSON."),
    ],
)
@shared_options.as_json
def verify(as_json: bool) -> None:
    """Compare the files of the cache with their digests; the exit code is 1 if one is damaged."""
    from vsezoo.storage.cache_contents import find_damage

    damaged = list(find_damage())
    if as_json:
        console.print_json({"damaged": {str(file): reason for file, reason in damaged}})
    elif damaged:
        console.print_table(["file", "problem"], [[str(file), reason] for file, reason in damaged])
        console.messages().print("Remove them with: vsezoo cache clean")
    else:
        console.results().print("Nothing is damaged.")
    if damaged:
        raise click.exceptions.Exit(1)


@cache.command(
    "clean",
    examples=[
        ("vsezoo cache clean", "Remove damaged files and what killed commands left."),
        ("vsezoo cache clean --all", "Remove everything."),
    ],
)
@click.option("--all", "everything", is_flag=True, help="Remove everything, not only what is damaged or left over.")
@shared_options.as_json
def clean(everything: bool, as_json: bool) -> None:
    """Remove damaged files and what killed commands left, or everything."""
    from vsezoo.storage.cache_contents import clean as clean_cache

    count, size = clean_cache(everything=everything)
    if as_json:
        console.print_json({"removed": count, "bytes": size})
        return
    console.results().print(f"Removed {count:,} entries, {size / UNIT:,.1f} MB.")
