"""Names of subjects and sessions in a case list: allowed, and never one name for two of them."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING

from evaluator.datasets.importing.found import dataset_name

if TYPE_CHECKING:
    from collections.abc import Iterable

#: hexadecimal digits that tell names apart
DIGITS = 6


class CaseNames:
    """The names of all subjects and sessions of a folder.

    A name that a case list accepts stays. Another one is changed. Two names that would become one,
    or differ in upper and lower case only, are told apart by digits of a hash.
    """

    def __init__(self, cases: Iterable[tuple[str, str]]) -> None:
        """Name all cases.

        Args:
            cases: subject and session as the paths name them.
        """
        pairs = sorted(set(cases))
        self._subjects = unique_names(subject for subject, _ in pairs)
        self._sessions: dict[tuple[str, str], str] = {}
        folders: set[str] = set()
        for subject, name in self._subjects.items():
            texts = [session for other, session in pairs if other == subject]
            for session, session_name in unique_names(texts).items():
                # "a.b" + "c" and "a" + "b.c" would share a folder
                if f"{name}.{session_name}".lower() in folders:
                    session_name = _with_hash(session_name, f"{subject}/{session}")
                folders.add(f"{name}.{session_name}".lower())
                self._sessions[subject, session] = session_name

    def of(self, subject: str, session: str) -> tuple[str, str]:
        """The names of a subject and a session."""
        return self._subjects[subject], self._sessions[subject, session]

    def changes(self) -> dict[str, str]:
        """Texts of paths whose name is another one."""
        sessions = {session: name for (_, session), name in self._sessions.items()}
        return {text: name for text, name in (sessions | self._subjects).items() if text != name}


def unique_names(texts: Iterable[str]) -> dict[str, str]:
    """Text -> name; no two names are equal, or differ in upper and lower case only."""
    proposals = {text: dataset_name(text) for text in sorted(set(texts))}
    shared = Counter(name.lower() for name in proposals.values())
    names: dict[str, str] = {}
    unchanged: set[str] = set()
    for text, name in proposals.items():
        if text == name and name.lower() not in unchanged:
            unchanged.add(name.lower())
            names[text] = name
        elif shared[name.lower()] == 1:
            names[text] = name
        else:
            names[text] = _with_hash(name, text)
    return names


def _with_hash(name: str, text: str) -> str:
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:DIGITS]}"
