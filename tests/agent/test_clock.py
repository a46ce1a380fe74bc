"""The lease clock never measures short."""

from __future__ import annotations

from dataclasses import dataclass

from agent.clock import ElapsedClock, boot_id, lease_now

SECOND = 1_000_000_000


@dataclass
class Source:
    """A clock that stands where it is put."""

    now_ns: int = 0

    def __call__(self) -> int:
        return self.now_ns


def clock(boottime_ns: int = 0, raw_ns: int = 0) -> tuple[ElapsedClock, Source, Source]:
    boottime, raw = Source(boottime_ns), Source(raw_ns)
    return ElapsedClock(boottime, raw), boottime, raw


def test_starts_at_zero_whatever_the_sources_show() -> None:
    elapsed, _, _ = clock(5 * SECOND, 900 * SECOND)
    assert elapsed.now() == 0.0


def test_suspend_counts() -> None:
    elapsed, boottime, raw = clock()
    boottime.now_ns, raw.now_ns = 3600 * SECOND, 2 * SECOND
    assert elapsed.now() == 3600.0


def test_a_slewed_clock_does_not_shorten() -> None:
    elapsed, boottime, raw = clock()
    boottime.now_ns, raw.now_ns = 90 * SECOND, 100 * SECOND
    assert elapsed.now() == 100.0


def test_no_lead_of_one_clock_hides_a_lag_of_the_other() -> None:
    """Raw runs ahead first; the later suspend still counts in full."""
    elapsed, boottime, raw = clock()
    boottime.now_ns, raw.now_ns = 90 * SECOND, 100 * SECOND
    before = elapsed.now()
    boottime.now_ns += 8 * SECOND
    raw.now_ns += 2 * SECOND
    assert elapsed.now() - before == 8.0


def test_reading_often_adds_nothing() -> None:
    """Jitter between the two reads must not add up to drift."""
    elapsed, boottime, raw = clock()
    for step in range(1, 100_001):
        jitter = 5_000 if step % 2 else -5_000  # ns
        boottime.now_ns, raw.now_ns = step * 10_000, step * 10_000 + jitter
        elapsed.now()
    assert 1.0 <= elapsed.now() < 1.0001


def test_never_goes_back() -> None:
    elapsed, boottime, raw = clock()
    seen = []
    for step in range(1, 500):
        boottime.now_ns, raw.now_ns = step * SECOND // 7, step * SECOND // 6
        seen.append(elapsed.now())
    assert seen == sorted(seen)


def test_the_real_clock_moves() -> None:
    first = lease_now()
    while lease_now() == first:
        pass
    assert lease_now() > first


def test_boot_id_is_stable() -> None:
    assert boot_id() == boot_id() != ""
