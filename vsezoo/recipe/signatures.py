"""The options that a class or function declares, read from its signature, annotations and docstring."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Collection, Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

from vsezoo.recipe.declared import Option, is_json_type
from vsezoo.recipe.options import Limit, OneOf


def read_options(owner: Callable[..., Any], given: Collection[str] = ()) -> dict[str, Option]:
    """Return the options of a class or function, its own first, then those that it passes on as `**keywords`.

    Args:
        owner: a class, for the options of its constructor, or a function.
        given: parameters that are not options.
    """
    return {option.name: option for option in _list_options(owner) if option.name not in given}


def read_parameters(owner: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the parameters of a class or function, its own first, then those of the classes it passes keywords to.

    A `VAR_KEYWORD` parameter is among them if no class declares what it accepts.
    """
    parameters: dict[str, inspect.Parameter] = {}
    functions = _list_functions(owner)
    for function in functions:
        found = list(inspect.signature(function).parameters.values())[1 if isinstance(owner, type) else 0 :]
        for parameter in found:
            if parameter.kind is not parameter.VAR_KEYWORD or function is functions[-1]:
                parameters.setdefault(parameter.name, parameter)
    return parameters


@functools.lru_cache(maxsize=1024)
def _list_options(owner: Callable[..., Any]) -> tuple[Option, ...]:
    """Return all options; cached, because a recipe asks for those of each of its parts again and again."""
    options: dict[str, Option] = {}
    docs = _read_docs(owner)
    for function in _list_functions(owner):
        hints = _read_hints(function)
        for name, parameter in inspect.signature(function).parameters.items():
            default = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
            if default is not parameter.empty and name not in options:
                options[name] = Option(name, default, *_split_hint(hints.get(name)), docs.get(name, ""))
    return tuple(options.values())


class ChecksOptions:
    """A base class that checks the limits of the arguments of its subclasses' constructors.

    Values from a recipe have been checked before, with the full names of the settings; this is for calls in Python.
    """

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if inspect.isfunction(vars(cls).get("__init__")):
            cls.__init__ = _check_arguments(cls.__init__)  # type: ignore[method-assign]


def _check_arguments(constructor: Callable[..., None]) -> Callable[..., None]:
    names = list(inspect.signature(constructor).parameters)

    @functools.wraps(constructor)
    def checked(self: Any, *arguments: Any, **keywords: Any) -> None:
        given = {**dict(zip(names[1:], arguments, strict=False)), **keywords}
        for option in _list_limited(constructor):
            if option.name in given:
                option.convert(given[option.name], option.name)
        constructor(self, *arguments, **keywords)

    return checked


@functools.cache
def _list_limited(constructor: Callable[..., None]) -> tuple[Option, ...]:
    return tuple(option for option in read_options(constructor).values() if option.limits)


def _list_functions(owner: Callable[..., Any]) -> list[Callable[..., Any]]:
    """Return a function, or a class's constructor and those that it passes `**keywords` on to."""
    if not isinstance(owner, type):
        return [owner]
    functions: list[Callable[..., Any]] = []
    for base in owner.__mro__:
        constructor = vars(base).get("__init__")
        if base.__module__.partition(".")[0] == "torch":
            break  # its Module accepts any arguments, but needs none
        if inspect.isfunction(constructor):
            functions.append(constructor)
            if not any(p.kind is p.VAR_KEYWORD for p in inspect.signature(constructor).parameters.values()):
                break
    return functions


def _read_hints(function: Callable[..., Any]) -> dict[str, Any]:
    plain = inspect.unwrap(function)
    return _evaluate(inspect.get_annotations(plain), getattr(plain, "__globals__", {}))


def _evaluate(annotations: dict[str, Any], names: dict[str, Any]) -> dict[str, Any]:
    """Return annotations as objects, except those with names that only type checkers know."""
    hints = {}
    for name, annotation in annotations.items():
        try:
            hints[name] = eval(annotation, names) if isinstance(annotation, str) else annotation
        except (NameError, AttributeError, TypeError):
            continue
    return hints


def _split_hint(hint: Any) -> tuple[Any, tuple[Limit, ...]]:
    """Return the type and the limits of an annotation; a `Literal` gives both, a type that JSON lacks neither."""
    marks: list[Any] = []
    if get_origin(hint) is Annotated:
        hint, *marks = get_args(hint)
    limits = tuple(mark for mark in marks if isinstance(mark, Limit))
    if get_origin(hint) is Literal:
        return type(get_args(hint)[0]), (*limits, OneOf(*get_args(hint)))
    return (hint if hint is not None and is_json_type(hint) else None), limits


ENTRY = re.compile(r"^    (\S[^:]*): (.*)$")
"""The first line of a parameter in a section of a docstring."""


def _read_docs(owner: Callable[..., Any]) -> dict[str, str]:
    """Return the first sentence about each parameter in the docstrings; for a class, also those of its base classes."""
    docs: dict[str, str] = {}
    for text in [vars(base).get("__doc__") for base in owner.__mro__] if isinstance(owner, type) else [owner.__doc__]:
        for name, entry in _list_entries(text or ""):
            docs.setdefault(name, _cut_sentence(entry))
    return docs


def _cut_sentence(text: str) -> str:
    """Return the first sentence, or what stands before its first semicolon; what is in brackets is not cut."""
    for end in re.finditer(r"\. (?=[\"A-Z])|; ", text):
        before = text[: end.start()]
        if len(re.findall(r"[(\[{]", before)) == len(re.findall(r"[)\]}]", before)):
            return before
    return text.rstrip(".")


def _list_entries(docstring: str) -> Iterator[tuple[str, str]]:
    """Yield names and texts of the sections Args and Attributes of a docstring."""
    inside, names, text = False, list[str](), ""
    for line in [*inspect.cleandoc(docstring).splitlines(), "End:"]:
        entry = ENTRY.match(line) if inside else None
        if names and (entry or not line.startswith("        ")):
            yield from ((name, text) for name in names)
            names = []
        if entry:
            names, text = [name.strip(" *`") for name in entry[1].split(",")], entry[2]
        elif names:
            text = f"{text} {line.strip()}"
        elif line and not line.startswith(" "):
            inside = line in ("Args:", "Attributes:")
