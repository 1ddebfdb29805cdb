"""Repositories of the Hub on the loopback, in memory: files, commits, branches. No tests in here."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Blob:
    """The content of a file; None for one that only xet has."""

    content: bytes | None
    lfs: bool
    sha256: str
    size: int

    @classmethod
    def of(cls, content: bytes, lfs: bool) -> Blob:
        return cls(content, lfs, hashlib.sha256(content).hexdigest(), len(content))

    @property
    def git(self) -> str:
        data = self.content
        if self.lfs:
            data = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n".encode()
        assert data is not None
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.git


Tree = dict[str, Blob]


@dataclass
class Repository:
    """A repository: its commits by their hashes, and the branches."""

    private: bool = False
    gated: bool = False
    commits: dict[str, Tree] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    pulls: int = 0

    def __post_init__(self) -> None:
        self.commit({".gitattributes": Blob.of(b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n", False)})

    def commit(self, changes: Tree, branch: str = "main", message: str = "initial commit") -> str:
        parent = self.branches.get(branch, self.branches.get("main", ""))
        tree = {**self.commits.get(parent, {}), **changes}
        record = json.dumps([parent, message, len(self.messages), sorted((n, b.sha256) for n, b in tree.items())])
        commit = hashlib.sha1(record.encode()).hexdigest()
        self.commits[commit] = tree
        self.branches[branch] = commit
        self.messages.append(message)
        return commit

    @property
    def head(self) -> Tree:
        return self.commits[self.branches["main"]]

    def read(self, name: str) -> bytes:
        content = self.head[name].content
        assert content is not None
        return content

    def edit(self, name: str, content: bytes) -> str:
        """Commit a file as someone else would, on the Hub's pages."""
        return self.commit({name: Blob.of(content, self.head[name].lfs)}, message="an edit")
