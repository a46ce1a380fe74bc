"""The limits and periods of the core: each with its default and its unit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Configured once at the start."""

    queued_jobs_per_tenant_max: int = 1_000_000
    jobs_max: int = 2_000_000  # all that are kept, finished ones too
    jobs_per_submit_max: int = 1_000
    sites_max: int = 5_000
    tokens_max: int = 1_000
    approval_seconds: float = 72 * 3_600.0  # a request to join waits so long from its first use
    datasets_max: int = 10_000
    datasets_per_tenant_max: int = 1_000  # that its jobs have written
    bundles_bytes_max: int = 256 << 20
    bundle_unused_seconds: float = 3_600.0  # one that no job names makes room after so long
    retention_seconds: float = 7 * 86_400.0  # of finished jobs
    # Output that sites send for the time when they cannot be asked: beside the store, in files.
    kept_logs_bytes_max: int = 2 << 30
    kept_log_seconds: float = 7 * 86_400.0  # since the last of it came
    # After a start, or a jump of the wall clock, so long nothing is forgotten for its age:
    # longer than any client says its submission again.
    settle_seconds: float = 3_600.0
    attempts_max: int = 10  # of one job, whoever was at fault
    specs_per_session_max: int = 10_000  # remembered as sent; beyond, sent again
    classes_per_round_max: int = 2_000
    jobs_per_class_max: int = 5_000  # offered to one round
    holds_max: int = 10_000
    hold_seconds: float = 30.0  # a shape a site refused is not offered again for so long
    explanations_max: int = 10_000
    learned_max: int = 100_000  # rows of what runs taught, one per job family and model
    learned_per_tenant_max: int = 5_000
    # Inputs sent to sites ahead of their jobs
    prestages_max: int = 256  # at a time, in the whole federation
    prestages_per_site_max: int = 16
    prestage_bytes_per_site_max: float = 1e13  # and half of what the site's cache may hold
    prestage_seconds: float = 600.0  # wanted for so long after a round has proposed it
    unplaceable_seconds: float = 86_400.0  # a job that nothing could ever run fails after this
    # Fair shares and preemption
    usage_half_life_seconds: float = 7 * 86_400.0  # of what was held before
    usages_max: int = 10_000  # projects whose past is known
    preempted_per_hour_max: int = 240  # attempts stopped for others, in the whole federation
    preempted_card_hours_max: float = 1_000.0  # work lost with them, in an hour
    preempted_per_job_max: int = 3
    # Leases and silence (reference: the lease protocol)
    # The shortest lease of class restart. Should outlast the usual outage and be at least six
    # heartbeats: a shorter one makes jobs finish later. Campaigns of faults lower it.
    lease_seconds_min: float = 60.0
    heartbeat_seconds: float = 10.0
    heartbeats_per_second_max: float = 100.0
    suspect_heartbeats: float = 3.0  # silence of so many heartbeats: place nothing new
    lost_seconds: float = 120.0  # silence after which attempts are orphaned
    clock_drift: float = 0.001  # bound on relative rate error of either clock
    kill_seconds: float = 30.0  # from a lease's end to verified death at a site
    overlap_extra: int = 1  # copies of a job of class overlap beyond the one that is wanted
    maintenance_seconds_max: float = 86_400.0  # that may be announced
    drain_seconds_max: float = 30 * 86_400.0  # to a drain's deadline

    def takeback_seconds(self, lease_seconds: float) -> float:
        """How long the broker waits, on its own clock, before an unheard lease is over."""
        drift = self.clock_drift
        return (lease_seconds + self.kill_seconds) / (1 - drift) * (1 + drift)
