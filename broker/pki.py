"""How a site comes by its certificate: token, request, approval, renewal.

The cryptographic half: mints tokens, reads requests, signs. The core keeps the rows, binds a
token to the first key that uses it and refuses every other. The clock and the authority are
arguments. Knows neither gRPC nor the store.
"""

import hashlib
import secrets
import string
from dataclasses import replace
from typing import Final

from broker.core.rows import JoinToken, PendingJoin
from suan.errors import Conflict, InvalidRequest, PermissionDenied
from suan.identity.authority import Authority, IssueRefused
from suan.identity.fingerprint import same_fingerprint
from suan.identity.keys import KeyRequest, RequestInvalid, read_request
from suan.identity.principal import Principal, PrincipalInvalid, Role, site_principal

TOKEN_LIFETIME_SECONDS: Final = 3_600.0
TOKEN_LIFETIME_SECONDS_MAX: Final = 24 * 3_600.0
APPROVAL_SECONDS_MAX: Final = 72 * 3_600.0  # that a request may wait for an administrator
JOIN_RETRY_SECONDS: Final = 1.0  # between two calls of Join while it waits

_ALPHABET: Final = string.ascii_lowercase + string.digits
_NEW_TOKEN: Final = "ask the administrator for a new token: suan site token SITE"


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


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _random_text(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
