"""A site's way to its certificate, through the real core: token, request, approval, renewal."""

import hashlib
import re

import pytest

from broker.core.core import Core
from broker.core.limits import Limits
from broker.core.messages import Approve, CreateToken, Done, Join, Joined, Now, Refusal, Reply
from broker.core.rows import JoinToken, PendingJoin
from broker.core.state import State
from broker.pki import (
    APPROVAL_SECONDS_MAX,
    TOKEN_LIFETIME_SECONDS,
    TOKEN_LIFETIME_SECONDS_MAX,
    approve,
    key_of,
    mint_token,
    renew,
)
from suan.errors import SuanError
from suan.identity.authority import DAY_SECONDS, Authority
from suan.identity.certificate import read_certificate
from suan.identity.joinfile import JOIN_TOKEN
from suan.identity.keys import generate_key, make_request
from suan.identity.principal import Principal, Role, site_principal

NOW = 1_800_000_000.0
FEDERATION = "china.example"
SITE = site_principal(FEDERATION, "zhengzhou")
ADMIN = "spiffe://china.example/admin/chen"
KEY, OTHER_KEY = generate_key(), generate_key()


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create(FEDERATION, NOW)


class Desk:
    """The broker's core with the join desk in front of it, as the servicers drive it."""

    def __init__(self) -> None:
        self.core = Core(State(), Limits(), term=1, now=Now(0.0, NOW))
        self.text, self.row = mint_token("zhengzhou", NOW)
        assert self.tell(CreateToken(self.row, ADMIN)) == Done()

    def tell(self, event: CreateToken | Join | Approve, seconds: float = 0.0) -> Reply | None:
        return self.core.handle([event], Now(seconds, NOW + seconds)).replies[0]

    def join(
        self, text: str, *, site: str = "zhengzhou", key: bytes = KEY, seconds: float = 1.0
    ) -> Joined | str:
        """What the site is told: its request, or the code of the refusal."""
        csr_pem = make_request(key, site_principal(FEDERATION, "zhengzhou"))
        proven = key_of(csr_pem)
        found = JOIN_TOKEN.fullmatch(text)
        name, secret = (found["id"], found["secret"]) if found else ("", "")
        digest = hashlib.sha256(secret.encode()).hexdigest()
        event = Join(site, name, digest, proven.key_sha256, csr_pem, proven.fingerprint)
        reply = self.tell(event, seconds)
        if isinstance(reply, Refusal):
            return reply.code
        assert isinstance(reply, Joined)
        return reply

    @property
    def pending(self) -> PendingJoin:
        return self.core.memory.state.joins["zhengzhou"]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_token_has_128_secret_bits_and_only_its_digest_is_kept() -> None:
    text, row = mint_token("zhengzhou", NOW)
    assert re.fullmatch(r"[a-z0-9]{6}\.[a-z0-9]{25}", text)
    assert JOIN_TOKEN.fullmatch(text)
    assert 36**25 >= 2**128
    digest = hashlib.sha256(text[7:].encode()).hexdigest()
    assert row == JoinToken(text[:6], digest, "zhengzhou", NOW + TOKEN_LIFETIME_SECONDS)
    assert text[7:] not in repr(row)
    assert len({mint_token("zhengzhou", NOW)[0] for _ in range(200)}) == 200


@pytest.mark.parametrize("seconds", [0.0, -1.0, TOKEN_LIFETIME_SECONDS_MAX + 1, float("nan")])
def test_a_token_lives_at_most_a_day(seconds: float) -> None:
    mint_token("zhengzhou", NOW, TOKEN_LIFETIME_SECONDS_MAX)
    with pytest.raises(SuanError) as caught:
        mint_token("zhengzhou", NOW, seconds)
    assert caught.value.code == "TokenLifetimeInvalid"


def test_the_same_key_may_come_again(desk: Desk) -> None:
    first = desk.join(desk.text)
    assert isinstance(first, Joined) and first.fingerprint == desk.pending.fingerprint
    for seconds in (2.0, TOKEN_LIFETIME_SECONDS - 1, 2 * TOKEN_LIFETIME_SECONDS):
        assert desk.join(desk.text, seconds=seconds) == first


@pytest.mark.parametrize(
    ("bound", "site", "key", "seconds", "code"),
    [
        (True, "zhengzhou", OTHER_KEY, 2.0, "TokenUsed"),
        (True, "zhengzhou", OTHER_KEY, 2 * TOKEN_LIFETIME_SECONDS, "TokenUsed"),
        (False, "zhengzhou", KEY, TOKEN_LIFETIME_SECONDS, "TokenExpired"),
        (False, "shenzhen", KEY, 2.0, "TokenWrongSite"),
        (True, "shenzhen", KEY, 2.0, "TokenWrongSite"),
        (False, "Zhengzhou", KEY, 2.0, "TokenWrongSite"),
    ],
)
def test_stolen_late_and_misplaced_tokens_are_refused(
    desk: Desk, bound: bool, site: str, key: bytes, seconds: float, code: str
) -> None:
    if bound:
        assert isinstance(desk.join(desk.text), Joined)
    assert desk.join(desk.text, site=site, key=key, seconds=seconds) == code
    if not bound and seconds < TOKEN_LIFETIME_SECONDS:  # a refusal does not use it up
        assert isinstance(desk.join(desk.text, seconds=seconds), Joined)


def test_guessed_tokens_are_unknown(desk: Desk) -> None:
    text, other = desk.text, mint_token("zhengzhou", NOW)[0]
    guesses = ["", "x", text[:-1], text + "a", text.upper(), other, text[:6] + other[6:],
               other[:6] + text[6:], text + "\n"]  # fmt: skip
    for guess in guesses:
        assert desk.join(guess) == "TokenUnknown"
        assert desk.join(guess, site="shenzhen") == "TokenUnknown"


@pytest.fixture
def pending(desk: Desk) -> PendingJoin:
    """A request that would rather be an administrator."""
    csr_pem = make_request(KEY, Principal(FEDERATION, Role.ADMIN, "chen"))
    proven = key_of(csr_pem)
    return PendingJoin("zhengzhou", csr_pem, proven.fingerprint, NOW, desk.row.id)


def test_an_approved_site_gets_its_certificate(desk: Desk, authority: Authority) -> None:
    desk.join(desk.text)
    approved = approve(desk.pending, desk.pending.fingerprint, authority, NOW)
    event = Approve(approved.site, approved.fingerprint, approved.certificate_pem, ADMIN)
    assert desk.tell(event) == Done()
    joined = desk.join(desk.text)
    assert isinstance(joined, Joined)
    assert read_certificate(joined.certificate_pem).principal == SITE


def test_approval_certifies_the_site_and_not_its_wish(
    pending: PendingJoin, authority: Authority
) -> None:
    approved = approve(pending, pending.fingerprint.lower(), authority, NOW + 60)
    certificate = read_certificate(approved.certificate_pem)
    assert certificate.principal == SITE
    assert certificate.key_fingerprint == pending.fingerprint
    assert certificate.not_after == NOW + 60 + 30 * DAY_SECONDS


def test_approving_twice_gives_the_same_certificate(
    pending: PendingJoin, authority: Authority
) -> None:
    approved = approve(pending, pending.fingerprint, authority, NOW)
    assert approve(approved, pending.fingerprint, authority, NOW + 10 * DAY_SECONDS) == approved


@pytest.mark.parametrize("typed", ["", "SHA256:", "SHA256:" + "-".join(["0000"] * 16)])
def test_another_fingerprint_is_not_approved(
    pending: PendingJoin, authority: Authority, typed: str
) -> None:
    with pytest.raises(SuanError) as caught:
        approve(pending, typed, authority, NOW)
    assert caught.value.code == "FingerprintMismatch"
    assert "do not approve" in caught.value.hint


def test_a_request_does_not_wait_for_ever(pending: PendingJoin, authority: Authority) -> None:
    with pytest.raises(SuanError) as caught:
        approve(pending, pending.fingerprint, authority, NOW + APPROVAL_SECONDS_MAX)
    assert caught.value.code == "RequestExpired"


def test_renewal_is_for_whoever_calls(authority: Authority) -> None:
    key = generate_key()
    wish = make_request(key, site_principal(FEDERATION, "shenzhen"))
    certificate = read_certificate(renew(SITE, wish, authority, NOW + DAY_SECONDS))
    assert certificate.principal == SITE
    assert certificate.key_fingerprint == key_of(wish).fingerprint


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.SITE}, key=lambda role: role.value))
def test_only_a_site_renews(authority: Authority, role: Role) -> None:
    tenant = "team-a" if role in (Role.USER, Role.TENANT_ADMIN) else ""
    site = "zhengzhou" if role is Role.OPERATOR else ""
    principal = Principal(FEDERATION, role, "li", site=site, tenant=tenant)
    with pytest.raises(SuanError) as caught:
        renew(principal, make_request(generate_key(), principal), authority, NOW)
    assert caught.value.code == "RoleNotAllowed"


def test_requests_that_are_none_and_sites_of_elsewhere(authority: Authority) -> None:
    with pytest.raises(SuanError) as caught:
        renew(SITE, b"request", authority, NOW)
    assert caught.value.code == "RequestInvalid"
    foreign = site_principal("elsewhere", "zhengzhou")
    with pytest.raises(SuanError) as caught:
        renew(foreign, make_request(generate_key(), foreign), authority, NOW)
    assert caught.value.code == "IssueRefused"
