"""The user that an image names, and what that user may do in its container."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evaluator.containers.engines.spec import ContainerLayout


def numeric_user(text: str) -> tuple[int, int] | None:
    """Uid and gid of an image's user; None for a name, which only the image can resolve."""
    if text in ("", "root"):
        return 0, 0
    uid, _, gid = text.partition(":")
    if uid.isdigit() and (gid.isdigit() or not gid):
        return int(uid), int(gid or uid)
    return None


def kept_capabilities(layout: ContainerLayout, user: tuple[int, int] | None) -> tuple[str, ...]:
    """Capabilities that a model's container keeps.

    An image of another convention whose user is root writes into every folder of its root, as it
    may there. Without DAC_OVERRIDE root may not write into the folders of other users, and under
    Podman not into ``/``, which has the mode 0555. The container's mounts stay as they are: its
    copy of the input, its output folder, and what is read-only.

    Args:
        layout: of the image's convention.
        user: of the image; None: unknown.
    """
    is_root = layout.image_user and user is not None and user[0] == 0
    return ("DAC_OVERRIDE",) if is_root and layout.root_writable else ()
