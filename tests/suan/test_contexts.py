"""Contexts: what a command line, the environment and the file say together."""

import stat
from pathlib import Path

import pytest

from suan.contexts import (
    Context,
    Contexts,
    context_path,
    delete_context,
    load_contexts,
    resolve,
    save_context,
    use_context,
)
from suan.errors import ExitCode, SuanError

DEMO = Context("demo", "127.0.0.1:7443", "/identities/demo", tenant="team-a")
CHINA = Context("china", "broker.example.cn:443", "/identities/china", project="llm")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"SUAN_CONFIG": str(tmp_path / "suan" / "config.yaml")}


@pytest.fixture
def both(environ: dict[str, str]) -> dict[str, str]:
    save_context(DEMO, environ)
    save_context(CHINA, environ)
    return environ


def code_of(call: object, *arguments: object) -> str:
    with pytest.raises(SuanError) as caught:
        call(*arguments)  # type: ignore[operator]
    assert caught.value.hint
    return caught.value.code


def test_without_a_file_there_are_no_contexts(environ: dict[str, str]) -> None:
    assert load_contexts(environ) == Contexts()
    assert code_of(resolve, None, None, environ) == "AddressMissing"
    assert code_of(resolve, None, "127.0.0.1:1", environ) == "IdentityUnnamed"


def test_the_file_lies_where_people_look_for_it() -> None:
    assert context_path({}) == Path.home() / ".config" / "suan" / "config.yaml"


def test_the_first_context_is_the_current_one(both: dict[str, str]) -> None:
    assert load_contexts(both) == Contexts("demo", {"demo": DEMO, "china": CHINA})
    assert resolve(None, None, both) == DEMO
    assert use_context("china", both) == CHINA
    assert resolve(None, None, both) == CHINA


def test_the_file_is_private(both: dict[str, str]) -> None:
    assert stat.S_IMODE(context_path(both).stat().st_mode) == 0o600


def test_a_saved_identity_is_found_from_everywhere(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    save_context(Context("near", "127.0.0.1:1", "identity"), environ)
    save_context(Context("home", "127.0.0.1:1", "~/identity"), environ)
    known = load_contexts(environ)
    assert known.get("near").identity == str(tmp_path / "identity")
    assert known.get("home").identity == str(tmp_path / "home" / "identity")


@pytest.mark.parametrize(
    ("context", "address", "variables", "expected"),
    [
        (None, None, {}, ("127.0.0.1:7443", "/identities/demo")),
        ("china", None, {}, ("broker.example.cn:443", "/identities/china")),
        (None, None, {"SUAN_CONTEXT": "china"}, ("broker.example.cn:443", "/identities/china")),
        ("demo", None, {"SUAN_CONTEXT": "china"}, ("127.0.0.1:7443", "/identities/demo")),
        (None, "a:1", {}, ("a:1", "/identities/demo")),
        (None, None, {"SUAN_ADDRESS": "b:2"}, ("b:2", "/identities/demo")),
        (None, "a:1", {"SUAN_ADDRESS": "b:2"}, ("a:1", "/identities/demo")),
        (None, None, {"SUAN_IDENTITY": "/me"}, ("127.0.0.1:7443", "/me")),
        ("china", None, {"SUAN_ADDRESS": "b:2"}, ("broker.example.cn:443", "/identities/china")),
        ("china", None, {"SUAN_IDENTITY": "/me"}, ("broker.example.cn:443", "/identities/china")),
        ("china", "a:1", {"SUAN_ADDRESS": "b:2"}, ("a:1", "/identities/china")),
    ],
)
def test_options_before_environment_before_file(
    both: dict[str, str],
    context: str | None,
    address: str | None,
    variables: dict[str, str],
    expected: tuple[str, str],
) -> None:
    found = resolve(context, address, both | variables)
    assert (found.address, found.identity) == expected


def test_the_environment_alone_is_enough(environ: dict[str, str]) -> None:
    variables = {"SUAN_ADDRESS": "b:2", "SUAN_IDENTITY": "/me"}
    assert resolve(None, None, environ | variables) == Context("", "b:2", "/me")


def test_unknown_contexts_are_named_with_the_nearest(both: dict[str, str]) -> None:
    with pytest.raises(SuanError) as caught:
        resolve("chian", None, both)
    assert (caught.value.code, caught.value.exit_code) == ("ContextUnknown", ExitCode.NOT_FOUND)
    assert caught.value.hint == "did you mean china?"
    assert code_of(use_context, "zzz", both) == "ContextUnknown"
    assert code_of(delete_context, "zzz", both) == "ContextUnknown"


def test_a_deleted_context_is_gone_and_no_longer_current(both: dict[str, str]) -> None:
    delete_context("demo", both)
    assert load_contexts(both) == Contexts("", {"china": CHINA})
    assert code_of(resolve, None, None, both) == "AddressMissing"


def test_a_bad_address_is_not_saved(environ: dict[str, str]) -> None:
    assert code_of(save_context, Context("x", "broker", "/me"), environ) == "AddressInvalid"
    assert not context_path(environ).exists()


@pytest.mark.parametrize(
    "text",
    [
        b"[",
        b"\xff\xff",
        b"[]",
        b"users: {}",
        b"contexts: []",
        b"current: demo",
        b"current: [demo]",
        b"contexts: {demo: 1}",
        b"contexts: {demo: {address: 'a:1'}}",
        b"contexts: {demo: {address: 1, identity: /me}}",
        b"contexts: {demo: {address: 'a:1', identity: /me, password: x}}",
    ],
)
def test_a_spoilt_file_is_named_and_kept(environ: dict[str, str], text: bytes) -> None:
    path = context_path(environ)
    path.parent.mkdir()
    path.write_bytes(text)
    assert code_of(load_contexts, environ) == "ContextFileMalformed"
    assert code_of(save_context, DEMO, environ) == "ContextFileMalformed"
    assert path.read_bytes() == text


def test_several_brokers_are_one_address(environ: dict[str, str]) -> None:
    several = Context("china", "a.example.cn:443,b.example.cn:443", "/identities/china")
    save_context(several, environ)
    assert resolve(None, None, environ) == several
    text = context_path(environ).read_text()
    assert "- a.example.cn:443\n    - b.example.cn:443" in text
    assert resolve(None, "c:1, d:2", environ).address == "c:1,d:2"
    assert code_of(resolve, None, "c:1,d", environ) == "AddressInvalid"


def test_a_list_may_stand_in_the_file(environ: dict[str, str]) -> None:
    path = context_path(environ)
    path.parent.mkdir()
    path.write_text("contexts: {a: {address: [h:1, h:2], identity: /i}}\ncurrent: a\n")
    assert resolve(None, None, environ).address == "h:1,h:2"
    path.write_text("contexts: {a: {address: [], identity: /i}}\n")
    assert code_of(load_contexts, environ) == "ContextFileMalformed"
