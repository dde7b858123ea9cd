"""Who may sign in at the portal by OpenID Connect: ``[sign_in]`` of ``challenge.toml``."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from evaluator.challenges.teams import BASELINE, TEAM

#: hosts that may be reached without encryption
LOCAL_HOSTS = ("127.0.0.1", "::1", "localhost")
#: a person, as the provider names one; longest name of a claim
MOST_PERSON, MOST_CLAIM = 255, 100


class SignIn(BaseModel):
    """A provider of OpenID Connect, and whom it lets in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: address of the provider, as its discovery document writes it
    issuer: str
    #: what the provider calls this portal
    client_id: str = Field(min_length=1, max_length=MOST_PERSON)
    #: what the page for signing in calls the provider; empty: the host of the issuer
    title: str = Field(default="", max_length=MOST_CLAIM)
    #: claim that names a person, or the groups of a person
    claim: str = Field(default="email", min_length=1, max_length=MOST_CLAIM)
    scopes: tuple[str, ...] = ("openid", "email")
    #: teams -> values of the claim
    teams: dict[str, tuple[str, ...]] = {}
    #: names of organisers -> values of the claim
    organisers: dict[str, tuple[str, ...]] = {}

    @property
    def provider(self) -> str:
        """What readers call the provider."""
        return self.title or urlsplit(self.issuer).netloc

    def comparable(self, person: str) -> str:
        """A value of the claim as it is compared: an address of ASCII in lower case.

        Lower case of further letters would make different addresses equal, such as those with a
        Kelvin sign. Other claims are compared exactly: subjects may differ in their case only.
        """
        return person.lower() if self.claim == "email" and person.isascii() else person

    @model_validator(mode="after")
    def _is_safe(self) -> SignIn:
        require_encryption(self.issuer)
        if urlsplit(self.issuer).query or urlsplit(self.issuer).fragment:
            raise ValueError("issuer should have no query and no fragment")
        if "openid" not in self.scopes or any(" " in scope for scope in self.scopes):
            raise ValueError('scopes should be single words, among them "openid"')
        return self

    @model_validator(mode="after")
    def _each_person_once(self) -> SignIn:
        seen: dict[str, str] = {}
        names = [*self.teams, *self.organisers]
        for name in names:
            if not TEAM.fullmatch(name) or name.casefold() == BASELINE:
                raise ValueError(f"{name!r} should be the name of a team or of an organiser")
        if len({name.casefold() for name in names}) < len(names):
            raise ValueError("two teams or organisers have names that differ in their case only")
        for name, people in (*self.teams.items(), *self.organisers.items()):
            for person in map(self.comparable, people):
                if not 0 < len(person) <= MOST_PERSON:
                    raise ValueError(f"{name} should list texts of 1 to {MOST_PERSON} characters")
                if seen.setdefault(person, name) != name:
                    raise ValueError(f"{person} stands for {seen[person]} and for {name}")
        return self


def require_encryption(url: str) -> None:
    """Refuse an address of a provider that is not encrypted; one of this machine may be.

    Raises:
        ValueError: the address begins with neither.
    """
    parts = urlsplit(url)
    if parts.hostname and parts.scheme == "https":
        return
    if parts.scheme != "http" or parts.hostname not in LOCAL_HOSTS:
        raise ValueError(f"{url[:200]!r} should begin with https://")
