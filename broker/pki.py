"""How a site comes by its certificate: token, request, approval, renewal.

Pure checks on values. The rows themselves (tokens by hash, requests that wait) are records of
the core; the clock and the authority are arguments. Knows neither gRPC nor the store.
"""

import hashlib
import hmac
import re
import secrets
import string
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from suan.errors import Conflict, InvalidRequest, PermissionDenied, SuanError, Unauthenticated
from suan.identity.authority import Authority, IssueRefused
from suan.identity.fingerprint import format_fingerprint, same_fingerprint
from suan.identity.joinfile import JOIN_TOKEN
from suan.identity.keys import KeyRequest, RequestInvalid, read_request
from suan.identity.principal import Principal, PrincipalInvalid, Role, site_principal

TOKEN_LIFETIME_SECONDS: Final = 3_600.0
TOKEN_LIFETIME_SECONDS_MAX: Final = 24 * 3_600.0
# A request waits this long for an administrator, counted from the token's first use.
APPROVAL_SECONDS_MAX: Final = 72 * 3_600.0
JOIN_RETRY_SECONDS: Final = 5.0  # between two calls of Join while it waits

_ALPHABET: Final = string.ascii_lowercase + string.digits


@dataclass(frozen=True, slots=True)
class JoinToken:
    """A join token as the broker keeps it: never the secret, only its digest.

    `key_sha256` is the key of the first request that came with it; "" until then.
    """

    id: str
    secret_sha256: str
    site: str
    expires_at: float
    key_sha256: str = ""
    used_at: float | None = None


class JoinCode(Enum):
    """What becomes of a presented token; the value is the error's code."""

    ACCEPTED = "Accepted"
    UNKNOWN = "TokenUnknown"
    WRONG_SITE = "TokenWrongSite"
    EXPIRED = "TokenExpired"
    USED = "TokenUsed"


@dataclass(frozen=True, slots=True)
class JoinVerdict:
    """The code and, when it is ACCEPTED, the row as it is to be stored before the answer."""

    code: JoinCode
    token: JoinToken | None = None

    @property
    def error(self) -> SuanError | None:
        """The refusal as the site is told it; None when accepted."""
        if self.code is JoinCode.ACCEPTED:
            return None
        message, hint = _REFUSALS[self.code]
        return Unauthenticated(message, hint, self.code.value)


@dataclass(frozen=True, slots=True)
class PendingJoin:
    """A site's request that waits for an administrator, or the certificate it was answered with."""

    site: str
    token_id: str
    csr_pem: bytes
    key_sha256: str
    requested_at: float
    certificate_pem: bytes = b""

    @property
    def fingerprint(self) -> str:
        """Of the site's key: what the two people compare over the telephone."""
        return format_fingerprint(self.key_sha256)


_NEW_TOKEN: Final = "ask the administrator for a new one: suan site token SITE"
_REFUSALS: Final = {
    JoinCode.UNKNOWN: ("the join token is not known", f"check it for a slip, or {_NEW_TOKEN}"),
    JoinCode.WRONG_SITE: (
        "the join token is for another site",
        f"use the name it was made for, or {_NEW_TOKEN}",
    ),
    JoinCode.EXPIRED: ("the join token has expired", _NEW_TOKEN),
    JoinCode.USED: (
        "the join token has been used with another key",
        "if that was not you, tell the administrator not to approve; then " + _NEW_TOKEN,
    ),
}


def mint_token(
    site: str, now: float, lifetime_seconds: float = TOKEN_LIFETIME_SECONDS
) -> tuple[str, JoinToken]:
    """A new token: the text for the site, shown once, and the row to store.

    Raises InvalidRequest (TokenLifetimeInvalid) beyond 24 hours.
    """
    if not 0 < lifetime_seconds <= TOKEN_LIFETIME_SECONDS_MAX:
        raise InvalidRequest(
            f"a token cannot live {lifetime_seconds:g} seconds",
            f"give more than 0 and at most {TOKEN_LIFETIME_SECONDS_MAX:g} seconds",
            "TokenLifetimeInvalid",
        )
    name, secret = _random_text(6), _random_text(25)
    return f"{name}.{secret}", JoinToken(name, _digest(secret), site, now + lifetime_seconds)


def token_id(presented: str) -> str:
    """The id under which the row of a presented token is kept; "" for what is no token."""
    found = JOIN_TOKEN.fullmatch(presented)
    return found["id"] if found else ""


def check_join(
    row: JoinToken | None, presented: str, site: str, key_sha256: str, now: float
) -> JoinVerdict:
    """Whether `site` may ask for a certificate for this key with the token it presents.

    The first use binds the token to the key; the same key may come again for the answer until
    APPROVAL_SECONDS_MAX have passed, any other key is refused.
    """
    found = JOIN_TOKEN.fullmatch(presented)
    if row is None or found is None or not _opens(row, found):
        return JoinVerdict(JoinCode.UNKNOWN)
    if site != row.site:
        return JoinVerdict(JoinCode.WRONG_SITE)
    if row.used_at is None:
        if now >= row.expires_at:
            return JoinVerdict(JoinCode.EXPIRED)
        return JoinVerdict(JoinCode.ACCEPTED, replace(row, key_sha256=key_sha256, used_at=now))
    if key_sha256 != row.key_sha256:
        return JoinVerdict(JoinCode.USED)
    if now >= row.used_at + APPROVAL_SECONDS_MAX:
        return JoinVerdict(JoinCode.EXPIRED)
    return JoinVerdict(JoinCode.ACCEPTED, row)


def token_is_over(row: JoinToken, now: float) -> bool:
    """Whether no use of the token can succeed any more, so that its row may be dropped."""
    end = row.expires_at if row.used_at is None else row.used_at + APPROVAL_SECONDS_MAX
    return now >= end


def receive_request(site: str, token: JoinToken, csr_pem: bytes, now: float) -> PendingJoin:
    """The request of a site whose token was accepted, to be stored until it is approved."""
    return PendingJoin(site, token.id, csr_pem, key_of(csr_pem).key_sha256, now)


def key_of(csr_pem: bytes) -> KeyRequest:
    """The key that a request proves to hold; raises InvalidRequest (RequestInvalid)."""
    try:
        return read_request(csr_pem)
    except RequestInvalid as error:
        raise InvalidRequest(
            f"the certificate request is refused: {error}",
            "make it with suan-agent join",
            "RequestInvalid",
        ) from error


def approve(
    pending: PendingJoin, typed_fingerprint: str, authority: Authority, now: float
) -> PendingJoin:
    """The request with its certificate, for exactly this site and key.

    Approving it again changes nothing. Raises Conflict (FingerprintMismatch, RequestExpired).
    """
    if not same_fingerprint(typed_fingerprint, pending.fingerprint):
        raise Conflict(
            f"the fingerprint is not that of the request of site {pending.site}",
            "ask the site's operator to read it out again; if it still differs, do not approve",
            "FingerprintMismatch",
        )
    if pending.certificate_pem:
        return pending
    if now >= pending.requested_at + APPROVAL_SECONDS_MAX:
        raise Conflict(
            f"the request of site {pending.site} has waited too long", _NEW_TOKEN, "RequestExpired"
        )
    try:
        principal = site_principal(authority.federation, pending.site)
    except PrincipalInvalid as error:
        raise InvalidRequest(str(error), "", "NameInvalid") from error
    return replace(pending, certificate_pem=_sign(authority, pending.csr_pem, principal, now))


def renew(principal: Principal, csr_pem: bytes, authority: Authority, now: float) -> bytes:
    """The next certificate (PEM) of the site that calls: its current one is the proof.

    Whatever names the request holds, the answer is for `principal`. Raises PermissionDenied,
    InvalidRequest (RequestInvalid).
    """
    if principal.role is not Role.SITE:
        raise PermissionDenied(
            "only a site renews its own certificate",
            "ask an administrator for a new one",
            "RoleNotAllowed",
        )
    return _sign(authority, csr_pem, principal, now)


def _sign(authority: Authority, csr_pem: bytes, principal: Principal, now: float) -> bytes:
    try:
        return authority.sign(key_of(csr_pem), principal, now)
    except IssueRefused as error:
        raise Conflict(
            f"no certificate for {principal}: {error}",
            "check the broker's clock and the authority's certificate",
            "IssueRefused",
        ) from error


def _opens(row: JoinToken, found: re.Match[str]) -> bool:
    same_secret = hmac.compare_digest(_digest(found["secret"]), row.secret_sha256)
    return same_secret and found["id"] == row.id


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _random_text(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
