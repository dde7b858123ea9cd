"""Why an untrusted file is not accepted."""

from __future__ import annotations


class RefusedFileError(Exception):
    """The file is not accepted: a status of the contract, and why."""

    def __init__(self, status: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
