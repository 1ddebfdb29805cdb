"""Scenes of the data set `shapes`: coloured objects on a grid, half of them in mirrored pairs.

Objects are near the centres of a grid of three by three cells. Two objects are therefore either clearly separated on an
axis (by `SEPARATION` pixels or more) or level on it (within `2 * JITTER` pixels), and no relation is ambiguous. A
mirrored pair is two scenes in which the first two objects, level on one axis, have swapped places. Imports only the
standard library, and draws only from `random.Random.random`, whose stream is frozen.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations, product
from typing import TypeVar

T = TypeVar("T")

SPLITS = {"train": 2000, "dev": 300, "test": 500}
"""Scenes per split. Multiples of four: of every four scenes, the first two are a mirrored pair."""

COLOURS = ("red", "green", "blue", "yellow", "orange", "purple", "pink", "black")
SHAPES = ("circle", "square", "triangle", "star", "cross")
SIZES = ("small", "big")
DIRECTIONS = ("left", "right", "above", "below")

SIDE = 64
"""The height and width of a scene, in pixels."""
CELL_CENTRES = (12, 32, 52)
JITTER = 2
"""Largest distance of an object from the centre of its cell on each axis, in pixels."""
SEPARATION = 16
"""Smallest horizontal (vertical) distance of the centres of objects in different columns (rows), in pixels."""
MAX_OBJECTS = 3


@dataclass(frozen=True)
class SceneObject:
    """One object; `x` (to the right) and `y` (downwards) are the pixel of its centre."""

    colour: str
    shape: str
    size: str
    x: int
    y: int


@dataclass(frozen=True)
class Scene:
    """Two or three objects, no two of the same colour and shape. The `id` is also that of its image."""

    id: str
    objects: tuple[SceneObject, ...]


@dataclass(frozen=True)
class Relation:
    """The statement that object number `subject` of a scene is left of, right of, above or below another one."""

    subject: int
    direction: str
    object: int

    def holds(self, scene: Scene) -> bool:
        """Return whether the statement is true of the scene."""
        subject, other = scene.objects[self.subject], scene.objects[self.object]
        distances = {
            "left": other.x - subject.x,
            "right": subject.x - other.x,
            "above": other.y - subject.y,
            "below": subject.y - other.y,
        }
        return distances[self.direction] >= SEPARATION


def choose(rng: random.Random, items: Sequence[T]) -> T:
    """Return one of the items. `random.Random.choice` may change between versions of Python; this does not."""
    return items[int(rng.random() * len(items))]


def shuffle(rng: random.Random, items: Sequence[T]) -> list[T]:
    """Return the items in a random order that, like `choose`, does not change."""
    rest = list(items)
    return [rest.pop(int(rng.random() * len(rest))) for _ in items]


def make_scenes(split: str) -> tuple[Scene, ...]:
    """Generate the scenes of a split; each depends only on the split and its index (that of its pair)."""
    scenes: list[Scene] = []
    for index in range(SPLITS[split]):
        scene_id = f"{split}-{index:04d}"
        is_second_of_pair = find_twin(index) == index - 1
        scenes.append(mirror_scene(scenes[-1], scene_id) if is_second_of_pair else _make_scene(scene_id))
    return tuple(scenes)


def find_twin(index: int) -> int:
    """Return the index of the scene that mirrors this one in its split, or -1."""
    return index ^ 1 if index % 4 < 2 else -1


def mirror_scene(scene: Scene, scene_id: str) -> Scene:
    """Return the scene with the first two objects swapped."""
    first, second, *others = scene.objects
    swapped = (replace(first, x=second.x, y=second.y), replace(second, x=first.x, y=first.y))
    return Scene(scene_id, (*swapped, *others))


def find_relations(scene: Scene, objects: Sequence[int] | None = None) -> list[Relation]:
    """Return the relations worth stating: those of objects that are level on the other axis.

    Args:
        scene: the scene.
        objects: numbers of the objects to consider; None: all.
    """
    found = []
    for first, second in permutations(range(len(scene.objects)) if objects is None else objects, 2):
        true = [d for d in DIRECTIONS if Relation(first, d, second).holds(scene)]
        if len(true) == 1:
            found.append(Relation(first, true[0], second))
    return found


def _make_scene(scene_id: str) -> Scene:
    rng = random.Random(f"shapes/scene/{scene_id}")
    count = choose(rng, (2, MAX_OBJECTS, MAX_OBJECTS))
    kinds = shuffle(rng, list(product(COLOURS, SHAPES)))[:count]
    return Scene(
        scene_id,
        tuple(
            SceneObject(colour, shape, choose(rng, SIZES), _jitter(rng, column), _jitter(rng, row))
            for (colour, shape), (column, row) in zip(kinds, _choose_cells(rng, count), strict=True)
        ),
    )


def _choose_cells(rng: random.Random, count: int) -> list[tuple[int, int]]:
    """Return the (column, row) of each object; the first two are in the same column or row."""
    shared = choose(rng, range(3))
    pair = [(place, shared) for place in shuffle(rng, range(3))[:2]]
    if rng.random() < 0.5:
        pair = [(row, column) for column, row in pair]
    free = [cell for cell in product(range(3), range(3)) if cell not in pair]
    return pair + shuffle(rng, free)[: count - 2]


def _jitter(rng: random.Random, cell: int) -> int:
    return CELL_CENTRES[cell] + choose(rng, range(-JITTER, JITTER + 1))
