"""Between the supervisor's words and the core's: what the wire does, without its bytes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from agent.backends import LeaseClass, run_name
from agent.supervisor import messages as site
from agent.supervisor.values import AttemptId, Grant, Phase, Task
from agent.supervisor.values import Failure as SiteFailure
from agent.supervisor.values import Held as SiteHeld
from agent.supervisor.values import Report as SiteReport
from broker.core import messages as broker
from broker.core.rows import Failure
from scheduler.model import Site
from simulator.faults.specs import parse_spec

URGENT_DOWN = (broker.HeartbeatReply, broker.Goodbye)
URGENT_UP = (broker.Hello, broker.Reconcile, broker.Heartbeat)


class SiteWire:
    """One agent's identity on the wire, and the specs that its session was sent."""

    def __init__(self, name: str, agent_id: str, boot_id: str, gateway: str) -> None:
        self._name = name
        self._agent_id = agent_id
        self._boot_id = boot_id
        self._gateway = gateway
        self._specs: dict[str, bytes] = {}

    def up(self, said: site.Effect) -> broker.Event:
        """What the broker hears."""
        match said:
            case site.SendHeartbeat():
                return broker.Heartbeat(
                    site=self._name,
                    session=said.session,
                    seq=said.seq,
                    digest=said.digest,
                    grant_seq_seen=said.grant_seq_seen,
                    report_seq_head=said.report_seq_head,
                    extended_seq=said.extended_seq,
                )
            case site.SendReports():
                return broker.Reports(
                    self._name,
                    said.session,
                    tuple(map(_report, said.reports)),
                    said.report_seq_tail,
                )
            case site.SendCapacity():
                return broker.Capacity(self._name, said.session, self._capacity(said))
            case site.SendReconcile():
                held = _held(said.attempts)
                return broker.Reconcile(self._name, said.session, held, said.grant_seq_seen)
            case site.SendHello():
                return self._hello(said)
        raise TypeError(type(said))

    def _hello(self, said: site.SendHello) -> broker.Hello:
        return broker.Hello(
            site=self._name,
            session=said.session,
            agent_id=self._agent_id,
            boot_id=self._boot_id,
            gateway=self._gateway,
            held=_held(said.attempts),
            facts=self._facts(said.capacity.paused),
            capacity=self._capacity(said.capacity),
            term_seen=said.term_seen,
        )

    def _facts(self, paused: bool) -> broker.SiteFacts:
        profile = Site(self._name, city=self._name)
        return broker.SiteFacts(profile, agent_version="simulated", paused=paused)

    def _capacity(self, said: site.SendCapacity) -> broker.CapacityReport:
        return broker.CapacityReport(
            said.seq, said.pools, said.reflects_grant_seq, said.full, self._facts(said.paused)
        )

    def down(self, session: str, said: broker.SiteMessage) -> tuple[site.Event, ...]:
        """What the supervisor hears; nothing for a Goodbye, which ends the stream."""
        match said:
            case broker.HeartbeatReply():
                return (_heartbeat_reply(session, said),)
            case broker.ReportAck():
                return (site.ReportsAcknowledged(session, said.report_seq),)
            case broker.Grants():
                self._specs.update(said.specs)
                taken = tuple(self._grant(grant) for grant in said.grants)
                return (site.GrantsReceived(session, said.term, taken),)
            case broker.Stops():
                return tuple(
                    site.StopReceived(session, AttemptId(job_id, epoch), reason)
                    for job_id, epoch, reason in said.stops
                )
            case broker.Verdicts():
                return (_verdicts(session, said),)
        return ()

    def _grant(self, said: broker.Grant) -> Grant:
        return Grant(
            name=run_name(said.job_id, said.epoch),
            job_id=said.job_id,
            epoch=said.epoch,
            grant_seq=said.grant_seq,
            anchor_seq=said.anchor_seq,
            pool=said.pool,
            slices=said.slices,
            lease_class=LeaseClass(said.lease_class),
            lease_seconds=said.lease_seconds,
            tenant=said.tenant,
            task=_task(said.spec_sha256, self._specs[said.spec_sha256], said.variant),
            job_name=said.name,
            preempted_count=said.preempted_count,
            array_id=said.array_id,
            array_index=said.array_index,
            data=said.data,
        )


def _heartbeat_reply(session: str, said: broker.HeartbeatReply) -> site.HeartbeatReplied:
    return site.HeartbeatReplied(
        session=session,
        seq=said.seq,
        term=said.term,
        reconcile=said.reconcile,
        stop=_ids(said.stop),
        heartbeat_seconds=said.heartbeat_seconds,
        extension_seconds=said.extension_seconds,
    )


def _verdicts(session: str, said: broker.Verdicts) -> site.VerdictsReceived:
    return site.VerdictsReceived(
        session=session,
        term=said.term,
        keep=_ids(said.keep),
        stop=_ids(said.stop),
        acknowledge=_ids(said.acknowledge),
        expect=_ids(said.expect),
        heartbeat_seconds=said.heartbeat_seconds,
        hello=said.hello,
        protocol=said.protocol,
    )


@lru_cache(maxsize=4_096)
def _task(sha256: str, data: bytes, variant: int) -> Task | SiteFailure:
    shape = parse_spec(sha256, data).demand.variants[variant]
    return Task(shape.nodes, shape.cards_per_node, run="train", model=str(shape.accelerator))


def _ids(keys: Iterable[broker.AttemptKey]) -> tuple[AttemptId, ...]:
    return tuple(AttemptId(*key) for key in keys)


def _held(attempts: Iterable[SiteHeld]) -> tuple[broker.Held, ...]:
    return tuple(
        broker.Held(
            held.id.job_id,
            held.id.epoch,
            running=held.phase is Phase.RUNNING,
            ended=held.phase is Phase.ENDED,
        )
        for held in attempts
    )


def _report(said: SiteReport) -> broker.Report:
    why = said.failure
    failure = Failure(why.category, why.code, why.message) if why is not None else None
    return broker.Report(
        said.report_seq,
        said.job_id,
        said.epoch,
        said.kind.value,
        said.at,
        said.outcome,
        said.exit_code,
        failure,
    )
