"""The pure half of the site's agent: events in, records and effects out."""

from agent.supervisor.core import Supervisor as Supervisor
from agent.supervisor.digest import attempt_digest as attempt_digest
from agent.supervisor.draft import Decision as Decision
from agent.supervisor.state import State as State
