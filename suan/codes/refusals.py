"""Why a request is refused, of users and of administrators."""

# Why the broker refuses a request.
REFUSALS = {
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
ADMINISTRATION = {
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
    "DatasetNotFound": ("No dataset has this name.", "See `suan dataset list`."),
    "NotYourDataset": (
        "What is called <tenant>/<name> is written, read and removed by that tenant alone.",
        "Write `dest: ds://<your organisation>/<name>`; read your own, or the federation's.",
    ),
    "TooManyDatasets": (
        "There are as many datasets as there may be, in all or of your organisation.",
        "Remove what nobody reads any more: `suan dataset remove NAME`; or raise the limit.",
    ),
}
