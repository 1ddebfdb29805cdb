"""Requests and answers of the service, as OpenAPI describes them; see docs/serve.md."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt

LENGTH = 2000
"""Most characters of a sentence."""
TERMS = 16
"""Most sentences of a list."""
RESULTS = 1000
"""Most results."""
DEFAULT_RESULTS = 10


def _require_text(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty")
    return text


Sentence = Annotated[str, Field(max_length=LENGTH), AfterValidator(_require_text)]
Sentences = Annotated[list[Sentence], Field(max_length=TERMS)]
Count = Annotated[int, Field(ge=1, le=RESULTS)]


class Search(BaseModel):
    """What to look for. The scores of all terms but those of `minus` are added."""

    model_config = ConfigDict(extra="forbid")

    query: Annotated[Sentence | None, Field(description="A sentence.")] = None
    item: Annotated[
        StrictInt | str | None, Field(description="An image of the collection, by its id or by its index, from 0.")
    ] = None
    plus: Annotated[Sentences, Field(description="Further sentences, whose scores are added.")] = []
    minus: Annotated[Sentences, Field(description="Sentences whose scores are subtracted.")] = []
    k: Annotated[Count, Field(description="Number of results.")] = DEFAULT_RESULTS


class Item(BaseModel):
    """An image of the collection."""

    id: str
    item: Annotated[int, Field(description="Its index in the collection, from 0.")]
    thumbnail: Annotated[str | None, Field(description="Address of a small copy, relative to the service.")] = None
    picture: Annotated[str | None, Field(description="Address of the picture, relative to the service.")] = None


class Result(Item):
    """An image, and how well it fits."""

    rank: int
    score: Annotated[float, Field(description="Of the model's similarity; higher is better.")]


class Results(BaseModel):
    """The best results first."""

    results: list[Result]
    note: Annotated[str | None, Field(description="A warning, for example that the model knows none of the words.")] = (
        None
    )


class Items(BaseModel):
    """Images at even distances in the collection."""

    items: list[Item]


class Texts(BaseModel):
    """Sentences to embed."""

    model_config = ConfigDict(extra="forbid")

    sentences: Annotated[list[Sentence], Field(min_length=1, max_length=64)]


class Vectors(BaseModel):
    """Vectors of the joint space, one for each sentence or picture."""

    model: str
    vectors: list[list[float]]


class Collection(BaseModel):
    """What the service searches, and what it can do."""

    name: str
    size: Annotated[int, Field(description="Number of images that can be found.")]
    model: str
    pictures: Annotated[bool, Field(description="Whether the images are pictures that can be shown.")]
    terms: Annotated[bool, Field(description="Whether terms can be combined, and images found by an image.")]
    uploads: Annotated[bool, Field(description="Whether images can be found by an uploaded picture.")]


class Health(BaseModel):
    """Whether the service works."""

    status: str


class Problem(BaseModel):
    """What is wrong, and what to do about it."""

    error: str
    remedy: str


class Json(Response):
    """JSON in ASCII: names of files need not be valid Unicode."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return json.dumps(content, separators=(",", ":")).encode()
