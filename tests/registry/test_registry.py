"""Look-ups, conflicts, failures, the allow-list: on real metadata, in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vsezoo import registry
from vsezoo.errors import ConflictError, PluginError, UnknownNameError, UsageError
from vsezoo.recipe import Recipe
from vsezoo.registry import distributions, installed
from vsezoo.registry.audit.api import PluginWarning

Install = Callable[..., Path]


def test_names_come_from_metadata_and_a_lookup_imports_one_module(
    install: Install, recipe_source: Callable[..., str]
) -> None:
    modules = {"made_a": recipe_source("a"), "made_b": "raise RuntimeError('imported')"}
    install("demo", {"models": {"a": "made_a:recipe", "b": "made_b:recipe"}}, modules)
    assert {"a", "b"} <= set(registry.list_names("models"))
    assert not {"made_a", "made_b"} & set(sys.modules)
    found = registry.load("models", "a")
    assert isinstance(found, Recipe)
    assert found.name == "a"
    assert {"made_a", "made_b"} & set(sys.modules) == {"made_a"}


def test_entry_says_where_it_comes_from(install: Install) -> None:
    install("Demo.Plugin", {"losses": {"mine": "made_a.part:Loss"}}, version="2.3")
    entry = registry.find("losses", "mine")
    assert (entry.kind, entry.name, entry.value) == ("losses", "mine", "made_a.part:Loss")
    assert (entry.distribution, entry.version, entry.qualified) == ("Demo.Plugin", "2.3", "Demo.Plugin:mine")


def test_metadata_is_read_once(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    read = installed.find_metadata
    monkeypatch.setattr(distributions, "find_metadata", lambda prefix: reads.append(1) or read(prefix))
    for _ in range(3):
        registry.list_names("models")
        registry.list_names("losses")
    assert len(reads) == 1


def test_names_are_in_natural_order(install: Install) -> None:
    names = ("v10", "V2", "b", "10a", "9a", "v")
    install("demo", {"importers": dict.fromkeys(names, "made_a:x")})
    listed = [name for name in registry.list_names("importers") if name in names]
    assert listed == ["9a", "10a", "b", "v", "V2", "v10"]


def test_one_name_of_two_distributions(install: Install, recipe_source: Callable[..., str]) -> None:
    install(
        "left-side", {"models": {"twin": "made_l:recipe"}}, {"made_l": recipe_source("twin", "left")}, version="1.0"
    )
    install("right", {"models": {"twin": "made_r:recipe"}}, {"made_r": recipe_source("twin", "right")}, version="2.0")
    with pytest.raises(ConflictError) as caught:
        registry.load("models", "twin")
    assert str(caught.value) == (
        "The model 'twin' is registered by left-side 1.0 and right 2.0.\n"
        "Name one of them: left-side:twin or right:twin."
    )
    assert caught.value.exit_code == 2
    assert "twin" not in registry.list_names("models")
    assert {"left-side:twin", "right:twin"} <= set(registry.list_names("models"))
    assert [e.conflict for e in registry.list_entries("models") if e.name == "twin"] == [True, True]
    assert registry.load("models", "left-side:twin").summary == "left"
    assert registry.load("models", "Left_Side:twin").summary == "left"  # compared as package indexes compare names
    assert registry.load("models", "right:twin").summary == "right"


def test_no_conflict_when_the_other_distribution_is_not_allowed(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("left", {"models": {"twin": "made_l:recipe"}})
    install("right", {"models": {"twin": "made_r:recipe"}})
    monkeypatch.setenv("VSEZOO_PLUGINS", "right")
    assert registry.find("models", "twin").distribution == "right"
    assert not registry.find("models", "twin").conflict


def test_a_built_in_name_stays_what_it_is(install: Install, recipe_source: Callable[..., str]) -> None:
    modules = {"made_v": recipe_source("vsepp", "another")}
    install("other", {"models": {"vsepp": "made_v:recipe", "vse++": "made_v:recipe"}}, modules)
    assert registry.find("models", "vsepp").distribution == "vsezoo"
    assert registry.load("models", "vsepp").summary != "another"
    assert registry.load("models", "vsezoo:vsepp") is registry.load("models", "vsepp")
    assert registry.load("models", "other:vsepp").summary == "another"
    marks = {e.qualified: e.conflict for e in registry.list_entries("models") if e.name in ("vsepp", "vse++")}
    assert marks == {"vsezoo:vsepp": False, "vsezoo:vse++": False, "other:vsepp": True, "other:vse++": True}
    install("third", {"models": {"vsepp": "made_v:recipe"}})
    assert registry.find("models", "vsepp").distribution == "vsezoo"


def test_a_name_cannot_look_like_a_qualified_one(install: Install, recipe_source: Callable[..., str]) -> None:
    install("other", {"models": {"vsezoo:vsepp": "made_v:recipe"}}, {"made_v": recipe_source("vsepp", "another")})
    assert registry.load("models", "vsezoo:vsepp").summary != "another"
    (other,) = [found for found in registry.list_distributions() if found.name == "other"]
    assert other.entries == ()
    assert [(fault.name, fault.reason) for fault in other.faults] == [
        ("vsezoo:vsepp", "a name must not be empty or contain a colon")
    ]


def test_a_distribution_twice_on_the_path_is_one(install: Install) -> None:
    install("demo-x", {"models": {"a": "made_a:recipe"}}, folder="second", version="1.0")
    install("Demo_X", {"models": {"a": "made_a:recipe"}}, folder="first", version="2.0")
    assert [(e.version, e.conflict) for e in registry.list_entries("models") if e.name == "a"] == [("2.0", False)]


FAILURES = {
    "raises": ("import made_absent_dependency", "ModuleNotFoundError: No module named 'made_absent_dependency'"),
    "exits": ("raise SystemExit('no licence')", "SystemExit: no licence"),
    "panics": ("class Panic(BaseException): pass\nraise Panic('at the disco')", "made_bad.Panic: at the disco"),
    "is no Python": ("def (:", "SyntaxError: invalid syntax"),
    "has notes": (
        "error = ValueError('first\\nsecond')\nerror.add_note('a note')\nraise error",
        "ValueError: first",
    ),
    "has no text": (
        "class Mute(Exception):\n    def __str__(self): return 1 / 0\nraise Mute",
        "made_bad.Mute: (its text cannot be computed)",
    ),
    "lacks it": ("", "AttributeError: module 'made_bad' has no attribute 'thing'"),
    "has another": ("thing = 'text'", "of type str; a model must be an instance of vsezoo.recipe.Recipe"),
    "has a class": ("from vsezoo.recipe import Recipe as thing", "the class Recipe; a model must be an instance of"),
}


@pytest.mark.parametrize(("source", "last_line"), FAILURES.values(), ids=FAILURES)
def test_a_plugin_that_fails(install: Install, recipe_source: Callable[..., str], source: str, last_line: str) -> None:
    modules = {"made_bad": source, "made_good": recipe_source("good")}
    install("broken", {"models": {"bad": "made_bad:thing", "good": "made_good:recipe"}}, modules, version="0.9")
    with pytest.raises(PluginError) as caught:
        registry.load("models", "bad")
    assert str(caught.value).startswith("The model 'bad' of broken 0.9 cannot be loaded from made_bad:thing: ")
    assert last_line in registry.explain(caught.value)
    assert str(caught.value).splitlines()[0].endswith(registry.explain(caught.value))
    assert "uninstall broken" in caught.value.remedy
    assert "--no-plugins" in caught.value.remedy
    assert registry.load("models", "good").name == "good"
    assert {"bad", "good"} <= set(registry.list_names("models"))


def test_torch_and_torchvision_of_different_builds(install: Install) -> None:
    raised = "try: raise RuntimeError('operator torchvision::nms does not exist')\n"
    raised += "except RuntimeError as error: raise ImportError('Could not import module') from error"
    install("broken", {"models": {"bad": "made_bad:thing"}}, {"made_bad": raised})
    with pytest.raises(PluginError, match=r"\ntorch and torchvision do not fit each other, .*: install both"):
        registry.load("models", "bad")


def test_a_module_that_is_gone(install: Install) -> None:
    install("stale", {"losses": {"gone": "made_gone:Loss"}})
    with pytest.raises(PluginError, match="No module named 'made_gone'"):
        registry.load("losses", "gone")


def test_a_remedy_knows_what_is_missing(install: Install) -> None:
    install("stale", {"losses": {"gone": "made_gone.part:Loss"}})
    install("needy", {"losses": {"needy": "made_n:Loss"}}, {"made_n": "import made_absent.part"})
    with pytest.raises(PluginError) as gone:
        registry.load("losses", "gone")
    assert gone.value.remedy.startswith("The files of stale are missing although it is listed as installed")
    with pytest.raises(PluginError) as needy:
        registry.load("losses", "needy")
    assert needy.value.remedy.startswith(
        "Install the package with the module made_absent, upgrade or uninstall needy, or "
    )


def test_a_part_must_be_a_class_of_its_kind(install: Install) -> None:
    source = "from vsezoo.interfaces import Loss\nclass loss(Loss):\n    forward = None\ndef function(): pass"
    points = {
        "similarities": {"wrong-kind": "made_a:loss", "function": "made_a:function"},
        "losses": {"base": "made_a:loss"},
    }
    install("demo", points, {"made_a": source})
    with pytest.raises(
        PluginError, match=r"the class loss; a similarity must be a subclass of vsezoo\.interfaces\.Sim"
    ):
        registry.load("similarities", "wrong-kind")
    with pytest.raises(PluginError, match="of type function; a similarity must be a subclass"):
        registry.load("similarities", "function")
    assert registry.load("losses", "base").__name__ == "loss"


UNFINISHED = """
from vsezoo.data.source import DataSource
from vsezoo.conversion.importer import Importer

class Source(DataSource):
    name, splits = "mine", ("train",)
    def open(self, *arguments): ...

class Unfinished(Importer):
    name = summary = "mine"
    def read(self, *arguments): ...

source = Source()
"""


def test_an_object_must_be_all_of_what_listings_and_the_core_read(install: Install) -> None:
    points = {"datasets": {"mine": "made_a:source"}, "importers": {"mine": "made_a:Unfinished"}}
    install("demo", points, {"made_a": UNFINISHED})
    with pytest.raises(PluginError, match="TypeError: the data set lacks summary, kinds\n"):
        registry.load("datasets", "mine")
    with pytest.raises(PluginError, match="TypeError: the importer lacks recognise\n"):
        registry.load("importers", "mine")


def test_ctrl_c_is_no_failure_of_the_plugin(install: Install) -> None:
    install("demo", {"models": {"slow": "made_a:recipe"}}, {"made_a": "raise KeyboardInterrupt"})
    with pytest.raises(KeyboardInterrupt):
        registry.load("models", "slow")


def test_the_exception_itself_on_demand(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("demo", {"models": {"bad": "made_a:recipe"}}, {"made_a": "1 / 0"})
    monkeypatch.setenv("VSEZOO_RAISE_PLUGIN_ERRORS", "1")
    with pytest.raises(ZeroDivisionError):
        registry.load("models", "bad")


def test_what_a_plugin_prints_stays_out_of_the_results(
    install: Install, recipe_source: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    install("demo", {"models": {"loud": "made_a:recipe"}}, {"made_a": "print('hello')\n" + recipe_source("loud")})
    registry.load("models", "loud")
    assert capsys.readouterr() == ("", "hello\n")


def test_an_unknown_name(install: Install) -> None:
    install("demo", {"models": {"demo-model": "made_a:x"}, "losses": {"soft": "made_a:x"}})
    with pytest.raises(UnknownNameError) as caught:
        registry.load("models", "demo-modle")
    assert str(caught.value) == (
        "There is no model 'demo-modle'.\nDid you mean 'demo-model'? `vsezoo list-models` lists all."
    )
    with pytest.raises(UnknownNameError, match=r"^There is no loss 'zzzzz'\.\nKnown: .*\bhinge, .*\bsoft\.$"):
        registry.load("losses", "zzzzz")
    with pytest.raises(UnknownNameError, match=r"^There is no model 'zzzzz'\.\n`vsezoo list-models` lists all\.$"):
        registry.load("models", "zzzzz")  # too many to print
    with pytest.raises(UnknownNameError, match="Did you mean 'demo:demo-model'"):
        registry.load("models", "demo:demo-mod")
    with pytest.raises(UsageError, match="is not a kind"):
        registry.list_names("model")


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [
        (None, {"a", "b"}),
        ("", set()),
        ("none", set()),
        ("one-plugin", {"a"}),
        ("ONE__plugin", {"a"}),
        ("two, one.plugin", {"a", "b"}),
    ],
)
def test_the_allow_list(
    install: Install, monkeypatch: pytest.MonkeyPatch, allowed: str | None, expected: set[str]
) -> None:
    install("One.Plugin", {"models": {"a": "made_a:x"}})
    install("two", {"models": {"b": "made_a:x"}})
    if allowed is not None:
        monkeypatch.setenv("VSEZOO_PLUGINS", allowed)
    names = set(registry.list_names("models"))
    assert names & {"a", "b"} == expected
    assert "vsepp" in names  # vsezoo itself is always allowed
    assert {found.name for found in registry.list_distributions()} >= {"One.Plugin", "two", "vsezoo"}
    for name in {"a", "b"} - expected:
        with pytest.raises(UnknownNameError, match=r"registered by (One\.Plugin|two), which is not allowed here"):
            registry.find("models", name)


def test_a_distribution_that_is_not_installed_is_no_silent_mistake(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("one-plugin", {"models": {"a": "made_a:x"}})
    monkeypatch.setenv("VSEZOO_PLUGINS", "one-plugins,vsezoo")
    problem = "VSEZOO_PLUGINS names 'one-plugins', but no installed distribution of that name registers anything"
    with pytest.warns(PluginWarning, match=rf"{problem}\. Did you mean 'one-plugin'\?"):
        assert "a" not in registry.list_names("models")


def test_aliases_are_names_of_one_distribution_for_one_object(install: Install) -> None:
    install("demo", {"models": {"m": "made_a:m", "m-old": "made_a:m", "m++": "made_a:m", "n": "made_a:n"}})
    install("copy", {"models": {"m-copy": "made_a:m"}})
    assert registry.list_aliases(registry.find("models", "m-old")) == ["m", "m++"]
    assert registry.list_aliases(registry.find("models", "n")) == []
    assert registry.list_aliases(registry.find("models", "m-copy")) == []


CIRCLES = {
    "itself": {"made_a": "from vsezoo import registry\nrecipe = registry.load('models', 'a')"},
    "two": {
        "made_a": "from vsezoo import registry\nrecipe = registry.load('models', 'b')",
        "made_b": "from vsezoo import registry\nrecipe = registry.load('models', 'a')",
    },
    "lazily": {
        "made_a": "from vsezoo import registry\ndef __getattr__(name): return registry.load('models', 'a')",
    },
}


@pytest.mark.parametrize("modules", CIRCLES.values(), ids=CIRCLES)
def test_an_alias_of_itself(install: Install, modules: dict[str, str]) -> None:
    install("circle", {"models": {"a": "made_a:recipe", "b": "made_b:recipe"}}, modules)
    with pytest.raises(PluginError, match="RecursionError: it refers to itself: models circle:a -> ") as caught:
        registry.load("models", "a")
    assert len(str(caught.value)) < 1000
    with pytest.raises(PluginError):  # the circle is left as it was entered
        registry.load("models", "a")


def test_a_module_that_recurses(install: Install) -> None:
    modules = {"made_r": "def __getattr__(name): return __getattr__(name)", "made_i": "def f(): f()\nf()"}
    install("deep", {"models": {"r": "made_r:recipe", "i": "made_i:recipe"}}, modules)
    for name in "ri":
        with pytest.raises(PluginError, match="RecursionError: maximum recursion depth exceeded"):
            registry.load("models", name)


def test_what_a_part_needs_of_another_plugin_is_told(install: Install) -> None:
    modules = {"made_a": "from vsezoo import registry\nrecipe = registry.load('models', 'b')", "made_b": "1 / 0"}
    install("demo", {"models": {"a": "made_a:recipe", "b": "made_b:recipe"}}, modules)
    with pytest.raises(PluginError) as caught:
        registry.load("models", "a")
    assert registry.explain(caught.value) == (
        "The model 'b' of demo 1.0 cannot be loaded from made_b:recipe: ZeroDivisionError: division by zero"
    )


@pytest.mark.parametrize("value", ["made_a", "made_a:", ":recipe", ""])
def test_a_value_that_names_no_attribute(install: Install, value: str) -> None:
    install("demo", {"models": {"a": value}}, {"made_a": ""})
    with pytest.raises(PluginError, match="is not of the form module:attribute"):
        registry.load("models", "a")


def test_a_value_with_extras(install: Install, recipe_source: Callable[..., str]) -> None:
    install("demo", {"models": {"a": "made_a:recipe [fast]"}}, {"made_a": recipe_source("a")})
    assert registry.load("models", "a").name == "a"


@pytest.mark.parametrize(
    ("body", "reason"),
    [("", "the image encoder lacks kinds"), ("kinds = ('vector')", "kinds = 'vector'; it must be a tuple of texts")],
)
def test_image_encoder_without_kinds(body: str, reason: str, install: Callable[..., Path]) -> None:
    source = f"""
from vsezoo.interfaces import ImageEncoder

class Blind(ImageEncoder):
    {body}
    def transform(self, training): ...
    def forward(self, images): ...
"""
    install("demo", {"image_encoders": {"blind": "made_blind:Blind"}}, {"made_blind": source})
    with pytest.raises(PluginError, match=reason):
        registry.load("image_encoders", "blind")
