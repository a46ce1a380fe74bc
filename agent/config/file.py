"""agent.yaml: what a site's operator declares, read whole and checked whole.

`load_config` gives frozen values or raises with every problem of the file at once, each
with its line. The table of keys stands in `agent.config.fields`. Knows files and the
catalogue of accelerators; opens no connection and looks at no card.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, tzinfo
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from agent.backends.account import Accounts
from agent.backends.container import Containers
from agent.config.fields import AGENT_FILE, PoolDraft
from agent.config.ranktables import RankTableConfig
from agent.inventory import DeclaredNode, DeclaredPool
from agent.kubernetes.config import KubernetesConfig
from agent.policy import PoolPolicy
from agent.probes.reading import ExporterProbe
from agent.ray.config import RayConfig
from agent.slurm.config import SlurmConfig
from suan.catalogue import Catalogue
from suan.errors import InvalidRequest, InvalidSpec, Problem
from suan.jobspec.limits import Fault, quoted
from suan.jobspec.reader import Reader

FILE_BYTES_MAX = 1024 * 1024
NODE_ADDRESS = "127.0.0.1"
SAMPLE = "deploy/examples holds whole ones"


@dataclass(frozen=True, slots=True)
class _KnownCluster:
    """What is said of a cluster manager that tells its own pools, when the file is wrong."""

    least: str  # that its section holds
    pools: str  # what they are
    instead: str  # of declaring them


# By the name of the backend and of its section.
CLUSTERS: Mapping[str, _KnownCluster] = MappingProxyType(
    {
        "slurm": _KnownCluster(
            "at least slurm: {shared_dir: <a directory that all nodes see>}",
            "Slurm's partitions are the pools",
            "drop pools; say under slurm.partitions which are offered, and how",
        ),
        "ray": _KnownCluster(
            "at least ray: {shared_dir: <a directory that head and nodes see>}",
            "Ray's nodes are the pools",
            "drop pools; say under ray.pools which are offered, and how",
        ),
        "kubernetes": _KnownCluster(
            "at least kubernetes: {shared_dir: <a volume that pods mount>, image: <of jobs>}",
            "the cluster's nodes are the pools",
            "drop pools; say under kubernetes.pools which are offered, and how",
        ),
    }
)


@dataclass(frozen=True, slots=True)
class ProbedPool:
    """A pool, and the tool that tells the state of its cards; "": none does."""

    declared: DeclaredPool
    probe: str = ""


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """One site, as its operator declares it. Paths are absolute."""

    site: str
    broker: str  # host:port; of several brokers, all with commas
    city: str  # the site's node in the national network
    state_dir: Path
    identity_dir: Path  # key and certificates
    pools: tuple[ProbedPool, ...]
    backend: str = "process"  # or "slurm", "ray", "kubernetes", "noop"
    slurm: SlurmConfig | None = None  # with that backend; its partitions are the pools
    ray: RayConfig | None = None  # with that backend; its nodes are the pools
    kubernetes: KubernetesConfig | None = None  # with that backend; its nodes are the pools
    region: str = ""
    node_address: str = NODE_ADDRESS
    grace_seconds: float = 30.0  # between SIGTERM and SIGKILL, where a job names none
    time_limit_seconds_max: float = 0.0  # 0: none
    time_zone: tzinfo = UTC  # of the pools' windows
    probe_seconds: float = 30.0  # between two readings of the cards
    internet: str = ""  # what the nodes reach: "none" or "outbound"; "": not stated
    exec: str = "denied"  # or "allowed": commands of the users beside their own jobs
    pue: float = 1.3
    grid_kg_per_kwh: float = 0.5703
    failures_per_card_day: float = 0.0
    restart_seconds: float = 120.0
    checkpoint_gb_per_second: float = 0.0  # that one gang can write; 0: not stated
    egress_yuan_per_gb: float = 0.0  # asked for bytes that leave the site
    tenants_allowed: tuple[str, ...] = ()  # empty: all
    tenants_denied: tuple[str, ...] = ()
    accounts: Accounts = field(default_factory=Accounts)  # under which local users jobs run
    containers: Containers | None = None  # in which images jobs may run; None: in none
    data_roots: tuple[Path, ...] = ()  # whose datasets jobs may read
    data_gib_max: float = 100.0  # of downloaded inputs that are kept
    data_hosts: tuple[str, ...] = ()  # with private addresses, that inputs may come from
    data_s3_endpoint: str = ""  # where s3://bucket/key is read; "": nowhere
    data_s3_region: str = ""  # "": the store has none
    data_s3_credentials: Path | None = None  # of the site's account there
    data_sftp_user: str = ""  # with which sftp://host/path is read; "": nothing is
    data_sftp_key: Path | None = None
    data_sftp_known_hosts: Path | None = None  # the servers that may be asked
    store: str = ""  # where outputs and checkpoints are published; "": they stay at the site
    store_destinations: tuple[str, ...] = ()  # beginnings of URLs that jobs may publish to
    environment: Mapping[str, str] = field(default_factory=dict)  # for every job of this site
    names: Mapping[str, str] = field(default_factory=dict)  # what tools print -> canonical model
    ranktable: RankTableConfig | None = None  # of Ascend nodes; None: none is written

    @property
    def tenants_admitted(self) -> tuple[str, ...]:
        """Whose jobs can run here: those that are allowed and have an account; empty: all."""
        allowed, mapped = self.tenants_allowed, self.accounts.tenants
        if allowed and mapped:
            return tuple(tenant for tenant in allowed if tenant in mapped)
        return allowed or mapped

    @property
    def shown_containers(self) -> Containers | None:
        """With the data of the site, to which links lead, where jobs in images see it."""
        if self.containers is None:
            return None
        outside = [root for root in self.data_roots if not root.is_relative_to(self.runs_dir)]
        return replace(self.containers, binds=(*self.containers.binds, *map(str, outside)))

    @property
    def runs_images(self) -> bool:
        """Whether jobs may run in images that they name."""
        images = self.kubernetes.images_allowed if self.kubernetes else ()
        return self.containers is not None or bool(images)

    @property
    def rules(self) -> tuple[str, ...]:
        """What a job must know of this site, one line each."""
        offline = ("no internet on the nodes",) if self.internet == "none" else ()
        commands = ("commands beside jobs (suan exec)",) if self.exec_allowed else ()
        images = ("container images",) if self.runs_images else ()
        return (*offline, *commands, *images)

    @property
    def exec_allowed(self) -> bool:
        return self.exec == "allowed"

    @property
    def job_environment(self) -> Mapping[str, str]:
        """What the site sets for every job."""
        offline = {"HF_HUB_OFFLINE": "1"} if self.internet == "none" else {}
        published = {"SUAN_CHECKPOINT_COMMITS": "1"} if self.store else {}
        return {**offline, **self.environment, **published}

    @property
    def runs_dir(self) -> Path:
        """Where runs and their data are: beside the journal, or where all nodes see them."""
        shared = self.slurm or self.ray or self.kubernetes
        return Path(shared.shared_dir) if shared else self.state_dir

    @property
    def policies(self) -> Mapping[str, PoolPolicy]:
        """By pool, where the file names any: what the federation may hold of it, and when."""
        found = {pool.declared.name: pool.declared.policy for pool in self.pools}
        if self.slurm:
            found.update((o.pool or o.partition, o.policy) for o in self.slurm.partitions)
        if self.ray:
            found.update((o.pool or o.resource, o.policy) for o in self.ray.pools)
        if self.kubernetes:
            found.update((o.name, o.policy) for o in self.kubernetes.pools)
        return found

    @property
    def declared_pools(self) -> tuple[DeclaredPool, ...]:
        return tuple(pool.declared for pool in self.pools)


def load_config(path: Path, catalogue: Catalogue) -> AgentConfig:
    """The configuration in `path`; relative paths in it start at its directory.

    Raises InvalidSpec (ConfigInvalid) with all problems, InvalidRequest (ConfigUnreadable)
    without a file.
    """
    path = path.absolute()
    try:
        data = path.read_bytes()
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        hint = "name the file with --config; deploy/ has samples"
        raise InvalidRequest(message, hint, "ConfigUnreadable") from error
    try:
        return _read(data, path.parent, catalogue)
    except InvalidSpec as error:
        message = f"{path} cannot be used: {error.message}"
        raise InvalidSpec(message, SAMPLE, "ConfigInvalid", error.problems) from None


def _read(data: bytes, base: Path, catalogue: Catalogue) -> AgentConfig:
    reader = Reader(catalogue, {})
    values = AGENT_FILE.read(_parse(data), "", reader)
    if values is None or reader.problems:
        raise InvalidSpec(problems=reader.problems)
    _check_backend(values, reader)
    pools = _pools(values.pop("pools", ()), values.get("node_address", NODE_ADDRESS), reader)
    if reader.problems:
        raise InvalidSpec(problems=reader.problems)
    return _config(values, pools, base)


def _parse(data: bytes) -> yaml.Node:
    if len(data) > FILE_BYTES_MAX:
        raise _unreadable("FileTooLarge", 0, f"it has more than {FILE_BYTES_MAX:,} bytes")
    try:
        root = yaml.compose(data.decode("utf-8-sig"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise _unreadable("NotUTF8", line, "it is not UTF-8 text") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        why = getattr(error, "problem", None) or str(error)
        line = mark.line + 1 if mark else 0
        raise _unreadable("BadYAML", line, f"it is not YAML: {why}") from error
    except RecursionError as error:
        raise _unreadable("TooDeep", 0, "its lists and maps go too deep") from error
    if root is None:
        raise _unreadable("EmptyFile", 0, "it is empty")
    return root


def _unreadable(code: str, line: int, message: str) -> InvalidSpec:
    return InvalidSpec(problems=(Problem(code, line, 0, "", message),))


def _config(values: dict[str, Any], pools: tuple[ProbedPool, ...], base: Path) -> AgentConfig:
    """What the file states goes in; where it is silent the defaults stand."""
    state_dir = base / values.pop("state_dir")
    identity_dir = values.pop("identity_dir", "")
    tenants = values.pop("tenants", {})
    brokers = values.pop("broker")
    data_roots = tuple(base / root for root in values.pop("data_roots", ()))
    store = values.pop("store", "")
    credentials = values.pop("data_s3_credentials", "")
    sftp_key = values.pop("data_sftp_key", "")
    known_hosts = values.pop("data_sftp_known_hosts", "")
    containers: Containers | None = values.pop("containers", None)
    slurm: SlurmConfig | None = values.pop("slurm", None)
    ray: RayConfig | None = values.pop("ray", None)
    cluster: KubernetesConfig | None = values.pop("kubernetes", None)
    return AgentConfig(
        pools=pools,
        broker=brokers if isinstance(brokers, str) else ",".join(brokers),
        state_dir=state_dir,
        identity_dir=base / identity_dir if identity_dir else state_dir / "identity",
        city=values.pop("city", values["site"]),
        data_roots=data_roots,
        store=store if "://" in store or not store else str(base / store),
        data_s3_credentials=base / credentials if credentials else None,
        data_sftp_key=base / sftp_key if sftp_key else None,
        data_sftp_known_hosts=base / known_hosts if known_hosts else None,
        slurm=replace(slurm, shared_dir=str(base / slurm.shared_dir)) if slurm else None,
        ray=ray.below(base) if ray else None,
        kubernetes=cluster.below(base) if cluster else None,
        containers=(
            replace(containers, image_dir=str(base / containers.image_dir)) if containers else None
        ),
        tenants_allowed=tenants.get("allowed", ()),
        tenants_denied=tenants.get("denied", ()),
        accounts=Accounts(MappingProxyType(dict(values.pop("accounts", ())))),
        environment=MappingProxyType(dict(values.pop("environment", ()))),
        names=MappingProxyType({raw: model.model for raw, model in values.pop("names", ())}),
        **values,
    )


def _check_backend(values: Mapping[str, Any], reader: Reader) -> None:
    """Pools are declared, or they are what the cluster manager says."""
    backend = values.get("backend", "")
    for name in CLUSTERS.keys() & values.keys() - {backend}:
        reader.report(name, Fault("WrongKey", "means nothing here", f"add `backend: {name}`"))
    known = CLUSTERS.get(backend)
    if known is not None and backend not in values:
        message = f"is required with backend {backend}"
        reader.report(backend, Fault("MissingKey", message, known.least))
    if known is not None and "pools" in values:
        reader.report("pools", Fault("WrongKey", known.pools, known.instead))
    if "containers" in values and backend in _NO_CONTAINERS:
        why, instead = _NO_CONTAINERS[backend]
        fault = Fault("WrongKey", f"means nothing with backend {backend}: {why}", instead)
        reader.report("containers", fault)
    if "ranktable" in values and backend == "kubernetes":
        fault = Fault("WrongKey", "is what the device plugin says", "use kubernetes.ranktable")
        reader.report("ranktable", fault)
    if "accounts" in values:
        _check_accounts(values, backend, reader)
    if known is None and "pools" not in values:
        reader.report("pools", Fault("MissingKey", "is required", "the site's accelerators"))


# Where jobs cannot be given to other users of the machine: why, and what there is instead.
_NO_ACCOUNTS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "ray": ("Ray runs every job as the user who started it", "give each tenant a Ray"),
        "kubernetes": ("pods are not users of the machine", "use kubernetes.tenants"),
        "noop": ("nothing is run", "drop accounts"),
    }
)

# Where no runtime of ours starts a job's processes.
_NO_CONTAINERS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "ray": ("its nodes are what Ray was started in", "start Ray in an image of your choice"),
        "kubernetes": ("pods are in images already", "use kubernetes.images_allowed"),
        "noop": ("nothing is run", "drop containers"),
    }
)


def _check_accounts(values: Mapping[str, Any], backend: str, reader: Reader) -> None:
    if backend in _NO_ACCOUNTS:
        why, instead = _NO_ACCOUNTS[backend]
        fault = Fault("WrongKey", f"means nothing with backend {backend}: {why}", instead)
        reader.report("accounts", fault)
    allowed = values.get("tenants", {}).get("allowed", ())
    mapped = Accounts(dict(values["accounts"])).tenants
    if allowed and mapped and not set(allowed) & set(mapped):
        message = "gives an account to no tenant that tenants.allow names"
        reader.report("accounts", Fault("WrongKey", message, "add them, or '*'"))


def _pools(drafts: Sequence[PoolDraft], address: str, reader: Reader) -> tuple[ProbedPool, ...]:
    """The pools as declared; a name that stands twice goes to the reader."""
    seen: set[str] = set()
    for index, draft in enumerate(drafts):
        if draft.name in seen:
            fault = Fault("DuplicateName", f"{quoted(draft.name)} is the name of another pool too")
            reader.report(f"pools[{index}].name", fault)
        seen.add(draft.name)
    return tuple(
        ProbedPool(_declared(draft, address), draft.probe if isinstance(draft.probe, str) else "")
        for draft in drafts
    )


def _declared(draft: PoolDraft, address: str) -> DeclaredPool:
    model = draft.accelerator
    per_supernode = draft.supernode_nodes or max(1, model.supernode_cards // draft.cards_per_node)
    nodes = (
        DeclaredNode(name, address, f"{draft.name}-s{number // per_supernode}")
        for number, name in enumerate(draft.node_names)
    )
    return DeclaredPool(
        name=draft.name,
        accelerator=model.model,
        kind=model.kind,
        nodes=tuple(nodes),
        cards_per_node=draft.cards_per_node,
        dies_per_card=model.dies_per_card,
        cpus_per_node=draft.cpus_per_node,
        memory_gib_per_node=draft.memory_gib_per_node,
        yuan_per_card_hour=draft.yuan_per_card_hour,
        utilisation=draft.utilisation,
        linearity=tuple(sorted(draft.linearity)),
        software=draft.software,
        policy=draft.policy,
        probe=draft.probe if isinstance(draft.probe, ExporterProbe) else None,
    )
