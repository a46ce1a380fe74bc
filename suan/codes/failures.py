"""How jobs and attempts come to their end."""

# Why a job or an attempt ended.
FAILURES = {
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
    "SitePreempted": (
        "The site's cluster manager stopped the job to make room for the site's own.",
        "Nothing: it is tried again and costs nothing.",
    ),
    "SiteRecalled": (
        "The site took its cards back for its own jobs.",
        "Nothing: it is tried again, from its last checkpoint, and costs nothing.",
    ),
    "NotEnoughCards": (
        "The cards were taken meanwhile, so the site refused the offer.",
        "Nothing: it is tried again and costs nothing.",
    ),
    "SiteQuotaExceeded": (
        "The site's cluster refused the job: a quota of its namespace is used up.",
        "Nothing: it is tried again. If it goes on, ask the site's operator.",
    ),
    "SiteRuleRefused": (
        "A rule of the site refuses the job.",
        "`suan get` quotes the site; change the job or allow other sites.",
    ),
    "TenantNotMapped": (
        "The site runs jobs under local accounts, and your organisation has none there.",
        "Allow other sites, or ask the site's operator for an account.",
    ),
    "AccountUnusable": (
        "The local account under which the site would run the job is not there, or is root.",
        "The site's operator corrects `accounts` in agent.yaml; the job is tried elsewhere.",
    ),
    "Preempted": (
        "The site or the federation took the cards back for something more urgent.",
        "Nothing: it is tried again, from its last checkpoint.",
    ),
    "TenantInvalid": (
        "A weight or a quota of the tenant, or of one of its projects, makes no sense.",
        "See `suan admin tenant set --help`.",
    ),
    "DeadlinePassed": (
        "The job's deadline passed before it could start.",
        "Submit it again with a later `deadline`, or a higher priority.",
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
    "ImageNotAllowed": (
        "The site runs container images, but not this one.",
        "`suan get` quotes what it allows; name such an image, or allow other sites.",
    ),
    "ImageMissing": (
        "The site has no container image of this name.",
        "Name one that it has, ask its operator for it, or allow other sites.",
    ),
    "ImageUnfit": (
        "The site's container runtime cannot show the job's directories inside the image.",
        "`suan get` quotes what the site's operator has to do; or allow other sites.",
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

# Why a job's inputs cannot be made readable at the site.
STAGING = {
    "DataUnknown": (
        "Nobody has said where the dataset lies.",
        "Register it with `suan dataset put`, or name another.",
    ),
    "DataMissing": (
        "The data is not where it should be.",
        "Check the path or the address in `suan dataset list`.",
    ),
    "DataRefused": (
        "The site, or the server that has the data, does not give it.",
        "Ask the site's operator for access, or place a copy at the site.",
    ),
    "OutputFailed": (
        "The job ran to its end, but what it wrote could not be brought to its store.",
        "`suan get` quotes the site; what was written is still there: `suan cp` reads it.",
    ),
    "OutputUnsupported": (
        "The job has more outputs than a site publishes.",
        "Pack them together, 64 at most.",
    ),
    "OutputMissing": (
        "The job ended without writing an output that its file names.",
        "Write it below $SUAN_OUTPUT_DIR, by the path that `outputs` gives it.",
    ),
    "RestoreFailed": (
        "The job's last checkpoint could not be brought to the site, so it was not begun there.",
        "Nothing: other sites are tried. If it goes on, see whether they reach the store.",
    ),
    "DataCorrupt": (
        "What was downloaded is not what its checksum says.",
        "Correct the checksum, or the copy.",
    ),
    "SourceUnsupported": (
        "The site cannot read this kind of source.",
        "Use a path at the site, https:// or a dataset that lies there.",
    ),
}

# Peers that broke the protocol: our mistakes, told apart so that they can be reported.
PROTOCOL = dict.fromkeys(
    (
        "BadGrant", "BadName", "BadShape", "NotReconciled", "StaleEpoch", "UnknownPool",
        "UnknownSupernode",
    ),
    (
        "Broker and site did not agree for a moment; the attempt was not started.",
        "Nothing: it is tried again and costs nothing. Report it if it goes on.",
    ),
)  # fmt: skip
