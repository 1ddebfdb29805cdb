"""The directions of imports: who may know whom, and what the start of the command line must not load."""

from __future__ import annotations

import ast
import functools
import graphlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
from click.testing import CliRunner

from vsezoo import registry
from vsezoo.cli import main

ROOT = Path(__file__).parent.parent

LAYERS: tuple[set[str], ...] = (
    {"errors", "moved"},
    {"storage"},
    {"registry", "recipe", "devices", "batch", "inputs"},
    {"interfaces", "hub"},
    {"pretrained", "vectors"},
    {"parts", "model", "text", "losses", "similarities", "optimization", "backbones", "scaffold"},
    {"data", "construction", "captioning"},
    {"encoders", "features", "cards"},
    {"checkpoints"},
    {"evaluation", "conversion"},
    {"training", "search", "comparison"},
    {"publishing", "sweeps", "explanation", "serving"},
    {"reports"},
    {"testing"},
    {"cli"},
    {"__main__"},
)
"""Parts of the core. Each imports from itself and from lower layers, the ones above it in this list; lazily neither."""

TOP_MODULES = 10
"""Most modules at the top of `vsezoo/`, next to its folders, `__init__.py` and `__main__.py`."""


HEAVY = ("torch", "torchvision", "timm", "numpy", "transformers", "huggingface_hub", "safetensors", "nltk", "PIL")


def find_modules(folder: Path) -> dict[str, Path]:
    """Return the modules below a folder of packages by their dotted names."""
    modules = {}
    for path in folder.rglob("*.py"):
        parts = path.relative_to(folder).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


CORE = {name: path for name, path in find_modules(ROOT).items() if name.split(".")[0] == "vsezoo"}
PLUGINS = find_modules(ROOT / "plugins")
MODULES = CORE | PLUGINS


@functools.cache
def read_imports(name: str, *, at_start: bool = False) -> frozenset[str]:
    """Return the modules that a module imports, as far as they belong to this repository.

    Args:
        name: of the module.
        at_start: only what runs when the module is imported: neither in functions nor under TYPE_CHECKING.
    """
    path = MODULES[name]
    found = set()
    for node in _walk(ast.parse(path.read_text(encoding="utf-8")), at_start):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            # `from vsezoo import registry` imports a module, `from vsezoo.registry import find` a name of one.
            targets = [f"{source}.{a.name}" if f"{source}.{a.name}" in MODULES else source for a in node.names]
        else:
            continue
        found |= {target for target in targets if target in MODULES}
    return frozenset(found - {name})


def _walk(node: ast.AST, at_start: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):  # no import stands in one
            continue
        lazy = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        typing = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        if not (at_start and (lazy or typing)):
            yield child
            yield from _walk(child, at_start)


def layer_of(name: str) -> int:
    part = name.split(".")[1]
    assert any(part in layer for layer in LAYERS), f"{name}: say in LAYERS where vsezoo.{part} belongs"
    return next(index for index, layer in enumerate(LAYERS) if part in layer)


def test_the_walk_sees_imports() -> None:
    """Guard the tests below against a walk that finds nothing."""
    assert {"vsezoo.errors"} <= read_imports("vsezoo.registry")
    assert "vsezoo.registry" in read_imports("vsezoo.cli")  # from vsezoo import registry
    assert "vsezoo.parts" in read_imports("vsezoo.cli.show")  # inside a function
    assert "vsezoo.parts" not in read_imports("vsezoo.cli.show", at_start=True)
    assert "vsezoo.inputs" in read_imports("vsezoo.data.source")  # under TYPE_CHECKING
    assert "vsezoo.inputs" not in read_imports("vsezoo.data.source", at_start=True)
    assert any(name.startswith("vsezoo_vsepp") for name in PLUGINS)


@pytest.mark.parametrize("part", sorted({name.split(".")[1] for name in CORE if name != "vsezoo"}))
def test_core_imports_point_one_way(part: str) -> None:
    for name in (name for name in CORE if name.split(".")[1:2] == [part]):
        for target in read_imports(name):
            assert target in CORE, f"{name} imports the plugin {target}"
            assert target != "vsezoo", f"{name} imports the package's public names instead of the module that has them"
            same = target.split(".")[1] == part
            assert same or layer_of(target) < layer_of(name), f"{name} imports {target}"


def test_few_modules_stand_at_the_top() -> None:
    top = {path.stem for path in (ROOT / "vsezoo").glob("*.py")} - {"__init__", "__main__"}
    assert len(top) <= TOP_MODULES, sorted(top)


def test_the_public_names_are_loaded_lazily() -> None:
    assert read_imports("vsezoo", at_start=True) == {"vsezoo.moved"}


@pytest.mark.parametrize("package", sorted({name.split(".")[0] for name in PLUGINS}))
def test_a_plugin_imports_the_core_and_no_other_plugin(package: str) -> None:
    for name in (name for name in PLUGINS if name.split(".")[0] == package):
        for target in read_imports(name):
            assert target.split(".")[0] in {"vsezoo", package}, f"{name} imports {target}"
            assert not target.startswith("vsezoo.cli"), f"{name} imports {target}"


def test_no_circle() -> None:
    """No modules import each other, imports inside functions and for types included: none can be read alone."""
    order = graphlib.TopologicalSorter({name: read_imports(name) - {"vsezoo"} for name in set(MODULES) - {"vsezoo"}})
    try:
        order.prepare()
    except graphlib.CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


@pytest.mark.process
@pytest.mark.parametrize(
    "program",
    [
        "import vsezoo",
        "import vsezoo.errors, vsezoo.registry, vsezoo.recipe",
        "import vsezoo.cli",
        "import vsezoo.cli.list_models, vsezoo.cli.list_plugins, vsezoo.cli.list_datasets, vsezoo.cli.show",
        "from vsezoo.cli import main; main(['--help'], standalone_mode=False)",
        "from vsezoo.cli import main; main(['list-models'], standalone_mode=False)",
        "from vsezoo.cli import main; main(['list-datasets', '--json'], standalone_mode=False)",
        "from vsezoo.cli import main; main(['list-plugins'], standalone_mode=False)",
    ],
)
def test_what_must_start_fast_loads_nothing_heavy(program: str) -> None:
    report = "import sys; print('loaded', sorted({name.split('.')[0] for name in sys.modules}))"
    environment = os.environ | {"VSEZOO_PLUGINS": "none"}
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\n{report}"], env=environment, capture_output=True, text=True, check=True
    )
    loaded = ast.literal_eval(done.stdout.splitlines()[-1].removeprefix("loaded "))
    assert "vsezoo" in loaded
    assert not set(HEAVY) & set(loaded)


def test_importers_load_no_library_of_models() -> None:
    """To recognise a file, `vsezoo convert` imports all of them."""
    waiting = [entry.value.partition(":")[0] for entry in registry.list_entries("importers") if entry.own]
    found = set(waiting)
    assert "vsezoo_vsepp.importer" in found
    while waiting:
        name = waiting.pop()
        packages = {name.rpartition(".")[0]} & set(MODULES)  # which are imported before what is in them
        new = (read_imports(name, at_start=True) | packages) - found
        found |= new
        waiting += new
    for name in found:
        for node in _walk(ast.parse(MODULES[name].read_text(encoding="utf-8")), at_start=True):
            given = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            given += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            loaded = {module.split(".")[0] for module in given} & {"open_clip", "timm", "torchvision", "transformers"}
            assert not loaded, f"{name} imports {loaded}"


@pytest.mark.process
@pytest.mark.parametrize("command", [["show", "run", "--json"], ["data", "check", "features"]], ids=" ".join)
def test_what_reads_no_tensors_imports_no_torch(command: list[str], tmp_path: Path) -> None:
    tiny.write_data(tmp_path / "features")
    tiny.save_model(tmp_path / "run")
    program = "import sys; from vsezoo.cli import main; main(sys.argv[1:], standalone_mode=False)"
    program += "; assert 'vsezoo' in sys.modules and 'torch' not in sys.modules"
    program += "; assert ('numpy' in sys.modules) == ('data' in sys.argv)"  # features are arrays
    subprocess.run([sys.executable, "-c", program, *command], cwd=tmp_path, capture_output=True, check=True)


@pytest.mark.process
def test_show_of_a_model_imports_torch_only_once() -> None:
    first = CliRunner().invoke(main, ["show", "vsepp", "--json"], catch_exceptions=False)
    program = "import sys; sys.path[:] = sys.argv[1:]; sys.modules.update(torch=None, numpy=None)"  # cannot be imported
    program += "; from vsezoo.cli import main; main(['show', 'vsepp', '--json'], standalone_mode=False)"
    command = [sys.executable, "-c", program, *sys.path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert '"total": 11268800' in done.stdout
    assert done.stdout == first.stdout


@pytest.mark.process
def test_a_misspelt_folder_of_pictures_imports_no_torch(tmp_path: Path) -> None:
    tiny.save_model(tmp_path / "run")
    program = "import atexit, sys; from vsezoo.cli import main; atexit.register(lambda: print('torch' in sys.modules))"
    command = ["search", "run", "a dog", "--images", "photo"]
    program += "; main(sys.argv[1:])"
    done = subprocess.run([sys.executable, "-c", program, *command], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "False\n")
    assert "photo: does not exist." in done.stderr
