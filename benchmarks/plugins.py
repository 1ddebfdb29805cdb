"""What further plugin distributions add to the start of the command line.

    python benchmarks/plugins.py [--plugins 50] [--runs 31] [COMMAND ...]

Makes distributions as an installer leaves them, each with a model, an image encoder and a command, and runs
`vsezoo list-models` with and without them in turn. Prints the medians and the median of the ratios of the pairs.
"""

from __future__ import annotations

import compileall
import os
import statistics
import tempfile
from pathlib import Path

from figures import Figure, Report, make_parser
from processes import find_script, measure

METADATA = """Metadata-Version: 2.4
Name: vsezoo-made-{index}
Version: 1.{index}
Summary: A plugin of vsezoo.
Author: A. Author
License-Expression: Apache-2.0
Project-URL: Homepage, https://example.org/made
Classifier: Programming Language :: Python :: 3
Requires-Python: >=3.11
Description-Content-Type: text/markdown
Requires-Dist: vsezoo

# A plugin

{readme}
"""

ENTRY_POINTS = """[vsezoo.api]
1 = vsezoo_made_{index}

[vsezoo.commands]
made-{index} = vsezoo_made_{index}.command:greet

[vsezoo.image_encoders]
made-{index} = vsezoo_made_{index}.encoder:MadeEncoder

[vsezoo.models]
made-{index} = vsezoo_made_{index}.recipes:recipe
"""

MODULES = {
    "__init__": '"""A plugin."""\n',
    "recipes": """from vsezoo.recipe import Paper, Part, Recipe

recipe = Recipe(
    name="made-{index}",
    summary="Two-layer images and GRU sentences, compared by their cosine.",
    image_encoder=Part("made-{index}"),
    text_encoder=Part("gru"),
    similarity=Part("cosine"),
    loss=Part("hinge", {{"max_violation": True}}),
    paper=Paper("An example", "A. Author and B. Author", 2024, "nowhere"),
)
""",
    "encoder": """from vsezoo.encoders.precomputed import PrecomputedImageEncoder


class MadeEncoder(PrecomputedImageEncoder):
    pass
""",
    "command": """import click


@click.command("made-{index}")
def greet():
    "Greet."
""",
}


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__)
    parser.add_argument("--plugins", type=int, default=50, help="distributions to make (default 50)")
    parser.add_argument("--runs", type=int, default=31, help="runs of each (default 31)")
    parser.add_argument("command", nargs="*", default=["list-models"], help="of vsezoo (default list-models)")
    options = parser.parse_args()
    script = find_script()
    command = [script, *options.command]
    with tempfile.TemporaryDirectory() as folder:
        write_plugins(Path(folder), options.plugins)
        paths = {"none": "", f"{options.plugins} plugins": folder}
        environments = [{**os.environ, "PYTHONPATH": path} for path in paths.values()]
        for environment in environments:
            measure(command, environment)  # the first run reads the disk and writes bytecode
        pairs = [[measure(command, environment).wall for environment in environments] for _ in range(options.runs)]
    with Report(options) as report:
        for name, seconds in zip(paths, zip(*pairs, strict=True), strict=True):
            median = 1000 * statistics.median(seconds)
            report.show(f"{name:<12}{median:7.1f} ms (median of {options.runs})", Figure(name, median, "ms"))
        ratio = statistics.median(more / none for none, more in pairs)
        report.show(f"{'ratio':<12}{ratio:7.2f}", Figure("ratio", ratio))


def write_plugins(folder: Path, count: int) -> None:
    """Write distributions into a folder for Python's path."""
    readme = "What it is, how it is installed and used, and what it is for.\n" * 40
    for index in range(count):
        package, info = folder / f"vsezoo_made_{index}", folder / f"vsezoo_made_{index}-1.{index}.dist-info"
        package.mkdir()
        info.mkdir()
        for name, source in MODULES.items():
            (package / f"{name}.py").write_text(source.format(index=index), encoding="utf-8")
        (info / "METADATA").write_text(METADATA.format(index=index, readme=readme), encoding="utf-8")
        (info / "entry_points.txt").write_text(ENTRY_POINTS.format(index=index), encoding="utf-8")
        (info / "INSTALLER").write_text("pip\n", encoding="utf-8")
    compileall.compile_dir(folder, quiet=1)  # as an installer does


if __name__ == "__main__":
    main()
