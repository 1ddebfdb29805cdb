"""The commands `vsezoo example-hello` and `vsezoo example-tokens`."""

import click

from vsezoo.cli import console


@click.command("example-hello")
@click.option("--your-name", default="reader", show_default=True)
def hello(your_name: str) -> None:
    """Greet from a plugin."""
    click.echo(f"Hello, {your_name}.")


@click.command("example-tokens")
@click.argument("checkpoint")
@click.argument("caption")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def tokens(checkpoint: str, caption: str, as_json: bool) -> None:
    """Tell the ids that CHECKPOINT reads CAPTION as."""
    from vsezoo.checkpoint import load  # imports torch

    (ids,) = load(checkpoint).tokenizer.encode([caption])
    if as_json:
        console.print_json(ids.tolist())
    else:
        console.results().print(" ".join(map(str, ids.tolist())))
