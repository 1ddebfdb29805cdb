"""A second distribution, built and installed for real: everything that the built-in models can be used for.

The tests of this file go on from each other, in their order: installed, trained, converted, published, and at last
uninstalled.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import loopback
import pytest
from environments import Environment

RUN = "runs/example-gated-example-numbers"


@pytest.fixture(scope="module", autouse=True)
def _installed(environment: Environment, thirdparty: Path) -> None:
    environment.install(thirdparty)
    environment.vsezoo("train", "example-gated", "--data", "example-numbers", "--device", "cpu")


def test_all_of_it_is_listed_with_where_it_comes_from(environment: Environment) -> None:
    found = json.loads(environment.vsezoo("list-plugins", "--json").stdout)
    names = {(plugin["kind"], plugin["name"]) for plugin in found if plugin["distribution"] == "vsezoo-example"}
    assert names == {
        ("models", "example-euclid"),
        ("models", "example-gated"),
        ("image_encoders", "example-gated"),
        ("text_encoders", "example-letters"),
        ("similarities", "euclid"),
        ("losses", "example-soft-hinge"),
        ("datasets", "example-numbers"),
        ("importers", "example-json"),
        ("commands", "example-hello"),
        ("commands", "example-tokens"),
    }
    site = str(environment.folder / "lib")
    found = [plugin for plugin in found if plugin["distribution"] in ("vsezoo", "vsezoo-example")]
    assert {plugin["api_version"] for plugin in found if plugin["distribution"] == "vsezoo-example"} == {1}
    assert all(plugin["location"].startswith(site) for plugin in found)  # of the wheels, not of the sources
    (model,) = json.loads(environment.vsezoo("list-models", "example-gated", "--json").stdout)
    assert (model["distribution"], model["version"]) == ("vsezoo-example", "1.2.0")


@pytest.fixture(scope="module")
def evaluated(environment: Environment) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(environment.vsezoo("eval", RUN, "--json").stdout)
    return found


def test_it_learns_its_own_data_and_is_evaluated(environment: Environment, evaluated: dict[str, Any]) -> None:
    done = evaluated
    assert (done["data"], done["split"], done["images"], done["captions"]) == ("example-numbers", "test", 100, 350)
    assert done["rsum"] > 450  # without learning, it is about 32
    config = json.loads((environment.work / RUN / "best" / "config.json").read_text(encoding="utf-8"))
    own = {"distribution": "vsezoo-example", "version": "1.2.0", "api_version": 1}
    assert config["plugins"] == {
        "image_encoder": {"name": "example-gated", **own},
        "text_encoder": {"name": "example-letters", **own},
        "similarity": {"name": "euclid", **own},
        "loss": {"name": "example-soft-hinge", **own},
    }


def test_its_parts_go_with_built_in_ones(environment: Environment) -> None:
    environment.vsezoo(
        "train", "vsepp", "--data", "example-numbers", "--loss", "example-soft-hinge", "--measure", "euclid",
        "--embed-size", "16", "--num-epochs", "1", "--output", "runs/mixed", "--device", "cpu",
    )  # fmt: skip
    config = json.loads((environment.work / "runs" / "mixed" / "best" / "config.json").read_text(encoding="utf-8"))
    assert {kind: part["distribution"] for kind, part in config["plugins"].items()} == {
        "image_encoder": "vsezoo",
        "text_encoder": "vsezoo",
        "similarity": "vsezoo-example",
        "loss": "vsezoo-example",
    }


@pytest.fixture(scope="module")
def written(environment: Environment) -> str:
    """Return the path of the model as its importer writes it."""
    environment.vsezoo("convert", RUN, "--to", "example-json", "--output", "old/gated.json")
    return "old/gated.json"


def test_its_importer_writes_and_reads_the_model(
    environment: Environment, evaluated: dict[str, Any], written: str
) -> None:
    made = json.loads(environment.vsezoo("convert", written, "--output", "again", "--json").stdout)
    assert (made["format"], made["distribution"], made["version"]) == ("example-json", "vsezoo-example", "1.2.0")
    again = json.loads(environment.vsezoo("eval", "again", "--data", "example-numbers", "--json").stdout)
    assert [again[key] for key in ("i2t", "t2i")] == [evaluated[key] for key in ("i2t", "t2i")]


def test_its_commands_run(environment: Environment) -> None:
    assert environment.vsezoo("example-hello", "--your_name", "Ada").stdout == "Hello, Ada.\n"
    ids = json.loads(environment.vsezoo("example-tokens", RUN, "One", "--json").stdout)
    assert len(ids) == 6  # the mark, three letters, two pairs of letters
    assert environment.vsezoo("example-tokens", RUN, "one").stdout.split() == [str(index) for index in ids]
    failed = environment.vsezoo("example-tokens", "nowhere", "one", check=False)
    assert (failed.returncode, failed.stdout) == (2, "")
    assert failed.stderr.startswith("Error: nowhere: does not exist.")


CONFORMANCE = """
from vsezoo import registry, testing

for kind in registry.KINDS:
    for entry in registry.list_entries(kind):
        if entry.distribution == "vsezoo-example":
            settings = {}
            if kind == "importers":
                settings = {"source": "WRITTEN"}
            if kind == "models":
                settings = {"data": "example-numbers", "settings": {"embed_size": 16}}
            if entry.name == "example-tokens":
                settings = {"arguments": ["RUN", "one two"]}
            testing.check(kind, entry.name, **settings)
            print(kind, entry.name)
"""


def test_it_keeps_what_the_core_relies_on(environment: Environment, written: str) -> None:
    done = environment.python(CONFORMANCE.replace("RUN", RUN).replace("WRITTEN", written))
    assert len(done.stdout.splitlines()) == 10


def test_it_is_published_and_evaluated_from_there(
    environment: Environment, hub: loopback.LoopbackHub, evaluated: dict[str, Any]
) -> None:
    environment.vsezoo("push", RUN, "hub:someone/gated")
    card = hub.repositories["someone/gated"].read("README.md").decode()
    assert "pip install 'vsezoo-example>=1.2.0'" in card
    assert "vsezoo train example-gated --data example-numbers" in card
    fetched = json.loads(environment.vsezoo("eval", "hub:someone/gated", "--json").stdout)
    assert [fetched[key] for key in ("i2t", "t2i", "rsum")] == [evaluated[key] for key in ("i2t", "t2i", "rsum")]


EVALUATION = """
import runpy, sys

sys.path[0] = ""  # where vsezoo_example.py is, as with python -m
sys.argv = ["vsezoo", "eval", "{model}", "--data", "shapes"]
runpy.run_module("vsezoo", run_name="__main__")
"""


def test_without_it_the_error_says_what_to_install(environment: Environment, hub: loopback.LoopbackHub) -> None:
    if "someone/gated" not in hub.repositories:  # pytest-xdist may run this test in another process than the one above
        environment.vsezoo("push", RUN, "hub:someone/gated")
    for folder in environment.site.glob("vsezoo_example*"):  # as pip does, which takes a second to start
        shutil.rmtree(folder)
    # A module of the plugin's name that tells when it is imported: loading must not.
    (environment.work / "vsezoo_example.py").write_text("print('imported')\n", encoding="utf-8")
    for model in (RUN, "hub:someone/gated"):
        done = environment.python(EVALUATION.format(model=model), check=False)
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr.count("Error: ") == 1
        assert "Traceback" not in done.stderr
        problem, remedy = done.stderr.strip().splitlines()[-2:]
        assert problem.endswith("needs a missing part. There is no image encoder 'example-gated'.")
        assert remedy == "It was written with the distribution vsezoo-example 1.2.0: pip install vsezoo-example"
    assert "example-gated" not in environment.vsezoo("list-models").stdout
    (environment.work / "vsezoo_example.py").unlink()
