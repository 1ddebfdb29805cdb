"""File and line where a registered object is defined, found without executing anything."""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import NamedTuple

from vsezoo.registry.kinds import split_value


class Definition(NamedTuple):
    """The place where an object is defined.

    Attributes:
        file: path of the source or of the compiled module; None if the module was not found.
        line: counted from 1; None if the source has no explicit definition of the name.
        problem: why importing the module must fail; empty if no reason was found.
    """

    file: str | None = None
    line: int | None = None
    problem: str = ""


def find_definition(value: str) -> Definition:
    """Return where `module:attribute` is defined. Imported names are followed to their origin."""
    module, attributes = split_value(value)
    try:
        return _trace(module, tuple(attributes), frozenset())
    except SyntaxError as error:
        return Definition(error.filename, error.lineno, f"SyntaxError: {error}")
    except Exception:  # import hooks and files of plugins may raise anything
        return Definition()


def find_module(name: str) -> ModuleSpec | None:
    """Return the spec of a module without importing it or its packages, or None if it is not found."""
    spec, path = None, None
    names = name.split(".")
    for end in range(1, len(names) + 1):
        finders = (finder for finder in sys.meta_path if hasattr(finder, "find_spec"))
        found = (finder.find_spec(".".join(names[:end]), path) for finder in finders)
        spec = next(filter(None, found), None)
        if spec is None:
            return None
        path = spec.submodule_search_locations
        if path is None and end < len(names):
            return None
    return spec


def _trace(module: str, attributes: tuple[str, ...], seen: frozenset[tuple[str, str]]) -> Definition:
    """Find a definition.

    Args:
        module: where to look.
        attributes: the parts of the dotted name of the object.
        seen: the names followed so far, each with its module, to detect circular imports.
    """
    spec = find_module(module)
    if spec is None:
        # A package may create its submodules dynamically, but a missing top-level package cannot be imported.
        lost = find_module(module.split(".")[0]) is None
        return Definition(problem=f"ModuleNotFoundError: No module named {module.split('.')[0]!r}" if lost else "")
    if not spec.has_location or spec.origin is None or not attributes:
        return Definition(spec.origin if spec.has_location else None)
    if not spec.origin.endswith(".py"):
        return Definition(spec.origin)

    first, *rest = attributes
    node = _list_definitions(spec.origin).get(first)
    if isinstance(node, ast.ImportFrom) and (module, first) not in seen:
        alias = next(alias for alias in node.names if (alias.asname or alias.name) == first)
        package = module if spec.submodule_search_locations is not None else module.rpartition(".")[0]
        base = package.rsplit(".", node.level - 1)[0] if node.level else ""
        source = ".".join(filter(None, [base, node.module]))
        here = seen | {(module, first)}
        for target, path in ((source, (alias.name, *rest)), (f"{source}.{alias.name}", tuple(rest))):
            found = _trace(target, path, here)
            if found.line is not None:
                return found
    while isinstance(node, ast.ClassDef) and rest:
        node = _collect(node.body).get(rest.pop(0))
    return Definition(spec.origin, None if node is None or rest else node.lineno)


@functools.lru_cache(maxsize=64)  # many names are often defined in one file
def _list_definitions(file: str) -> dict[str, ast.stmt]:
    """Return the names that a module defines."""
    return _collect(ast.parse(Path(file).read_bytes(), file).body)


def _collect(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """Return the names that a module or class defines, each with the last statement that does."""
    return {name: node for node in _walk(body) for name in _list_names(node)}


def _walk(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield statements, including those inside `if`, `try` and the like."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try | ast.With):
            for block in ("body", "handlers", "orelse", "finalbody"):
                for child in getattr(node, block, []):
                    yield from _walk(child.body if isinstance(child, ast.ExceptHandler) else [child])


def _list_names(node: ast.stmt) -> set[str]:
    """Return the names that a statement defines."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return {node.name}
    if isinstance(node, ast.ImportFrom):
        return {alias.asname or alias.name for alias in node.names}
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
