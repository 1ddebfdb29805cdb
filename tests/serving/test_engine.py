"""Answers of the engine: batches of different questions equal the questions one by one."""

from __future__ import annotations

from pathlib import Path

import pytest
from colours import COLOURS, paint_folder
from PIL import Image
from services import make_engine

from vsezoo.errors import UsageError
from vsezoo.search.stored.building import build_index
from vsezoo.serving.engine import Answer, Engine, Question

QUESTIONS = [
    Question(("red",)),
    Question(("blue",), k=1),
    Question(("red",), minus=("blue",)),
    Question(item=1, k=2),
    Question(picture=Image.new("RGB", (4, 4), COLOURS["blue"])),
    Question(("green",), minus=("red",), item=2, k=2),
    Question(("zebra",)),
]


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return make_engine(tmp_path / "run", paint_folder(tmp_path / "photos"))


def test_questions_together_and_alone(engine: Engine) -> None:
    together = engine.answer(QUESTIONS)
    assert together == [engine.answer([question])[0] for question in QUESTIONS]
    answers = [one for one in together if isinstance(one, Answer)]
    assert [[(hit.item, hit.score) for hit in answer.hits] for answer in answers] == [
        [(0, 1), (1, 0), (2, 0)],
        [(2, 1)],
        [(0, 1), (1, 0), (2, -1)],
        [(1, 1), (0, 0)],
        [(2, 1), (0, 0), (1, 0)],
        [(1, 1), (2, 1)],
        [(0, 0), (1, 0), (2, 0)],
    ]
    assert [answer.knows_words for answer in answers] == [True] * 6 + [False]


def test_items_by_id_and_by_number(engine: Engine) -> None:
    assert [engine.find_item(name) for name in ("more/c-blue.png", "2", 2)] == [2, 2, 2]
    for absent in ("nothing", "3", 3, -1, "-1", "²"):
        with pytest.raises(UsageError, match="has no image"):
            engine.find_item(absent)


def test_an_index_folder(tmp_path: Path) -> None:
    photos = paint_folder(tmp_path / "photos")
    make_engine(tmp_path / "run", photos)
    build_index(tmp_path / "run", tmp_path / "index", images=photos)
    engine = make_engine(tmp_path / "run", None, index=str(tmp_path / "index"))
    assert engine.index.collection.has_pictures
    assert engine.index.collection.title == "photos"
    (answer,) = engine.answer([Question(("blue",), k=1)])
    assert isinstance(answer, Answer)
    assert [hit.id for hit in answer.hits] == ["more/c-blue.png"]


def test_sentences_are_no_images(tmp_path: Path) -> None:
    make_engine(tmp_path / "run", paint_folder(tmp_path / "photos"))
    build_index(tmp_path / "run", tmp_path / "index", texts=["red", "green"])
    with pytest.raises(UsageError, match="contains sentences, and the service searches images"):
        make_engine(tmp_path / "run", None, index=str(tmp_path / "index"))
