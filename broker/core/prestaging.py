"""Inputs sent for while their jobs still wait, and what the sites' caches hold.

A round proposes; here each proposal is checked against the present, booked on the network
like any transfer (`transfers`) and told to the site, which fetches it when it has nothing
better to do. All of it is soft: it ends when no round has proposed it for a while, and after
a restart the next rounds and reports bring it back. It never decides what runs.

A site is told all that is wanted there at once, again whenever that changes, so that a lost
or repeated message does no harm. Sites that do not report their cache are told nothing, and
nothing is booked for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from broker.core.ahead import Ahead, Sent, key_of, reachable
from broker.core.data_messages import (
    KEYS_MAX,
    CacheReport,
    Prestage,
    Prestages,
    StagingReport,
)
from broker.core.datasets import is_manifest
from broker.core.ignored import Ignored, out_of_range
from broker.core.limits import Limits
from broker.core.presence import SitePresence
from broker.core.rows import Dataset
from broker.core.transaction import Transaction
from broker.core.transfers import Wanted
from scheduler.model import Prestaging
from scheduler.network import GBPS_TO_BYTES

RATE_CHANGE_MIN = 0.25  # of a rate, for which a site is told anew
PROGRESS_MAX = 1_000  # attempts of one site whose staging is known
CACHE_PART = 0.5  # of a site's cache, for what is sent ahead to it at a time


def send_ahead(tx: Transaction, proposals: Iterable[Prestaging]) -> None:
    """Take over what a round proposes, as far as it still makes sense."""
    for proposal in proposals:
        site = proposal.pool.partition("/")[0]
        presence = tx.open_site(site)
        dataset = tx.state.datasets.get(proposal.fetch.dataset)
        if presence is None or dataset is None or presence.cache_seq == 0:
            continue
        sent = _sent(tx, presence, dataset, proposal.fetch.source)
        if sent is not None:
            tx.memory.ahead.sent.setdefault(site, {})[dataset.name] = sent


def _sent(tx: Transaction, presence: SitePresence, dataset: Dataset, source: str) -> Sent | None:
    ahead, site = tx.memory.ahead, presence.site
    until = tx.now.elapsed + tx.limits.prestage_seconds
    known = ahead.at(site).get(dataset.name)
    if known is not None:
        return Sent(known.wanted, known.location, until)
    copies = tuple(each for each in reachable(dataset) if not is_manifest(each[1]))
    location = next((path for at, path in copies if at == source), "")
    if ahead.held_off.get((site, key_of(location)), 0.0) > tx.now.elapsed:
        return None
    if not location or any(ahead.holds(site, path) for _, path in copies):
        return None
    region = presence.facts.profile.region
    if dataset.regions_allowed and region not in dataset.regions_allowed:
        return None
    if not _has_room(ahead, presence, dataset.size_bytes, tx.limits):
        return None
    return Sent(Wanted(dataset.name, source, site, dataset.size_bytes), location, until)


def _has_room(ahead: Ahead, presence: SitePresence, size_bytes: int, limits: Limits) -> bool:
    at_site = ahead.at(presence.site)
    bytes_max = min(limits.prestage_bytes_per_site_max, CACHE_PART * presence.cache_bytes_max)
    coming = sum(each.wanted.size_bytes for each in at_site.values())
    return (
        len(ahead) < limits.prestages_max
        and len(at_site) < limits.prestages_per_site_max
        and coming + size_bytes <= bytes_max
    )


def settle(tx: Transaction) -> None:
    """End what is over, book what is left, and tell the sites what has changed."""
    ahead = tx.memory.ahead
    for site in [site for site in ahead.sent if site not in tx.state.sites]:
        del ahead.sent[site]
    for site, at_site in ahead.sent.items():
        for name in [name for name, each in at_site.items() if _is_over(tx, site, each)]:
            del at_site[name]
    tx.settle_transfers()
    if ahead.sent:
        rates = tx.memory.transfers.rates()
        for site in tuple(ahead.sent):
            _tell(tx, site, rates)
            if not ahead.sent[site]:
                del ahead.sent[site]


def _is_over(tx: Transaction, site: str, sent: Sent) -> bool:
    dataset = tx.state.datasets.get(sent.wanted.dataset)
    return (
        sent.until <= tx.now.elapsed
        or dataset is None
        or sent.location not in {path for _, path in reachable(dataset)}
        or any(each.site == site for each in dataset.replicas)
        or tx.memory.ahead.holds(site, sent.location)
        or sent.wanted.key in tx.memory.transfers.stranded
    )


def _tell(tx: Transaction, site: str, gbps: Mapping[str, float]) -> None:
    """Say all that is wanted there, if it is other than what was said last."""
    presence = tx.memory.presence.get(site)
    if presence is None or not presence.connected or presence.cache_seq == 0:
        return
    before = presence.told_ahead
    told: dict[str, tuple[float, float]] = {}
    wanted: list[Prestage] = []
    for each in tx.memory.ahead.at(site).values():
        rate = gbps.get(each.wanted.key, 0.0) * GBPS_TO_BYTES
        rate = rate or before.get(each.location, (0.0, 0.0))[0]  # late: it keeps what it had
        told[each.location] = rate, each.until
        left, moved = each.until - tx.now.elapsed, each.wanted
        wanted.append(Prestage(moved.dataset, each.location, moved.size_bytes, rate, left))
    if _differs(before, told, tx.limits.prestage_seconds / 2):
        presence.told_ahead = told
        tx.send(presence, Prestages(tx.memory.term, tuple(wanted)))


def _differs(
    before: Mapping[str, tuple[float, float]],
    after: Mapping[str, tuple[float, float]],
    renewed_seconds: float,
) -> bool:
    """Whether the site must hear of it: by what is wanted, how fast, or until when."""
    if before.keys() != after.keys():
        return True
    return any(
        abs(rate - before[at][0]) > RATE_CHANGE_MIN * before[at][0]
        or until - before[at][1] >= renewed_seconds
        for at, (rate, until) in after.items()
    )


# --- what the sites say -----------------------------------------------------------


def on_cache_report(tx: Transaction, event: CacheReport) -> None:
    """Take over what a site's cache holds; from the first one on it is told what to bring."""
    presence = tx.present(event.site, event.session)
    if presence is None:
        return
    if out_of_range(event.seq, event.bytes_max) or event.seq == 0:
        tx.ignore(Ignored.NUMBER_OUT_OF_RANGE)
    elif event.seq <= presence.cache_seq:
        tx.ignore(Ignored.CAPACITY_REPEATED)
    else:
        presence.cache_seq, presence.cache_bytes_max = event.seq, event.bytes_max
        tx.memory.ahead.hold(event.site, tuple(dict.fromkeys(event.keys[:KEYS_MAX])))
        _give_up(tx, event.site, frozenset(event.refused[:KEYS_MAX]))
        if event.site in tx.memory.ahead.sent:
            settle(tx)


def _give_up(tx: Transaction, site: str, refused: frozenset[str]) -> None:
    """What could not be brought is wanted no more, and not again for a while."""
    at_site = tx.memory.ahead.sent.get(site, {})
    until = tx.now.elapsed + tx.limits.prestage_seconds
    for name in [name for name, each in at_site.items() if key_of(each.location) in refused]:
        tx.memory.ahead.hold_off(site, key_of(at_site.pop(name).location), until)


def on_staging_report(tx: Transaction, event: StagingReport) -> None:
    """Take over how far the inputs of a site's attempts are: for people."""
    presence = tx.present(event.site, event.session)
    if presence is None:
        return
    if out_of_range(event.seq) or event.seq <= presence.staging_seq:
        tx.ignore(Ignored.CAPACITY_REPEATED)
        return
    presence.staging_seq = event.seq
    presence.staging = {
        (each.job_id, each.epoch): (each.done_bytes, each.total_bytes)
        for each in event.progress[:PROGRESS_MAX]
    }
