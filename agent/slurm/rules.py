"""The rules of a Slurm that jobs must keep, as the federation can use and people can read them.

Pure. Knows partitions, qualities of service and the site's configuration; nothing of pools.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agent.slurm.from_text import SlurmFrame, SlurmPartition, SlurmQos

RULES_MAX = 64  # told of a site
RULE_CHARACTERS_MAX = 200
ACCOUNTS_NAMED_MAX = 8  # in one rule


def qos_of(partition: SlurmPartition, frame: SlurmFrame) -> SlurmQos | None:
    return next((qos for qos in frame.qos if qos.name == partition.qos), None)


def time_limit_seconds(partition: SlurmPartition, frame: SlurmFrame) -> float:
    """How long a job may run there; 0: as long as it wants."""
    qos = qos_of(partition, frame)
    limits = (partition.seconds_max, qos.seconds_max if qos else None)
    return min((limit for limit in limits if limit), default=0.0)


def memory_mib_per_cpu(partition: SlurmPartition, frame: SlurmFrame) -> int:
    """The most that a job may have for each CPU; 0: no limit."""
    limits = (partition.memory_mib_per_cpu_max, frame.memory_mib_per_cpu_max)
    return min((limit for limit in limits if limit), default=0)


def refused_accounts(partition: SlurmPartition, accounts: Iterable[str]) -> tuple[str, ...]:
    """Which of these accounts of Slurm may not use the partition."""
    allowed, denied = partition.accounts_allowed, partition.accounts_denied
    return tuple(
        account for account in accounts if (allowed and account not in allowed) or account in denied
    )


def rules_of(partitions: Mapping[str, SlurmPartition], frame: SlurmFrame) -> tuple[str, ...]:
    """One line for each rule; `partitions` by the pools that they are."""
    lines = []
    if frame.memory_mib_per_cpu_max:
        lines.append(f"memory ≤ {frame.memory_mib_per_cpu_max} MiB per CPU")
    for pool, partition in partitions.items():
        parts = list(_rules(partition, frame))
        if parts:
            lines.append(f"{pool}: {' · '.join(parts)}")
    return tuple(line[:RULE_CHARACTERS_MAX] for line in lines[:RULES_MAX])


def _rules(partition: SlurmPartition, frame: SlurmFrame) -> Iterable[str]:
    if seconds := time_limit_seconds(partition, frame):
        yield f"run time ≤ {_length(seconds)}"
    if partition.nodes_max is not None:
        yield f"nodes ≤ {partition.nodes_max}"
    if partition.memory_mib_per_cpu_max:
        yield f"memory ≤ {partition.memory_mib_per_cpu_max} MiB per CPU"
    if (qos := qos_of(partition, frame)) is not None:
        for gres in qos.gres_min:
            name = f"{gres.name}:{gres.model}" if gres.model else gres.name
            yield f"cards ≥ {gres.count} {name}"
    if partition.accounts_allowed:
        yield f"accounts {_named(partition.accounts_allowed)} only"
    if partition.accounts_denied:
        yield f"not for accounts {_named(partition.accounts_denied)}"


def _named(accounts: tuple[str, ...]) -> str:
    more = len(accounts) - ACCOUNTS_NAMED_MAX
    return ", ".join(accounts[:ACCOUNTS_NAMED_MAX]) + (f" and {more} more" if more > 0 else "")


def _length(seconds: float) -> str:
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= unit and not seconds % unit:
            return f"{seconds / unit:g} {name}"
    return f"{seconds:g} s"
