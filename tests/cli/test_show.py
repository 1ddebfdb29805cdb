"""`vsezoo show`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from commands import call_vsezoo

from vsezoo.cli import main
from vsezoo.cli.list_models import describe_models

SOURCE = """
from vsezoo.recipe import Override, Paper, Part, PublishedResult, Recipe, Training

recipe = Recipe(
    name="demo",
    summary="A model of the tests.",
    image_encoder=Part("precomp", {"img_dim": 7}),
    text_encoder=Part("gru", {"word_dim": 5}),
    similarity=Part("cosine"),
    loss=Part("hinge", {"margin": 0.05}),
    embed_size=11,
    training=Training(batch_size=32),
    overrides={
        "f30k_precomp": Override({"training.batch_size": 64, "image_encoder.img_dim": 9}, "Because of the paper."),
    },
    paper=Paper("Its title", "Ada Lovelace and Charles Babbage", 1843, "Notes", "https://example.org"),
    published=(
        PublishedResult("f30k", (52.9, 80.5, 87.25), (39.6, None, 79.5), "table 3, row 15", 1, features="ResNet"),
        PublishedResult("coco", (41.0, None, 81.2), (30.3, None, 72.4), "appendix", protocol="fold5"),
    ),
)
"""

IMAGE = 7 * 11 + 11
TEXT = 10_000 * 5 + 3 * (5 * 11 + 11 * 11 + 2 * 11)  # embeddings; three gates with two matrices and two biases


@pytest.fixture
def demo(make_distribution: Callable[..., Path]) -> tuple[Path, ...]:
    points = {"models": {"demo": "made_demo:recipe", "demo-old": "made_demo:recipe"}}
    return (make_distribution("demo-plugin", points, {"made_demo": SOURCE}, version="4.2"),)


@pytest.mark.slow
def test_json(demo: tuple[Path, ...]) -> None:
    done = call_vsezoo("show", "demo-old", "--json", path=demo)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert (shown["name"], shown["aliases"], shown["data"]) == ("demo", ["demo-old"], None)
    assert (shown["distribution"], shown["version"]) == ("demo-plugin", "4.2")
    options = shown["parts"]["loss"]["options"]
    assert options["margin"] == {
        "value": 0.05,
        "default": 0.2,
        "range": "at least 0",
        "choices": None,
        "doc": "required score difference between a pair and a negative, α",
    }
    assert (options["max_violation"]["value"], options["max_violation"]["range"]) == (False, None)
    choices = ["nltk", "split", "letters", "characters", "jieba", "subwords"]
    assert shown["parts"]["text_encoder"]["options"]["words"]["choices"] == choices
    assert shown["training_options"]["precision"] == {
        "default": "fp32",
        "range": "one of fp32, bf16",
        "choices": ["fp32", "bf16"],
        "doc": "precision of the encoders",
    }
    assert shown["parts"]["image_encoder"]["options"]["img_dim"]["value"] == 7
    assert not {"embed_size", "tokenizer"} & set(shown["parts"]["text_encoder"]["options"])
    assert shown["training"]["batch_size"] == 32
    counts = shown["parameters"]
    assert (counts["image_encoder"], counts["text_encoder"]) == (IMAGE, TEXT)
    assert counts["total"] == IMAGE + TEXT
    assert "10,000 words" in counts["assumption"]
    assert shown["overrides"]["f30k_precomp"]["reason"] == "Because of the paper."
    assert shown["paper"]["year"] == 1843
    assert shown["published"][0]["t2i"] == [39.6, None, 79.5]
    assert shown["published"][0]["source"] == "table 3, row 15"


@pytest.mark.slow
def test_settings_for_a_data_set(demo: tuple[Path, ...]) -> None:
    shown = json.loads(call_vsezoo("show", "demo", "--data", "f30k_precomp", "--json", path=demo).stdout)
    assert shown["data"] == "f30k_precomp"
    assert shown["training"]["batch_size"] == 64
    assert shown["parts"]["image_encoder"]["options"]["img_dim"]["value"] == 9
    assert shown["parameters"]["image_encoder"] == 9 * 11 + 11
    text = call_vsezoo("show", "demo", "--data", "f30k_precomp", path=demo).stdout
    assert "f30k_precomp, with its overrides" in text
    assert "shapes, without overrides" in call_vsezoo("show", "demo", "--data", "shapes", path=demo).stdout
    unknown = call_vsezoo("show", "demo", "--data", "f30k_precom", path=demo)
    assert unknown.returncode == 2
    assert "Did you mean 'f30k_precomp'?" in unknown.stderr


@pytest.mark.parametrize("columns", [80, 200])
@pytest.mark.slow
def test_text(demo: tuple[Path, ...], columns: int) -> None:
    done = call_vsezoo("show", "demo", path=demo, env={"COLUMNS": str(columns)})
    assert done.returncode == 0, done.stderr
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    assert max(map(len, lines)) <= columns
    assert lines[0] == "demo (also demo-old): A model of the tests."
    text = " ".join(done.stdout.split())
    for expected in (
        "from demo-plugin 4.2",
        "Ada Lovelace and Charles Babbage: Its title. Notes 1843. https://example.org",
        f"parameters {IMAGE + TEXT:,} (image encoder {IMAGE}, text encoder {TEXT:,}; counted with",
        "loss.margin 0.05 (default 0.2) Required score difference between a pair",
        "training.batch_size 32 (default 128) Captions in a batch, over all processes (at least 1)",
        "f30k_precomp training.batch_size=64,",
        "f30k 52.9 80.5 87.25 1.0 39.6 - 79.5 - ResNet; table 3,",
        "coco fold5 41.0 - 81.2 - 30.3 - 72.4 - appendix",
    ):
        assert expected in text


def test_mistakes(make_distribution: Callable[..., Path]) -> None:
    unknown = call_vsezoo("show", "vsep")
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "Error: There is no model 'vsep'.\nDid you mean 'vsepp'?" in unknown.stderr
    source = SOURCE.replace('Part("cosine")', 'Part("cosin")')
    path = (make_distribution("demo", {"models": {"demo": "made_demo:recipe"}}, {"made_demo": source}),)
    part = call_vsezoo("show", "demo", path=path)
    assert part.returncode == 2
    assert "There is no similarity 'cosin'.\nDid you mean 'cosine'?" in part.stderr


@pytest.mark.slow
def test_every_model_of_vsezoo() -> None:
    for model in describe_models():
        done = CliRunner().invoke(main, ["show", model["name"], "--json"])
        assert done.exit_code == 0, done.output
        value = json.loads(done.stdout)
        fetched = value["pretrained"] or value["parts"]["text_encoder"]["options"].get("model")  # not here, perhaps
        assert fetched or value["parameters"]["total"] > 1_000_000
