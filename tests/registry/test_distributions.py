"""Metadata as installers, interrupted ones too, leave them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from vsezoo import registry
from vsezoo.registry.distributions import Distribution

Install = Callable[..., Path]


def find(name: str) -> Distribution:
    (found,) = [found for found in registry.list_distributions() if found.name == name]
    return found


def change(folder: Path, change: Callable[[Path], object]) -> None:
    """Change the metadata of an installed distribution."""
    (info,) = folder.glob("*.dist-info")
    change(info)
    registry.list_distributions.cache_clear()


def test_damaged_metadata_stops_nothing_else(install: Install) -> None:
    install("damaged", "[vsezoo.models]\nno equals sign here\n")
    install("good", {"models": {"a": "made_a:x"}})
    assert "a" in registry.list_names("models")
    (fault,) = find("damaged").faults
    assert (fault.kind, fault.name) == ("", "")
    assert fault.reason
    assert find("good").faults == ()


def test_without_metadata_the_folder_tells_the_name(install: Install) -> None:
    folder = install("half-gone", {"models": {"a": "made_a:x"}}, version="2.1")
    change(folder, lambda info: (info / "METADATA").unlink())
    found = find("half_gone")
    assert found.version == "2.1"
    assert [entry.name for entry in found.entries] == ["a"]
    assert [fault.reason for fault in found.faults] == ["METADATA has no name and version: the installation is damaged"]


def test_metadata_that_is_no_text(install: Install) -> None:
    folder = install("noisy", {"models": {"a": "made_a:x"}})
    change(folder, lambda info: (info / "METADATA").write_bytes(b"Name: \xff\n"))
    assert find("noisy").faults[0].reason.startswith("METADATA cannot be read: UnicodeDecodeError")
    change(folder, lambda info: (info / "entry_points.txt").write_bytes(b"[vsezoo.models]\n\xff = a:b\n"))
    assert "noisy" not in {found.name for found in registry.list_distributions()}


def test_a_readme_cannot_rename_the_distribution(install: Install) -> None:
    folder = install("demo", {"models": {"a": "made_a:x"}}, version="1.0")
    text = "Metadata-Version: 2.1\nSummary: x\nName: demo\nVersion: 1.0\n\nName: vsezoo\nVersion: 9\n"
    change(folder, lambda info: (info / "METADATA").write_text(text, encoding="utf-8"))
    assert find("demo").version == "1.0"


def test_what_pip_was_about_to_remove_does_not_count(install: Install) -> None:
    folder = install("demo", {"models": {"a": "made_a:old"}}, version="1.0")
    change(folder, lambda info: info.rename(info.with_name(f"~{info.name[1:]}")))
    assert "a" not in registry.list_names("models")


def test_a_group_that_does_not_exist(install: Install) -> None:
    install("typo", {"model": {"a": "made_a:x"}, "losses": {"b": "made_a:x"}})
    assert [entry.name for entry in find("typo").entries] == ["b"]
    assert [tuple(fault) for fault in find("typo").faults] == [
        ("model", "a", "made_a:x", "unknown group vsezoo.model. Did you mean 'models'?")
    ]


def test_a_name_twice_in_one_distribution(install: Install) -> None:
    install("twice", "[vsezoo.models]\na = made_a:x\na = made_a:y\nb = made_a:x\nb = made_a:x\n")
    assert [(entry.name, entry.value) for entry in find("twice").entries] == [("a", "made_a:x"), ("b", "made_a:x")]
    assert [(fault.name, fault.value) for fault in find("twice").faults] == [("a", "made_a:y")]
    assert not registry.find("models", "a").conflict
