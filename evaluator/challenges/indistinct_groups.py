"""Groups of entries that cannot be told apart, as letters: a compact letter display.

Two entries share a letter exactly if no significant difference was shown between them. The letters
are found by inserting the significant pairs one after another and absorbing groups that lie within
others: Piepho, J Comput Graph Stat 2004;13:456-466.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

#: more groups are not searched: the display would tell nothing
MOST_GROUPS = 200
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def indistinct_groups(count: int, different: Iterable[tuple[int, int]]) -> list[frozenset[int]]:
    """The largest groups without a significant pair.

    Args:
        count: number of entries, in the order of their places.
        different: pairs of entries that differ significantly.

    Returns:
        groups in the order of their best entries; none if there are more than ``MOST_GROUPS``.
    """
    groups = [frozenset(range(count))] if count else []
    for first, second in different:
        divided = []
        for group in groups:
            if first in group and second in group:
                divided += [group - {first}, group - {second}]
            else:
                divided.append(group)
        distinct = list(dict.fromkeys(divided))
        groups = [group for group in distinct if not any(group < other for other in distinct)]
        if len(groups) > MOST_GROUPS:
            return []
    return sorted(groups, key=sorted)


def group_letters(count: int, different: Iterable[tuple[int, int]]) -> list[str]:
    """The letters of each entry; empty texts if there are too many groups.

    Args:
        count: number of entries, in the order of their places.
        different: pairs of entries that differ significantly.
    """
    groups = indistinct_groups(count, different)
    names = [_name(number) for number in range(len(groups))]
    separator = " " if len(groups) > len(_LETTERS) else ""
    letters = []
    for entry in range(count):
        shared = [name for name, group in zip(names, groups, strict=True) if entry in group]
        letters.append(separator.join(shared))
    return letters


def _name(number: int) -> str:
    """The letters a to z, then a1 to z1, a2 and so on."""
    repeat, place = divmod(number, len(_LETTERS))
    return f"{_LETTERS[place]}{repeat or ''}"
