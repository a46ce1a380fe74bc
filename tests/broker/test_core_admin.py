"""What administrators do: tokens and approvals, draining and removing, all in the audit log."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest
from support_core import Desk, running, spec_of, with_limits

from broker.core.lifecycle import JobState
from broker.core.messages import (
    Approve,
    CreateToken,
    Done,
    Goodbye,
    Join,
    Joined,
    PutRow,
    Refusal,
    Removed,
    RemoveSite,
    SetDrain,
)
from broker.core.rows import Audit, Dataset, JoinToken, NetworkMap, Replica, Tenant
from scheduler.model import Link, NetworkNode, SiteState

HOUR = 3_600.0


def token(desk: Desk, site: str = "east", name: str = "t1") -> JoinToken:
    made = JoinToken(name, f"hash-{name}", site, desk.wall + 600.0, "admin")
    assert desk.ask(CreateToken(made, "admin")) == Done()
    return made


def join(desk: Desk, made: JoinToken, key: str = "k1", **more: object) -> Joined | str:
    """What the site is answered: the code when it is a refusal."""
    event = Join(made.site, made.id, made.secret_sha256, key, b"csr", f"print-{key}")
    reply = desk.ask(replace(event, **more))  # type: ignore[arg-type]
    return reply.code if isinstance(reply, Refusal) else reply


def approve(desk: Desk, site: str = "east", key: str = "k1") -> object:
    return desk.ask(Approve(site, f"print-{key}", b"certificate", "admin"))


def code(reply: object) -> str:
    return reply.code if isinstance(reply, Refusal) else ""


# --- joining ----------------------------------------------------------------------


def test_a_site_joins_with_a_token_and_an_approval() -> None:
    desk = Desk()
    made = token(desk)
    assert join(desk, made) == Joined("print-k1")
    assert "east" not in desk.state.sites
    assert approve(desk) == Done()
    assert desk.state.sites["east"].certificate_fingerprint == "print-k1"
    assert join(desk, made) == Joined("print-k1", b"certificate")
    assert desk.hello("east") is not None


@pytest.mark.parametrize(
    ("case", "refusal"),
    [
        ({"token_id": "other"}, "TokenUnknown"),
        ({"secret_sha256": "guess"}, "TokenUnknown"),
        ({"token_id": "", "secret_sha256": ""}, "TokenUnknown"),
        ({"site": "west"}, "TokenWrongSite"),
    ],
)
def test_a_wrong_token_opens_nothing(case: dict[str, str], refusal: str) -> None:
    desk = Desk()
    made = token(desk)
    rows = dict(desk.store.rows)
    assert join(desk, made, **case) == refusal
    assert desk.store.rows == rows, "a stranger's knocking is not even written down"


def test_a_token_is_used_once() -> None:
    desk = Desk()
    made = token(desk)
    join(desk, made)
    assert join(desk, made, key="k2") == "TokenUsed"
    assert join(desk, made) == Joined("print-k1"), "the same key may ask again"


def test_a_token_expires_unless_it_was_used_in_time() -> None:
    desk = Desk()
    late, early = token(desk, "east", "t1"), token(desk, "west", "t2")
    join(desk, early, key="w")
    desk.advance(601.0)
    assert join(desk, late) == "TokenExpired"
    assert join(desk, early, key="w") == Joined("print-w")


def test_a_slow_approval_is_still_handed_over() -> None:
    """The token's time was for its first use; others that are made meanwhile change nothing."""
    desk = Desk()
    made = token(desk)
    join(desk, made)
    desk.advance(24 * HOUR)
    token(desk, "west", "t2")
    approve(desk)
    assert join(desk, made) == Joined("print-k1", b"certificate")


def test_a_newer_request_of_the_same_site_takes_the_older_one_s_place() -> None:
    desk = Desk()
    first, second = token(desk, name="t1"), token(desk, name="t2")
    join(desk, first, key="k1")
    join(desk, second, key="k2")
    assert join(desk, first, key="k1") == "TokenUsed"
    assert code(approve(desk, key="k1")) == "FingerprintDiffers"
    assert approve(desk, key="k2") == Done()


def test_approving_what_nobody_asked_for() -> None:
    assert code(approve(Desk())) == "NothingPending"


def test_open_tokens_are_bounded_and_make_room_when_they_are_over() -> None:
    desk = Desk(limits=with_limits(tokens_max=2))
    token(desk, name="t1")
    token(desk, name="t2")
    third = JoinToken("t3", "hash", "east", desk.wall + 600.0)
    assert code(desk.ask(CreateToken(third, "admin"))) == "TooManyTokens"
    desk.advance(601.0)
    assert desk.ask(CreateToken(replace(third, expires_at=desk.wall + 600.0), "admin")) == Done()


def test_sites_are_bounded() -> None:
    desk = Desk("east", limits=with_limits(sites_max=1))
    made = token(desk, "west")
    join(desk, made)
    assert code(approve(desk, "west")) == "TooManySites"


def test_joining_survives_a_restart() -> None:
    desk = Desk()
    made = token(desk)
    join(desk, made)
    desk.restart()
    assert join(desk, made) == Joined("print-k1")
    approve(desk)
    desk.restart()
    assert join(desk, made) == Joined("print-k1", b"certificate")


# --- draining and removing ----------------------------------------------------------


def test_a_draining_site_finishes_what_it_has_and_takes_nothing_new() -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.run("a", "east")
    desk.submit("b")
    assert desk.ask(SetDrain("east", True, "new switches", "admin")) == Done()
    assert desk.place(desk.offer("b", "east")) == []
    assert desk.core.memory.presence["east"].state(True) is SiteState.DRAINING
    desk.succeeded("east", "a")
    assert desk.job("a").state is JobState.SUCCEEDED
    assert desk.ask(SetDrain("east", True, "new switches", "admin")) == Done(changed=False)
    assert desk.ask(SetDrain("east", False, "", "admin")) == Done()
    assert len(desk.place(desk.offer("b", "east"))) == 1
    assert code(desk.ask(SetDrain("atlantis", True, "", "admin"))) == "SiteNotFound"


def test_draining_survives_a_restart() -> None:
    desk = Desk("east")
    desk.ask(SetDrain("east", True, "new switches", "admin"))
    desk.restart()
    desk.hello("east")
    desk.submit("a")
    assert desk.place(desk.offer("a", "east")) == []
    assert desk.state.sites["east"].reason == "new switches"


def test_an_idle_site_is_removed() -> None:
    desk = Desk("east")
    desk.hello("east")
    assert desk.ask(RemoveSite("east", False, "admin")) == Removed(())
    assert [message.code for message in desk.sent(Goodbye)] == ["SiteRemoved"]
    assert desk.hello("east", "s2") is None
    assert code(desk.ask(RemoveSite("east", False, "admin"))) == "SiteNotFound"
    desk.restart()
    assert "east" not in desk.state.sites


def test_a_busy_site_is_removed_only_on_the_word_that_its_jobs_are_given_up() -> None:
    desk = Desk("east", "west")
    desk.hello("east")
    desk.hello("west")
    desk.run("a", "east", spec_of(retry_max=5))
    desk.run("b", "east")
    desk.cancel("b")
    refusal = desk.ask(RemoveSite("east", False, "admin"))
    assert code(refusal) == "SiteBusy"
    assert "--orphan" in refusal.hint
    assert desk.ask(RemoveSite("east", True, "admin")) == Removed(("a", "b"))
    job = desk.job("a")
    assert (job.state, desk.job("b").state) == (JobState.FAILED, JobState.CANCELLED)
    assert job.failure is not None
    assert (job.failure.category, job.failure.code) == ("site", "SiteRemoved")
    assert desk.place(desk.offer("a", "west")) == [], "it may still run at east"


def test_a_site_that_joins_again_under_its_name_is_told_to_stop_what_was_given_up() -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.run("a", "east")
    desk.ask(RemoveSite("east", True, "admin"))
    desk.register("east")
    verdicts = desk.hello("east", "s2", held=(running("a"),))
    assert verdicts is not None
    assert verdicts.stop == (("a", 1),)


# --- rows -----------------------------------------------------------------------------


def test_rows_are_written_when_they_differ() -> None:
    desk = Desk()
    nodes = (NetworkNode("Shenzhen"), NetworkNode("Guiyang"))
    rows = (
        Tenant("lab", weight=2.0),
        Dataset("speech", 10**12, (Replica("east", "/data/speech"),)),
        NetworkMap(nodes, (Link("Shenzhen", "Guiyang", 100.0, 6.0),), ("assumed",)),
    )
    for row in rows:
        assert desk.ask(PutRow(row, "admin")) == Done()
        assert desk.ask(PutRow(row, "admin")) == Done(changed=False)
    desk.restart()
    state = desk.state
    assert (state.tenants["lab"], state.datasets["speech"], state.network) == rows


def test_datasets_are_bounded_and_known_ones_may_change() -> None:
    desk = Desk(limits=with_limits(datasets_max=1))
    speech = Dataset("speech", 1)
    assert desk.ask(PutRow(speech, "admin")) == Done()
    assert code(desk.ask(PutRow(Dataset("text", 1), "admin"))) == "TooManyDatasets"
    assert desk.ask(PutRow(replace(speech, size_bytes=2), "admin")) == Done()


# --- the audit log ------------------------------------------------------------------


def broken_links(entries: list[Audit]) -> list[int]:
    """The numbers of the entries that do not follow from the one before."""
    broken, before = [], ""
    for number, entry in enumerate(entries, start=1):
        said = (entry.actor, entry.action, entry.object, entry.detail)
        text = "\x1f".join((before, str(number), repr(entry.at), *said))
        if entry.hash != sha256(text.encode()).hexdigest() or entry.seq != number:
            broken.append(number)
        before = entry.hash
    return broken


def audited() -> Desk:
    desk = Desk("east")
    desk.hello("east")
    desk.submit("a", "b")
    desk.place(desk.offer("a", "east"), desk.offer("b", "east"))
    desk.ask(SetDrain("east", True, "", "admin"))
    desk.restart()
    desk.ask(SetDrain("east", False, "", "admin"))
    desk.ask(PutRow(Tenant("lab"), "admin"))
    desk.ask(RemoveSite("east", True, "admin"))
    return desk


def stored_audit(desk: Desk) -> list[Audit]:
    return [put.row for put in desk.store.load("audit/") if isinstance(put.row, Audit)]


def test_every_act_and_every_dispatch_is_in_the_audit_log() -> None:
    desk = audited()
    entries = stored_audit(desk)
    assert [entry.action for entry in entries] == [
        "token.create",
        "join.request",
        "site.approve",
        "dispatch",
        "site.drain",
        "site.resume",
        "tenant.put",
        "site.remove",
    ]
    listed = sha256(b"a/1\nb/1").hexdigest()[:32]
    assert entries[3].detail == f"2 attempts from a/1 sha256:{listed}"
    assert broken_links(entries) == []
    assert desk.state.audit_seq == 8


@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize("field", ["at", "actor", "action", "object", "detail", "hash"])
def test_an_edited_audit_log_shows_it(number: int, field: str) -> None:
    entries = stored_audit(audited())
    value = getattr(entries[number], field)
    edited = value + 1.0 if isinstance(value, float) else value + "x"
    entries[number] = replace(entries[number], **{field: edited})
    assert number + 1 in broken_links(entries)


def test_a_shortened_or_reordered_audit_log_shows_it() -> None:
    entries = stored_audit(audited())
    for number in range(len(entries) - 1):
        assert broken_links(entries[:number] + entries[number + 1 :])
        swapped = [*entries]
        swapped[number], swapped[number + 1] = swapped[number + 1], swapped[number]
        assert broken_links(swapped)


def test_a_second_use_of_a_token_is_written_down() -> None:
    desk = Desk()
    made = token(desk)
    join(desk, made)
    join(desk, made, key="k2")
    assert [entry.action for entry in stored_audit(desk)][-1] == "join.refused"
