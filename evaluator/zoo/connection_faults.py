"""Why a server could not be reached, in a few words."""

from __future__ import annotations

import textwrap
from urllib.parse import urlsplit

#: words of requests and urllib3 in the text of an error -> what they mean; the first that fits
_MEANINGS = (
    ("NameResolutionError", "this machine cannot find the address of {host}; is there a network?"),
    ("Name or service not known", "this machine cannot find the address of {host}"),
    ("ProxyError", "the proxy refuses or does not answer (see HTTPS_PROXY)"),
    ("CERTIFICATE_VERIFY_FAILED", "the certificate of {host} is not trusted on this machine"),
    ("Connection refused", "{host} refuses connections"),
    ("Network is unreachable", "there is no network"),
    ("No route to host", "there is no way to {host}"),
    ("Connection reset", "the connection was cut"),
    ("IncompleteRead", "the connection was cut"),
    ("timed out", "{host} did not answer in time"),
)
LENGTH = 160


def describe_fault(error: Exception, address: str) -> str:
    """The cause of a failed connection.

    Args:
        error: of requests.
        address: what was requested.
    """
    text, host = str(error), urlsplit(address).netloc
    for words, meaning in _MEANINGS:
        if words.lower() in text.lower():
            return meaning.format(host=host)
    return textwrap.shorten(text, LENGTH, placeholder=" ...")
