"""N and N−1: a peer that knows the wire as it was before, with today's other side.

`previous/suan.v1.binpb` is the image of the wire before its last additions, frozen. An older
peer reads a message by it, drops what it does not know, and writes by it what it says.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from generate import PROTO
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from support_talk import Bytes, Site, Talk, as_it_is, talk

from broker.core.lifecycle import JobState
from broker.core.messages import AnnounceMaintenance

PREVIOUS = Path(__file__).parent / "previous" / "suan.v1.binpb"


def pool_of(path: Path) -> descriptor_pool.DescriptorPool:
    """The messages of an image, apart from those of today."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes()).file:
        pool.Add(file)
    return pool


OLD, NEW = pool_of(PREVIOUS), pool_of(PROTO / "suan.v1.binpb")


def message_of(pool: descriptor_pool.DescriptorPool, name: str) -> type[Message]:
    kind: type[Message] = message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
    return kind


def older(name: str) -> Bytes:
    """Only what the previous wire knows of a message."""
    kind = message_of(OLD, name)

    def read(data: bytes) -> bytes:
        message = kind.FromString(data)
        message.DiscardUnknownFields()
        return message.SerializeToString()

    return read


def older_session(name: str) -> Site:
    """A site between which and the broker only the older wire is spoken.

    Whichever of the two is older: it can neither say nor understand more.
    """
    return Site(name, older("suan.v1.AgentMessage"), older("suan.v1.BrokerMessage"))


def whole_life(federation: Talk) -> None:
    """Every kind of message of a session, both ways."""
    federation.submit("good", "bad", "gone")
    federation.place()
    assert federation.alive() == [("bad", 1), ("gone", 1), ("good", 1)]
    assert {federation.job(name).state for name in ("good", "bad", "gone")} == {JobState.RUNNING}
    federation.finish("good")
    federation.cancel("gone")
    for site in federation.sites.values():
        federation.open(site)  # Hello, with what it holds
    federation.pass_time(11.0)
    federation.pass_time(11.0)
    states = {name: federation.job(name).state for name in ("good", "bad", "gone")}
    assert states == {
        "good": JobState.SUCCEEDED,
        "bad": JobState.RUNNING,
        "gone": JobState.CANCELLED,
    }
    federation.finish("bad")
    federation.pass_time(11.0)
    assert federation.job("bad").state is JobState.SUCCEEDED
    assert all(len(job.attempts) == 1 for job in federation.state.jobs.values())
    for site in federation.sites.values():
        assert not site.supervisor.state.outbox, "every report was acknowledged"
        assert not site.supervisor.state.attempts
        assert (site.goodbyes, site.closed) == ([], [])


def test_the_wire_has_grown_since() -> None:
    """Else the tests here say nothing: freeze an older image then."""
    old = OLD.FindMessageTypeByName("suan.v1.HeartbeatReply").fields_by_name
    new = NEW.FindMessageTypeByName("suan.v1.HeartbeatReply").fields_by_name
    assert set(old) < set(new)


def test_an_older_peer_runs_jobs_with_today_s() -> None:
    whole_life(talk(older_session("east"), Site("west")))


def test_both_of_today() -> None:
    whole_life(talk(Site("east"), Site("west")))


def test_an_older_agent_is_named_before_maintenance() -> None:
    """It cannot extend its leases; the administrator sees that it did not say so."""
    federation = talk(older_session("east"), Site("west"))
    federation.submit("a", "b", cards=8)
    federation.place()
    federation.broker(AnnounceMaintenance(7_200.0, "admin"))
    for _ in range(4):
        federation.pass_time(11.0)
    presences = federation.core.memory.presence
    assert {name: each.extended for name, each in presences.items()} == {
        "east": False,
        "west": True,
    }


def test_an_older_broker_s_silence_about_versions_means_the_first() -> None:
    federation = talk(Site("east", as_it_is, older("suan.v1.BrokerMessage")))
    assert federation.sites["east"].closed == []
    assert federation.sites["east"].supervisor.heard_at is not None


# --- nothing is lost on the way through an older reader -------------------------------


def filled(kind: type[Message], depth: int = 0) -> Message:
    """A message with something in every field, down to a few levels."""
    message = kind()
    for field in message.DESCRIPTOR.fields:
        if field.containing_oneof is not None and message.WhichOneof(field.containing_oneof.name):
            continue
        fill(message, field, depth)
    return message


VALUES: dict[int, object] = {
    FieldDescriptor.CPPTYPE_STRING: "x",
    FieldDescriptor.CPPTYPE_BOOL: True,
    FieldDescriptor.CPPTYPE_ENUM: 1,
    FieldDescriptor.CPPTYPE_DOUBLE: 1.5,
    FieldDescriptor.CPPTYPE_FLOAT: 1.5,
}


def fill(message: Message, field: FieldDescriptor, depth: int) -> None:
    target = getattr(message, field.name)
    map_entry = field.message_type and field.message_type.GetOptions().map_entry
    if map_entry:
        key = field.message_type.fields_by_name["key"]
        value = field.message_type.fields_by_name["value"]
        if value.message_type is None:
            target[VALUES.get(key.cpp_type, 1)] = scalar(value)
    elif field.message_type is not None:
        if depth < 4:
            part = filled(message_factory.GetMessageClass(field.message_type), depth + 1)
            (target.add() if field.is_repeated else target).CopyFrom(part)
    elif field.is_repeated:
        target.append(scalar(field))
    else:
        setattr(message, field.name, scalar(field))


def scalar(field: FieldDescriptor) -> object:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return b"x"
    return VALUES.get(field.cpp_type, 1)


def names() -> list[str]:
    image = descriptor_pb2.FileDescriptorSet.FromString(PREVIOUS.read_bytes())
    return [f"{file.package}.{m.name}" for file in image.file for m in file.message_type]


@pytest.mark.parametrize("name", names())
def test_unknown_fields_are_kept(name: str) -> None:
    """An older reader that hands a message on hands on what it did not understand."""
    sent = filled(message_of(NEW, name))
    passed_on = message_of(OLD, name).FromString(sent.SerializeToString()).SerializeToString()
    assert message_of(NEW, name).FromString(passed_on) == sent
