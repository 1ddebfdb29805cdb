"""Answer searches of an opened index, several at a time. Knows nothing of HTTP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import torch
from PIL import Image
from torch import Tensor

from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.errors import UsageError
from vsezoo.inputs import Tokenizer
from vsezoo.parts import accepted_kinds, load_part
from vsezoo.search.hit import Hit
from vsezoo.search.index import Index

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


@dataclass(frozen=True)
class Question:
    """What to look for: the scores of its terms are added, those of `minus` are subtracted.

    Attributes:
        plus: sentences.
        minus: sentences to avoid.
        item: number of an image of the collection.
        picture: a picture that need not be in the collection.
        k: number of results.
    """

    plus: tuple[str, ...] = ()
    minus: tuple[str, ...] = ()
    item: int | None = None
    picture: Image.Image | None = None
    k: int = 10

    @property
    def is_sentence(self) -> bool:
        """Whether it is one sentence, which every model can compare with images."""
        return len(self.plus) == 1 and not self.minus and self.item is None and self.picture is None


@dataclass(frozen=True)
class Answer:
    """What was found.

    Attributes:
        hits: the results, the best first.
        knows_words: whether the model knows a word of the sentences.
    """

    hits: list[Hit]
    knows_words: bool


class Engine:
    """Answers questions about a collection of images; to be called by one thread at a time.

    Args:
        index: the opened collection.
        checkpoint: its model.
        device: device of the model.

    Raises:
        UsageError: for a collection of sentences.
    """

    def __init__(self, index: Index, checkpoint: Checkpoint, device: str | torch.device) -> None:
        if index.collection.is_text:
            raise UsageError(
                f"{index.collection.name} contains sentences, and the service searches images.",
                remedy="Serve a folder of pictures, features, or an index of them.",
            )
        self.index, self._checkpoint, self._device = index, checkpoint, device
        similarity = load_part(checkpoint.recipe, "similarity")
        self.combines = similarity.inputs == "sets" or similarity.metric == "inner_product"
        """Whether images can be compared with images, and terms be added."""
        self.takes_pictures = self.combines and "picture" in accepted_kinds(checkpoint.recipe)

    @property
    def model_name(self) -> str:
        """Name of the recipe."""
        return self._checkpoint.recipe.name

    def warm_up(self) -> None:
        """Load what the first question would wait for."""
        if self.takes_pictures:
            self._checkpoint.model(self._device)
        self.answer([Question(("a",), k=1)])

    def answer(self, questions: Sequence[Question]) -> list[Answer | Exception]:
        """Return the results of each question, or why it has none."""
        return run_together(self._answer, questions)

    def embed(self, contents: Sequence[str | Image.Image]) -> list[list[float] | Exception]:
        """Return the vector of each sentence or picture in the joint space, or why it has none."""
        return run_together(lambda chosen: [vector.tolist() for vector in self._embed(chosen)], contents)

    def find_item(self, name: str | int) -> int:
        """Return the number of an image of the collection.

        Args:
            name: its id, or its number, which may be a string of digits if no image has that id.

        Raises:
            UsageError: if there is none.
        """
        item = self._items.get(name) if isinstance(name, str) else name
        if item is None and isinstance(name, str) and name.isdecimal():
            item = int(name)
        if item is None or not self.index.has(item):
            raise UsageError(f"The collection has no image {name!r}.", remedy="Take an id or an item of an answer.")
        return item

    @cached_property
    def _items(self) -> dict[str, int]:
        collection = self.index.collection
        return {
            collection.label(item): item for item in reversed(range(len(collection.ids)))
        }  # the first of equal ones

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return self._checkpoint.text_side(self._device).tokenizer

    def _answer(self, questions: Sequence[Question]) -> list[Answer]:
        answers: dict[int, Answer] = {}
        groups: dict[tuple[bool, int], list[int]] = {}
        for number, question in enumerate(questions):
            groups.setdefault((question.is_sentence, question.k), []).append(number)
        for (is_sentence, k), numbers in groups.items():
            chosen = [questions[number] for number in numbers]
            if is_sentence:
                found = self.index.search_many([question.plus[0] for question in chosen], k)
            else:
                found = self.index.search_vectors(self._sum(chosen), k)
            for number, question, hits in zip(numbers, chosen, found, strict=True):
                known = not question.plus or any(map(self._tokenizer.knows, question.plus))
                answers[number] = Answer(hits, known)
        return [answers[number] for number in range(len(questions))]

    def _sum(self, questions: Sequence[Question]) -> Tensor:
        """Return the sums of the vectors of the terms, `(Q, D)`."""
        terms: list[tuple[int, int, Any]] = []
        for number, question in enumerate(questions):
            terms += [(number, 1, text) for text in question.plus]
            terms += [(number, -1, text) for text in question.minus]
            if question.picture is not None:
                terms.append((number, 1, question.picture))
        vectors = self._embed([content for *_, content in terms])
        items = [(number, question.item) for number, question in enumerate(questions) if question.item is not None]
        own = list(self.index.read_vectors([item for _, item in items])) if items else []
        width = len((vectors or own)[0])
        total = torch.zeros(len(questions), width, device=self._device)
        for (number, sign, _), vector in zip(terms, vectors, strict=True):
            total[number] += sign * vector
        for (number, _), vector in zip(items, own, strict=True):
            total[number] += vector
        return total

    def _embed(self, contents: Sequence[str | Image.Image]) -> list[Tensor]:
        """Return the vectors of sentences and pictures, in order."""
        vectors: dict[int, Tensor] = {}
        texts = {number: content for number, content in enumerate(contents) if isinstance(content, str)}
        pictures = {number: content for number, content in enumerate(contents) if not isinstance(content, str)}
        if texts:
            encoded = self._checkpoint.text_side(self._device).encode_texts(texts.values())
            vectors.update(zip(texts, encoded, strict=True))
        if pictures:
            encoded = self._checkpoint.model(self._device).encode_images(list(pictures.values()))
            vectors.update(zip(pictures, encoded, strict=True))
        return [vectors[number] for number in range(len(contents))]


def run_together(
    compute: Callable[[Sequence[Item]], list[Outcome]], items: Sequence[Item]
) -> list[Outcome | Exception]:
    """Compute the outcomes of several items at once; if that fails, of each alone, so that one cannot spoil others."""
    try:
        return list(compute(items))
    except Exception as error:
        if len(items) == 1:
            return [error]
        return [outcome for item in items for outcome in run_together(compute, [item])]
