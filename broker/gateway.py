"""A gateway: the gRPC servers in front of a leader's port.

It keeps streams and nothing of truth; any number of gateways may serve one leader. While
nobody leads behind it, it stands by: its ports answer NotLeader to every call, and health
says that the process is well ("") but no service is served.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from broker.admission import Bucket
from broker.config import Config
from broker.hung_up import tell_shortly
from broker.leader import Port
from broker.seat import Seat
from broker.services.admin import Admin
from broker.services.agents import Agents
from broker.services.auth import Gate, JoinGate
from broker.services.jobs import Jobs
from broker.services.lead import LeadGate
from broker.services.transport import (
    JOIN_OPTIONS,
    SERVER_OPTIONS,
    join_server_credentials,
    load_broker_identity,
    require_tls_floor,
    server_credentials,
)
from broker.sessions import Sessions
from suan.errors import InvalidRequest
from suan.identity.address import is_loopback
from suan.identity.issue import load_authority
from suan.v1 import (
    admin_service_pb2,
    admin_service_pb2_grpc,
    agents_service_pb2,
    agents_service_pb2_grpc,
    jobs_service_pb2,
    jobs_service_pb2_grpc,
)

log = logging.getLogger(__name__)

STOP_SECONDS = 2.0
SERVICES = tuple(
    module.DESCRIPTOR.services_by_name[name].full_name
    for module, name in (
        (jobs_service_pb2, "Jobs"),
        (agents_service_pb2, "Agents"),
        (admin_service_pb2, "Admin"),
    )
)


@dataclass(frozen=True, slots=True)
class Listen:
    """Where a gateway serves; port 0 is chosen by the system. `health` is plaintext: loopback."""

    main: str
    join: str
    health: str = ""


class Gateway:
    """One gateway. `start` says where it serves; it stands by until `lead`."""

    def __init__(self, name: str, config: Config) -> None:
        self.name = name
        self.sessions = Sessions()
        self._identity = config.identity
        self._authority = load_authority(config.ca)
        self._admission = Bucket(config.hellos_per_second, config.hellos_burst)
        self._seat = Seat()
        self._lead_gate = LeadGate()
        self._servers: list[grpc.aio.Server] = []
        self._options = SERVER_OPTIONS
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]  # stubs lack aio

    async def lead(self, leader: Port) -> None:
        """Serve what `leader` says from now on."""
        self._seat.take(leader)
        self._lead_gate.open()
        await self._say(health_pb2.HealthCheckResponse.SERVING)

    async def stand_by(self) -> None:
        """End all streams and calls at once, and refuse new ones."""
        self._seat.leave()
        self._lead_gate.close()
        self.sessions.close_all()
        await self._say(health_pb2.HealthCheckResponse.NOT_SERVING)

    async def _say(self, status: health_pb2.HealthCheckResponse.ServingStatus.ValueType) -> None:
        for name in SERVICES:
            await self._health.set(name, status)

    async def start(self, listen: Listen, shared: bool = False) -> Listen:
        """Serve; returns the addresses with the ports that were taken.

        With `shared`, other gateways may take the same ports and the system spreads the
        connections. Raises InvalidRequest (AddressInUse, HealthNotLoopback) and what
        loading identities raises.
        """
        tell_shortly()
        self._options = (*SERVER_OPTIONS, ("grpc.so_reuseport", int(shared)))
        federation = load_broker_identity(self._identity).principal.federation
        gate = Gate(federation, revoked=lambda serial: False)
        agents = Agents(
            self._seat,
            self.sessions,
            self.name,
            self._authority,
            gate.require_in_force,
            self._admission,
        )
        join = await self._serve_join(listen.join, agents)
        main = await self._serve_main(listen.main, agents, gate, join)
        for address in (join, main):
            await require_tls_floor(address)
        return Listen(main, join, await self._serve_health(listen.health))

    async def stop(self) -> None:
        """End the streams and the servers."""
        await self.stand_by()
        await self._health.enter_graceful_shutdown()
        for server in self._servers:
            await server.stop(STOP_SECONDS)

    async def _serve_main(self, address: str, agents: Agents, gate: Gate, join: str) -> str:
        server = grpc.aio.server(interceptors=[gate, self._lead_gate], options=self._options)
        jobs_service_pb2_grpc.add_JobsServicer_to_server(Jobs(self._seat), server)
        agents_service_pb2_grpc.add_AgentsServicer_to_server(agents, server)
        admin_service_pb2_grpc.add_AdminServicer_to_server(
            Admin(self._seat, self._authority, join), server
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
        await self._health.set("", health_pb2.HealthCheckResponse.SERVING)
        await self._say(health_pb2.HealthCheckResponse.NOT_SERVING)
        return await self._listen(server, address, server_credentials(self._identity))

    async def _serve_join(self, address: str, agents: Agents) -> str:
        options = tuple((dict(self._options) | dict(JOIN_OPTIONS)).items())
        server = grpc.aio.server(interceptors=[JoinGate(), self._lead_gate], options=options)
        agents_service_pb2_grpc.add_AgentsServicer_to_server(agents, server)
        return await self._listen(server, address, join_server_credentials(self._identity))

    async def _serve_health(self, address: str) -> str:
        if not address:
            return ""
        if not is_loopback(address.rpartition(":")[0].strip("[]")):
            raise InvalidRequest(
                f"health without TLS is not served at {address}",
                "give it a loopback address",
                "HealthNotLoopback",
            )
        server = grpc.aio.server(options=self._options)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        return await self._listen(server, address, None)

    async def _listen(
        self, server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None
    ) -> str:
        try:
            if credentials is None:
                port = server.add_insecure_port(address)
            else:
                port = server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise InvalidRequest(
                f"cannot listen at {address}",
                "another broker may run there, or it is not this machine's; port 0 is any",
                "AddressInUse",
            ) from error
        await server.start()
        self._servers.append(server)
        return f"{address.rpartition(':')[0]}:{port}"
