"""The command `vsezoo example-hello`."""

import click


@click.command("example-hello")
@click.option("--your-name", default="reader", show_default=True)
def hello(your_name: str) -> None:
    """Greet from a plugin."""
    click.echo(f"Hello, {your_name}.")
