"""Names of subjects and sessions in a case list: allowed, and never one name for two of them."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from evaluator.datasets.importing.found import dataset_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

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
        sessions: dict[str, list[str]] = defaultdict(list)
        for subject, session in sorted(set(cases)):
            sessions[subject].append(session)
        self._subjects = unique_names(sessions)
        self._sessions: dict[tuple[str, str], str] = {}
        folders: set[str] = set()
        for subject, name in self._subjects.items():
            for session, session_name in unique_names(sessions[subject]).items():
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
    taken: set[str] = set()
    for text, name in proposals.items():
        is_free = shared[name.lower()] == 1 or (text == name and name.lower() not in taken)
        if is_free:
            names[text] = name
            taken.add(name.lower())
    # after the names that stay, so that none of those is taken
    for text in sorted(proposals.keys() - names.keys()):
        names[text] = _with_hash(proposals[text], text, taken)
        taken.add(names[text].lower())
    return names


def _with_hash(name: str, text: str, taken: Collection[str] = ()) -> str:
    """The name with digits of the text's hash, hashed again while the name is taken."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    while (candidate := f"{name}-{digest[:DIGITS]}").lower() in taken:
        digest = hashlib.sha256(digest.encode()).hexdigest()
    return candidate
