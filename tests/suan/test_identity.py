"""Principals, fingerprints, addresses, certificates and the authority that signs them."""

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from suan.errors import InvalidRequest
from suan.identity.address import host_of, is_loopback, split_address
from suan.identity.authority import DAY_SECONDS, SKEW_SECONDS, Authority, IssueRefused
from suan.identity.certificate import CertificateMalformed, read_certificate
from suan.identity.fingerprint import fingerprint, same_fingerprint
from suan.identity.keys import RequestInvalid, generate_key, load_key, make_request, read_request
from suan.identity.principal import Principal, PrincipalInvalid, Role, site_principal

NOW = 1_800_000_000.0
FEDERATION = "china.example"
PRINCIPALS = {
    "spiffe://china.example/broker/one": Principal(FEDERATION, Role.BROKER, "one"),
    "spiffe://china.example/site/zhengzhou": site_principal(FEDERATION, "zhengzhou"),
    "spiffe://china.example/site/zhengzhou/operator/wang": Principal(
        FEDERATION, Role.OPERATOR, "wang", site="zhengzhou"
    ),
    "spiffe://china.example/tenant/team-a/user/li.wei": Principal(
        FEDERATION, Role.USER, "li.wei", tenant="team-a"
    ),
    "spiffe://china.example/tenant/team-a/admin/zhao": Principal(
        FEDERATION, Role.TENANT_ADMIN, "zhao", tenant="team-a"
    ),
    "spiffe://china.example/admin/chen": Principal(FEDERATION, Role.ADMIN, "chen"),
    "spiffe://china.example/auditor/sun": Principal(FEDERATION, Role.AUDITOR, "sun"),
}
LABEL = st.from_regex(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?", fullmatch=True)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create(FEDERATION, NOW)


def sign(authority: Authority, principal: Principal, **options: object) -> bytes:
    request = read_request(make_request(generate_key(), principal))
    return authority.sign(request, principal, NOW, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("uri", PRINCIPALS)
def test_principal_and_uri_are_one(uri: str) -> None:
    assert Principal.parse(uri) == PRINCIPALS[uri]
    assert PRINCIPALS[uri].uri == uri


def test_every_role_has_a_uri() -> None:
    assert {principal.role for principal in PRINCIPALS.values()} == set(Role)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "zhengzhou",
        "https://china.example/site/zhengzhou",
        "spiffe://china.example",
        "spiffe://china.example/",
        "spiffe:///site/zhengzhou",
        "spiffe://china.example/site/",
        "spiffe://china.example/site/Zhengzhou",
        "spiffe://china.example/site/zheng%2fzhou",
        "spiffe://china.example/site/../admin/chen",
        "spiffe://china.example/site/zhengzhou/",
        "spiffe://china.example/site/zhengzhou/admin/chen",
        "spiffe://china.example/site/zhengzhou\n",
        "spiffe://china.example/tenant/team-a",
        "spiffe://china.example/root/chen",
        "spiffe://china.example/admin/郑州",
        "spiffe://china.example/admin/" + "a" * 64,
        "SPIFFE://china.example/admin/chen",
        "spiffe://china.example:443/admin/chen",
    ],
)
def test_what_names_nobody_is_refused(uri: str) -> None:
    with pytest.raises(PrincipalInvalid):
        Principal.parse(uri)


def test_a_principal_has_its_roles_labels_and_no_other() -> None:
    with pytest.raises(PrincipalInvalid, match="no tenant"):
        Principal(FEDERATION, Role.ADMIN, "chen", tenant="team-a")
    with pytest.raises(PrincipalInvalid, match="site"):
        Principal(FEDERATION, Role.OPERATOR, "wang")
    with pytest.raises(PrincipalInvalid, match="cannot be named"):
        Principal(FEDERATION, Role.SITE, "shenzhen", site="zhengzhou")


@given(federation=LABEL, site=LABEL, tenant=LABEL, name=LABEL)
def test_every_principal_survives_its_uri(
    federation: str, site: str, tenant: str, name: str
) -> None:
    labels = {
        Role.SITE: {"name": site, "site": site},
        Role.OPERATOR: {"name": name, "site": site},
        Role.USER: {"name": name, "tenant": tenant},
        Role.TENANT_ADMIN: {"name": name, "tenant": tenant},
    }
    for role in Role:
        principal = Principal(federation, role, **labels.get(role, {"name": name}))
        assert Principal.parse(principal.uri) == principal


def test_fingerprints_are_compared_as_people_type_them() -> None:
    printed = fingerprint(b"key")
    assert printed.startswith("SHA256:2C70-E12B-7A06-46F9-")
    assert len(printed) == len("SHA256:") + 16 * 5 - 1
    assert same_fingerprint(printed, printed)
    assert same_fingerprint(printed.lower().replace("-", " "), printed)
    assert same_fingerprint(printed.removeprefix("SHA256:").replace("-", ":"), printed)
    assert not same_fingerprint(printed[:-1], printed)
    assert not same_fingerprint(printed[:-1] + "0", printed[:-1] + "1")
    assert not same_fingerprint("", printed)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("broker.example.cn:7443", ("broker.example.cn", 7443)),
        ("127.0.0.1:1", ("127.0.0.1", 1)),
        ("[2001:db8::1]:65535", ("2001:db8::1", 65_535)),
    ],
)
def test_addresses(address: str, expected: tuple[str, int]) -> None:
    assert split_address(address) == expected
    assert host_of(address) == expected[0]


@pytest.mark.parametrize(
    "address",
    [
        "", ":", "broker", "broker:", ":7443", "broker:0", "broker:65536", "broker:７443",
        "2001:db8::1:7443", "[127.0.0.1]:7443", "https://broker:7443", "bro ker:7443",
        "-broker:7443", "broker:99999999999999999999", "a" * 64 + ":1", "broker..cn:1",
    ],
)  # fmt: skip
def test_what_is_no_address_says_how_to_write_one(address: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        split_address(address)
    assert caught.value.code == "AddressInvalid"
    assert "HOST:PORT" in caught.value.hint


def test_loopback_is_known_by_name() -> None:
    assert all(map(is_loopback, ["127.0.0.1", "127.9.9.9", "::1", "localhost", "LOCALHOST"]))
    assert not any(map(is_loopback, ["10.0.0.1", "broker.example.cn", "localhost.example.cn"]))


def test_a_request_cannot_choose_what_it_gets(authority: Authority) -> None:
    key = generate_key()
    wish = Principal(FEDERATION, Role.ADMIN, "chen")
    pem = authority.sign(
        read_request(make_request(key, wish)), site_principal(FEDERATION, "zhengzhou"), NOW
    )
    assert read_certificate(pem).principal == site_principal(FEDERATION, "zhengzhou")
    assert b"chen" not in ssl.PEM_cert_to_DER_cert(pem.decode())
    signed = x509.load_pem_x509_certificate(pem)
    assert signed.public_key() == load_key(key).public_key()
    signed.verify_directly_issued_by(authority.certificate)


@pytest.mark.parametrize("principal", PRINCIPALS.values(), ids=lambda found: found.role.value)
def test_what_stands_in_a_certificate(authority: Authority, principal: Principal) -> None:
    broker = principal.role is Role.BROKER
    hosts = ("broker.example.cn", "127.0.0.1", "2001:db8::1") if broker else ()
    pem = sign(authority, principal, hosts=hosts)
    signed = x509.load_pem_x509_certificate(pem)
    purposes = signed.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    expected = ExtendedKeyUsageOID.SERVER_AUTH if broker else ExtendedKeyUsageOID.CLIENT_AUTH
    assert list(purposes) == [expected]
    constraints = signed.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical and not constraints.value.ca
    read = read_certificate(pem)
    assert read.principal == principal
    assert read.hosts == hosts
    assert read.not_before == NOW - SKEW_SECONDS
    assert read.not_after == NOW + (90 if broker else 30) * DAY_SECONDS


def test_what_the_authority_refuses(authority: Authority) -> None:
    site = site_principal(FEDERATION, "zhengzhou")
    with pytest.raises(IssueRefused, match="not of the federation"):
        sign(authority, site_principal("elsewhere", "zhengzhou"))
    with pytest.raises(IssueRefused, match="addresses"):
        sign(authority, site, hosts=("127.0.0.1",))
    with pytest.raises(IssueRefused, match="addresses"):
        sign(authority, Principal(FEDERATION, Role.BROKER, "one"))
    with pytest.raises(IssueRefused, match="lifetime"):
        sign(authority, site, lifetime_seconds=0.0)
    expired = Authority.create(FEDERATION, NOW - 2 * DAY_SECONDS, lifetime_seconds=DAY_SECONDS)
    with pytest.raises(IssueRefused, match="expired"):
        sign(expired, site)


def test_no_certificate_outlives_its_authority() -> None:
    short = Authority.create(FEDERATION, NOW, lifetime_seconds=DAY_SECONDS)
    assert read_certificate(sign(short, site_principal(FEDERATION, "a"))).not_after == (
        NOW + DAY_SECONDS
    )


def test_the_authority_is_kept_as_two_texts(authority: Authority) -> None:
    loaded = Authority.load(authority.certificate_pem, authority.key_pem)
    assert loaded.federation == FEDERATION
    assert loaded.fingerprint == authority.fingerprint
    with pytest.raises(ValueError, match="does not belong"):
        Authority.load(authority.certificate_pem, generate_key())


def test_two_certificates_never_share_a_serial(authority: Authority) -> None:
    site = site_principal(FEDERATION, "zhengzhou")
    serials = {read_certificate(sign(authority, site)).serial for _ in range(50)}
    assert len(serials) == 50


def request_with(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "zhengzhou")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def test_requests_for_other_keys_are_refused() -> None:
    # TLS 1.2 is shut out by there being elliptic-curve keys only.
    with pytest.raises(RequestInvalid, match="P-256"):
        read_request(request_with(rsa.generate_private_key(65_537, 2048)))
    with pytest.raises(RequestInvalid, match="P-256"):
        read_request(request_with(ec.generate_private_key(ec.SECP384R1())))


def test_requests_without_proof_are_refused() -> None:
    der = bytearray(
        ssl.PEM_cert_to_DER_cert(
            request_with(ec.generate_private_key(ec.SECP256R1()))
            .decode()
            .replace("CERTIFICATE REQUEST", "CERTIFICATE")
        )
    )
    der[-1] ^= 1
    forged = x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(RequestInvalid, match="not signed"):
        read_request(forged)


@pytest.mark.parametrize("text", [b"", b"request", b"-" * 20_000])
def test_what_is_no_request_is_refused(text: bytes) -> None:
    with pytest.raises(RequestInvalid):
        read_request(text)


@settings(max_examples=25, deadline=None)
@given(
    serial=st.integers(1, 2**159 - 1),
    begin_seconds=st.integers(0, 4_000_000_000),
    days=st.integers(1, 36_500),
    hosts=st.lists(st.sampled_from(["a.example", "b.example", "c.example"]), unique=True),
    filler=st.integers(0, 40),
)
def test_certificates_read_as_the_cryptography_package_reads_them(
    serial: int, begin_seconds: int, days: int, hosts: list[str], filler: int
) -> None:
    begin = datetime.fromtimestamp(begin_seconds, UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x" * (1 + filler))])
    names = [x509.DNSName(host) for host in hosts]
    uri = x509.UniformResourceIdentifier("spiffe://f/admin/chen")
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), serial)
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([uri, *names]), critical=filler % 2 == 0)
        .sign(key, hashes.SHA256())
    )
    read = read_certificate(signed.public_bytes(serialization.Encoding.PEM))
    assert read.serial == signed.serial_number
    assert read.not_before == signed.not_valid_before_utc.timestamp()
    assert read.not_after == signed.not_valid_after_utc.timestamp()
    assert read.hosts == tuple(hosts)
    assert read.principal == Principal("f", Role.ADMIN, "chen")
    assert read.fingerprint == fingerprint(signed.public_bytes(serialization.Encoding.DER))
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert read.key_fingerprint == fingerprint(public)


@given(st.binary(max_size=300), st.integers(0, 10_000))
def test_no_bytes_break_the_reading_of_certificates(noise: bytes, seed: int) -> None:
    der = bytearray(ssl.PEM_cert_to_DER_cert(SAMPLE.decode()))
    start = seed % len(der)
    der[start : start + len(noise)] = noise
    for damaged in (noise, bytes(der), bytes(der[:start])):
        try:
            read_certificate(ssl.DER_cert_to_PEM_cert(damaged).encode())
        except CertificateMalformed:
            continue


@pytest.mark.parametrize("text", [b"", b"cert", b"-----BEGIN CERTIFICATE-----", b"A" * 20_000])
def test_what_is_no_certificate_is_refused(text: bytes) -> None:
    with pytest.raises(CertificateMalformed):
        read_certificate(text)


def test_renewal_is_due_in_the_last_half_and_spread() -> None:
    read = read_certificate(SAMPLE)
    life = read.not_after - read.not_before
    assert read.renewal_due_at(0.0) == pytest.approx(read.not_before + life * 2 / 3)
    assert read.not_before + life / 2 < read.renewal_due_at(1.0) < read.renewal_due_at(0.0)


SAMPLE = sign(Authority.create(FEDERATION, NOW), site_principal(FEDERATION, "zhengzhou"))
