"""What the stable codes mean and what to do: `suan explain --code`.

One sentence each. The conditions of the scheduler are complete (a test compares them);
of the errors, those whose message alone may not be enough. Text only; imports nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Meaning(NamedTuple):
    text: str
    advice: str


# Why a pool cannot take a job, in the order in which cards are counted out.
_CONDITIONS = {
    "UnknownAccelerator": (
        "No accelerator has this name, neither in the catalogue nor at a site.",
        "Pick a model from `suan accelerators`.",
    ),
    "WrongAccelerator": (
        "The pool has another model than the job accepts.",
        "Add the model to `accelerators: {any_of: [...]}` if the job can run on it.",
    ),
    "SiteNotAllowed": (
        "The job's `placement` leaves this site out.",
        "Widen `placement.sites` or drop the site from `placement.not_sites`.",
    ),
    "TenantNotAllowed": (
        "The site does not serve your organisation.",
        "Ask the site's operator, or let the job run elsewhere.",
    ),
    "DataResidency": (
        "An input may not leave its regions, and the site lies outside them.",
        "Use another dataset, or allow sites within the dataset's regions.",
    ),
    "TimeLimitTooLong": (
        "The job's time limit is longer than the site lets any job run.",
        "Lower `time_limit`, and write checkpoints to go on from.",
    ),
    "CpusTooFew": ("A node has fewer CPUs than the job asks for.", "Lower `resources.cpus`."),
    "MemoryTooSmall": (
        "A node has less memory than the job asks for.",
        "Lower `resources.memory`.",
    ),
    "TooFewCards": (
        "The pool owns fewer cards than the job needs at once.",
        "Lower `num_nodes` or the cards per node.",
    ),
    "ShapeUnfit": (
        "The pool's nodes or supernodes cannot hold the shape that the job requires.",
        "Ask for fewer cards per node, or make `topology.mode` preferred.",
    ),
    "CostTooHigh": ("The estimate is above the job's `max_cost`.", "Raise `placement.max_cost`."),
    "DatasetUnknown": (
        "An input names a dataset that is not registered.",
        "Check the name with `suan dataset list`, or have it registered.",
    ),
    "DataUnreachable": (
        "No route of the network leads from a replica of an input to the site.",
        "Tell the federation's administrator: a link or a replica is missing.",
    ),
    "SitePaused": ("The site has paused itself.", "Wait, or ask the site's operator."),
    "SiteDraining": (
        "An administrator lets nothing new start at the site.",
        "Wait, or see the reason in `suan site list`.",
    ),
    "SiteSuspect": (
        "The site has been silent for a while, so nothing new is sent there.",
        "Wait: it returns by itself, or is given up after its leases.",
    ),
    "SiteLost": (
        "The site has been silent for longer than its leases.",
        "Its operator must bring the agent back.",
    ),
    "SiteUnseen": (
        "The site is registered and has not reported since the broker started.",
        "Its operator must start the agent.",
    ),
    "Unhealthy": ("Cards are faulty or kept back by the site.", "The site mends them."),
    "HeldOff": (
        "The site refused this shape a moment ago, so it is not asked again yet.",
        "Wait: it is asked again within minutes.",
    ),
    "Reserved": (
        "Free cards are kept for a larger job that is ahead in the queue.",
        "Wait, or set a `time_limit`: a job that ends in time may go first.",
    ),
    "NotFreeNow": (
        "Too few cards are free together now.",
        "Wait, or ask for fewer cards: `suan explain` says what would start now.",
    ),
    "NoPools": (
        "No site has offered any cards.",
        "Sites must join and report: see `suan site list`.",
    ),
}

# Why a job or an attempt ended.
_FAILURES = {
    "NonZeroExit": ("The job's command failed.", "Read `suan logs`; the exit code is its own."),
    "Cancelled": ("Somebody cancelled the job.", "`suan get` says who and why."),
    "NeverPlaceable": (
        "No site of the federation could ever run the job.",
        "`suan plan FILE` names every condition that stands against it.",
    ),
    "TimeLimit": ("The job ran up to its time limit.", "Raise `time_limit` or use checkpoints."),
    "OutOfMemory": ("The job used more memory than its node has.", "Raise `resources.memory`."),
    "LaunchFailed": (
        "The site could not start the job's command.",
        "Check `image`, `workdir` and the interpreter that `run` needs.",
    ),
    "BadBundle": (
        "The site could not unpack the files that came with the job.",
        "Send plain files only; put large data into a dataset.",
    ),
    "DiskFull": ("The site's disk is full.", "The site's operator frees space; the job moves on."),
    "LeaseEnded": (
        "The site was silent for longer than the job's lease, so the attempt was ended.",
        "Nothing: it is tried again. A longer `lease.seconds` waits longer.",
    ),
    "MachineRebooted": ("The machine restarted under the job.", "Nothing: it is tried again."),
    "NotEnoughCards": (
        "The cards were taken meanwhile, so the site refused the offer.",
        "Nothing: it is tried again and costs nothing.",
    ),
    "SiteRuleRefused": (
        "A rule of the site refuses the job.",
        "`suan get` quotes the site; change the job or allow other sites.",
    ),
    "Preempted": (
        "The site or the federation took the cards back for something more urgent.",
        "Nothing: it is tried again, from its last checkpoint.",
    ),
    "Superseded": (
        "A later attempt of the job had begun elsewhere, so this one was stopped.",
        "Nothing: the later one counts.",
    ),
    "BadDirectory": (
        "The job's working directory is not there at the site, or not in what was sent along.",
        "Check `workdir`; a relative one is sent along, an absolute one must be at the site.",
    ),
    "BundleNotFound": (
        "The broker no longer keeps the files that came with the job.",
        "Submit the job again.",
    ),
    "BundleUnavailable": (
        "The site could not fetch the files that came with the job.",
        "Nothing: it is tried again.",
    ),
    "RunVanished": (
        "The site's cluster manager no longer knows the run.",
        "Nothing: it is tried again. If it goes on, ask the site's operator.",
    ),
    "JournalLost": (
        "The site's agent lost its records, so it ended the attempt for safety.",
        "Nothing: it is tried again.",
    ),
    "SiteRemoved": (
        "An administrator removed the site on which the job ran.",
        "Nothing: it is tried again elsewhere, if the job allows other sites.",
    ),
    "LeaseTooShort": (
        "The offer reached the site so late that too little of its lease was left.",
        "Nothing: it is tried again and costs nothing.",
    ),
    "NotStarted": (
        "The site never started the attempt and never will.",
        "Nothing: it is tried again and costs nothing.",
    ),
    "ImagesUnsupported": (
        "Sites run jobs natively in this version, not in container images.",
        "Leave `image` out of the job file.",
    ),
    "UnreadableSpec": (
        "The site cannot read the job's specification: its agent is older.",
        "Ask the site's operator to update the agent, or allow other sites.",
    ),
    "Unknown": (
        "The run is dead, and nothing at the site tells why.",
        "Nothing: it is tried again. If it goes on, ask the site's operator.",
    ),
    "Unavailable": (
        "The site could not prepare the job just now.",
        "Nothing: it is tried again.",
    ),
    "ConfirmedDead": (
        "Its site was silent, and an operator or administrator vouched that it was dead there.",
        "Nothing: it is tried again. The audit log says who vouched.",
    ),
    "AttemptUnknown": (
        "The job's site has been silent for so long that nobody knows whether the job lives.",
        "`suan explain JOB` says what ends the doubt: the site, time, or an operator.",
    ),
    "Unexplained": (
        "The site ended the attempt without a reason.",
        "Tell the site's operator, with the job's id.",
    ),
}

# Why the broker refuses a request.
_REFUSALS = {
    "QueueFull": (
        "Your organisation has as many jobs queued as it may have.",
        "Wait until some have run, or ask for a higher limit.",
    ),
    "FederationFull": ("The broker keeps as many jobs as it can.", "Submit again later."),
    "LeaseBelowFloor": (
        "The job's lease is shorter than this federation allows.",
        "Raise `lease.seconds`: a short lease only makes jobs finish later.",
    ),
    "TenantSuspended": ("Your organisation is suspended.", "Ask a federation administrator."),
    "JobIdTaken": (
        "This job id was already used for another submission.",
        "Mint a new id; the same id is only for sending the same job again.",
    ),
    "JobIdAmbiguous": ("Several jobs have this in their ids.", "Give more of the id."),
    "JobNotFound": ("There is no such job, or it is not yours to see.", "See `suan ps -a`."),
    "JobIdInvalid": (
        "The job's id is not a UUID.",
        "Let the SDK mint it, or mint a UUIDv7.",
    ),
    "BatchTooLarge": (
        "There are more jobs in one request than the broker takes.",
        "Send them in several requests; the SDK does.",
    ),
    "TooManySubmissions": (
        "Your organisation has as many requests waiting at the broker as it may have.",
        "Nothing: the SDK waits as long as it was told to and sends again.",
    ),
    "TooManyWatchers": (
        "As many clients watch jobs as the broker can serve.",
        "Watch several jobs with one request, or try again shortly.",
    ),
    "MessageTooLarge": (
        "A request or an answer is larger than what is sent at once.",
        "Send fewer jobs in one request, and large files as a dataset.",
    ),
    "BrokerBusy": ("The broker has more to do than it can keep.", "Try again shortly."),
    "NotLeader": (
        "This broker does not lead: another one does, or soon will.",
        "Name all brokers of the federation, separated by commas; the client finds the leader.",
    ),
    "TooManyHellos": (
        "Too many sites begin a session at once.",
        "Nothing: the agent comes again when it was told to.",
    ),
    "StoreUnavailable": (
        "The broker cannot reach the store that its brokers share, so it takes nothing new in.",
        "Nothing was lost: try again in a while. Jobs that run go on.",
    ),
    "BrokerStopping": ("The broker is being stopped.", "Try again when it is back."),
    "AlreadyEnded": ("The job has ended, so nothing can be changed.", "Nothing."),
    "BundlesFull": (
        "The broker keeps as many working directories as it may.",
        "Name a dataset instead, or submit again later.",
    ),
    "WorkdirTooLarge": (
        "The working directory is larger than what may be sent along.",
        "Name large files in .suanignore, or make them a dataset.",
    ),
    "RoleNotAllowed": (
        "Your role may not do this.",
        "Use the context of a user to submit, of an administrator to administer.",
    ),
    "NoLogs": ("The job has not started, so it has no logs.", "`suan explain` says why."),
    "SiteAway": (
        "The site of the job is not connected now; the job goes on.",
        "Try again shortly, or follow with `suan logs -f`.",
    ),
    "BadTime": (
        "A moment is not written as one, lacks its zone, or lies in the future.",
        "Write 10m for ten minutes ago, or an ISO time such as 2026-11-22T10:00:00Z.",
    ),
    "LogsIncomplete": (
        "The job has ended, and the site that has the end of its log is away.",
        "Read `suan logs` again once the site is back.",
    ),
    "SiteSilent": ("The site did not answer in time.", "Try again shortly."),
    "SiteBusy": (
        "Attempts live at the site, so it is not removed.",
        "Drain it and wait, or use --orphan and accept that they are lost.",
    ),
}

# Why a site cannot join, or an administrator is refused.
_ADMINISTRATION = {
    "SiteNotFound": ("No site has this name.", "See `suan site list`."),
    "NothingPending": (
        "The site has not asked to join.",
        "Its operator runs `suan-agent join` with the join file first.",
    ),
    "FingerprintDiffers": (
        "The fingerprint is not that of the key which asks.",
        "Compare again by telephone; if it still differs, somebody else is asking.",
    ),
    "TokenUsed": (
        "The token has been used with another key.",
        "If it was not the site's own, look into it; make a new one: `suan site token`.",
    ),
    "TokenExpired": ("The token's time is over.", "Make a new one: `suan site token`."),
    "TooManyTokens": ("There are as many open tokens as there may be.", "Wait until some expire."),
    "SiteAnswers": (
        "The site was heard a moment ago, so it speaks for its attempts itself.",
        "Cancel the job, or wait until the site is suspect.",
    ),
    "NothingToConfirm": (
        "No attempt of the job is thought to live at the site.",
        "`suan get JOB` shows where its attempts are.",
    ),
    "NotYourSite": (
        "You operate another site.",
        "Ask the operator of that site, or a federation administrator.",
    ),
    "MaintenanceTooLong": (
        "Maintenance of the broker is announced for at most a day.",
        "Announce a shorter one; it can be announced again before it is over.",
    ),
    "DeadlineTooFar": (
        "The deadline of a drain lies too far ahead.",
        "Leave it out to wait for what runs, however long it takes.",
    ),
    "TooManySites": ("The federation has as many sites as it may have.", "Raise the limit."),
    "TooManyDatasets": ("There are as many datasets as there may be.", "Raise the limit."),
}

# Peers that broke the protocol: our mistakes, told apart so that they can be reported.
_PROTOCOL = dict.fromkeys(
    (
        "BadGrant", "BadName", "BadShape", "NotReconciled", "StaleEpoch", "UnknownPool",
        "UnknownSupernode",
    ),
    (
        "Broker and site did not agree for a moment; the attempt was not started.",
        "Nothing: it is tried again and costs nothing. Report it if it goes on.",
    ),
)  # fmt: skip

# Why there is no connection.
_CONNECTION = {
    "AddressMissing": ("No broker is named.", "Set SUAN_ADDRESS or make a context."),
    "IdentityUnnamed": ("No identity is named.", "Set SUAN_IDENTITY or make a context."),
    "IdentityMissing": (
        "The identity's directory lacks its key or its certificate.",
        "Ask an administrator to issue one, and name its directory.",
    ),
    "KeyExposed": (
        "Others than its owner may read the private key.",
        "chmod 600 it; if others had access, ask for a new identity.",
    ),
    "CertificateExpired": ("Your certificate has expired.", "Ask an administrator for a new one."),
    "CertificateRefused": (
        "The broker does not accept your certificate.",
        "It may be of another federation; ask an administrator.",
    ),
    "CertificateRevoked": ("Your certificate has been revoked.", "Ask an administrator."),
    "BrokerUnreachable": (
        "Nothing answers at the broker's address.",
        "Check the address, that the broker runs, and the firewall.",
    ),
    "BrokerNotTrusted": (
        "What answers is not of this federation.",
        "Check the address and the identity's ca.pem.",
    ),
    "BrokerNotTls": ("What answers does not speak TLS.", "Check the port."),
    "BrokerNameMismatch": (
        "The broker's certificate is for another name.",
        "Use the address that the administrator gave.",
    ),
}

# Why an agent has no session though the broker answers.
_SESSIONS = {
    "ProtocolUnknown": (
        "Broker and agent speak no common version of the protocol.",
        "Update the older of the two; what runs at the site runs on with its leases.",
    ),
    "TooManyAttempts": (
        "The site names more attempts than the broker takes from one.",
        "Split the site in two, each with an agent of its own.",
    ),
}

# What `suan admin counters` counts: nothing of it had an effect.
COUNTERS: Mapping[str, str] = MappingProxyType(
    {
        "SiteUnknown": "of a site that is not registered",
        "OtherSession": "not of the site's present session: late, or replayed",
        "HelloRepeated": "a Hello of a session that was opened before",
        "TermPassed": "the agent has seen a later leader than this one",
        "ProtocolUnknown": "an agent with which no version is common",
        "OtherAgent": "a second agent under one site's name",
        "HeartbeatRepeated": "a heartbeat no newer than the last",
        "CapacityRepeated": "a report of capacity no newer than the last",
        "DigestDiffers": "the site's attempts were not those believed there, and were listed again",
        "AttemptUnknown": "of a job or an attempt that is not known",
        "AttemptForeign": "of an attempt that was granted to another site",
        "AttemptSuperseded": "of an attempt after which another was granted",
        "ReportRepeated": "a report that was heard before",
        "ReportUnreadable": "a report of an unknown kind or outcome",
        "NumberOutOfRange": "with numbers that this protocol never gives out",
    }
)

_TABLES = (_SESSIONS, _CONDITIONS, _FAILURES, _REFUSALS, _ADMINISTRATION, _PROTOCOL, _CONNECTION)

MEANINGS: Mapping[str, Meaning] = MappingProxyType(
    {code: Meaning(*words) for table in _TABLES for code, words in table.items()}
)
