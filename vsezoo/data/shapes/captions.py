"""Captions of the data set `shapes`: true English sentences, five per scene.

A `Caption` contains a sentence and its facts: the objects that it names and at most one relation. Imports only the
standard library.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from vsezoo.data.shapes.scenes import MAX_OBJECTS, Relation, Scene, SceneObject, choose, find_relations, shuffle

CAPTIONS_PER_SCENE = 5

SIZE_WORDS = {"small": ("small", "little", "tiny"), "big": ("big", "large")}
SHAPE_WORDS = {
    "circle": ("circle", "disc"),
    "square": ("square",),
    "triangle": ("triangle",),
    "star": ("star",),
    "cross": ("cross", "plus sign"),
}
DIRECTION_PHRASES = {
    "left": ("to the left of", "left of", "on the left side of"),
    "right": ("to the right of", "right of", "on the right side of"),
    "above": ("above", "directly above", "over"),
    "below": ("below", "directly below", "beneath", "under"),
}
READING_ORDER = ("left", "above")
"""Directions of an object that comes first in reading order."""
SHARE_READING_ORDER = 0.95
COUNT_WORDS = {2: "two", 3: "three"}

# {a} stands in {relation} to {b}, and {c} is another object of the scene.
RELATION_TEMPLATES = (
    "{a} is {relation} {b}",
    "{a} sits {relation} {b}",
    "{a} can be seen {relation} {b}",
    "there is {a} {relation} {b}",
    "{relation} {b} there is {a}",
    "{relation} {b} is {a}",
    "the picture shows {a} {relation} {b}",
    "a picture of {a} {relation} {b}",
    "we see {a} {relation} {b}",
)
RELATION_TEMPLATES_WITH_THIRD = (
    "{a} is {relation} {b}, and there is also {c}",
    "besides {c}, there is {a} {relation} {b}",
    "{c}, and {a} {relation} {b}",
)
LIST_TEMPLATES = (
    "a picture of {objects}",
    "the image shows {objects}",
    "there are {count} shapes: {objects}",
    "{count} shapes, {objects}",
    "we see {objects}",
    "{objects} on a white background",
    "{objects} are in the picture",
    "this drawing contains {objects}",
)


@dataclass(frozen=True)
class Caption:
    """A sentence and its facts: the numbers of the objects that it names, and possibly a relation."""

    text: str
    objects: tuple[int, ...]
    relation: Relation | None


def write_captions(scene: Scene) -> list[Caption]:
    """Write the captions of a scene, as a function of the scene only.

    Three of the five state a relation: two of them one of the first two objects, which distinguishes the scene from its
    mirrored twin; the third one of any two, and it names all objects. The other two list the objects.
    """
    rng = random.Random(f"shapes/captions/{scene.id}")
    first, second, *more = shuffle(rng, RELATION_TEMPLATES)
    third = choose(rng, RELATION_TEMPLATES_WITH_THIRD if len(scene.objects) == MAX_OBJECTS else more)
    between_first_two = find_relations(scene, (0, 1))
    captions = [
        _state_relation(rng, scene, between_first_two, first),
        _state_relation(rng, scene, between_first_two, second),
        _state_relation(rng, scene, find_relations(scene), third),
        *(_list_objects(rng, scene, template) for template in shuffle(rng, LIST_TEMPLATES)[:2]),
    ]
    return shuffle(rng, captions)


def _choose_relation(rng: random.Random, relations: Sequence[Relation], template: str) -> Relation:
    """Return one of the relations, each of which comes with its opposite.

    Most sentences name objects in reading order. If they did not, neither the order nor the word for the direction
    would carry information on the positions, only both together: a parity, which gradient descent does not learn from
    so few scenes.
    """
    subject_comes_first = template.index("{a}") < template.index("{b}")
    in_order = rng.random() < SHARE_READING_ORDER
    return choose(
        rng, [found for found in relations if (found.direction in READING_ORDER) == (subject_comes_first == in_order)]
    )


def _state_relation(rng: random.Random, scene: Scene, relations: Sequence[Relation], template: str) -> Caption:
    relation = _choose_relation(rng, relations, template)
    named = [relation.subject, relation.object]
    if "{c}" in template:
        named += [number for number in range(len(scene.objects)) if number not in named]
    # Newly introduced objects are indefinite; "the" fits a subject at the start of a sentence, and reference objects.
    definite = [template.startswith("{a}") and rng.random() < 0.5, rng.random() < 0.5, False]
    names = _name_objects(rng, scene, named, definite)
    text = template.format(
        relation=choose(rng, DIRECTION_PHRASES[relation.direction]), **dict(zip("abc", names, strict=False))
    )
    return Caption(_finish_sentence(text), tuple(named), relation)


def _list_objects(rng: random.Random, scene: Scene, template: str) -> Caption:
    named = shuffle(rng, range(len(scene.objects)))
    *names, last = _name_objects(rng, scene, named, [False] * len(named))
    text = template.format(objects=f"{', '.join(names)} and {last}", count=COUNT_WORDS[len(named)])
    return Caption(_finish_sentence(text), tuple(named), None)


def _name_objects(rng: random.Random, scene: Scene, numbers: Sequence[int], definite: Sequence[bool]) -> list[str]:
    # Sizes distinguish scenes, but three of them make a long sentence.
    share_sized = 0.8 if len(numbers) == 2 else 0.3
    return [
        _name_object(rng, scene.objects[number], rng.random() < share_sized, is_definite)
        for number, is_definite in zip(numbers, definite, strict=False)
    ]


def _name_object(rng: random.Random, thing: SceneObject, sized: bool, definite: bool) -> str:
    size = [choose(rng, SIZE_WORDS[thing.size])] if sized else []
    words = " ".join([*size, thing.colour, choose(rng, SHAPE_WORDS[thing.shape])])
    article = "the" if definite else "an" if words[0] in "aeiou" else "a"
    return f"{article} {words}"


def _finish_sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
