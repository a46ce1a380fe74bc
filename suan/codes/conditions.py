"""Why a pool cannot take a job, in the order in which cards are counted out."""

CONDITIONS = {
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
    "LatencyTooHigh": (
        "The site answers the job's users later than the job allows.",
        "Raise `placement.latency_max`, or name another `placement.users_at`.",
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
    "SoftwareMissing": (
        "The pool's nodes have no such software stack, or an older one.",
        "Lower `resources.software`, or bring the stack along in an `image`.",
    ),
    "ImagesUnsupported": (
        "The site runs jobs natively, not in container images that they bring.",
        "Leave `image` out, or allow sites that run images.",
    ),
    "StoreMissing": (
        "An output is to become a dataset, and the site has no store to keep it in.",
        "Allow sites with a store, or name a URL as its `dest`.",
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
    "QuotaTooSmall": (
        "The job needs more of these cards at once than the quota of your organisation or "
        "project ever allows. A job with `preemptible: false` gets no borrowed cards.",
        "Ask for fewer cards or let it be preemptible; an administrator sets the quota.",
    ),
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
    "QuotaExhausted": (
        "Your organisation or project holds all of these cards that its quota allows.",
        "Wait until some of its jobs end, or ask an administrator for a larger quota.",
    ),
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
