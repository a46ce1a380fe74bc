"""Why a broker or an agent does not start, or its store fails while it runs."""

# Of both.
_BOTH = {
    "ConfigInvalid": (
        "The configuration has settings that do not exist, or with values that cannot be.",
        "The message names each of them; see the sample in deploy/.",
    ),
    "ConfigUnreadable": ("The configuration cannot be read.", "Check its name and permissions."),
    "PackageMissing": (
        "This needs a Python package that is not installed.",
        "Install the part of Suan that is named in the hint.",
    ),
}

# Of the broker.
_BROKER = {
    "AddressInUse": (
        "Another process listens on this port.",
        "Stop it, or name another port in the configuration.",
    ),
    "HealthNotLoopback": (
        "The health port speaks plaintext, so it is for this machine only.",
        "Let `health_listen` begin with 127.0.0.1.",
    ),
    "TlsFloorMissing": (
        "The broker would accept TLS 1.2.",
        "Start it as `suan-broker`, without ciphers of your own in the environment.",
    ),
    "StaleTerm": (
        "Another broker leads, so this one may change nothing more.",
        "Nothing: clients and agents find the one that leads.",
    ),
    "StoreLocked": (
        "Another broker process on this machine has the store.",
        "Stop it, or give each broker a `state_dir` of its own.",
    ),
    "NetworkDisk": (
        "The store would lie on a disk of several machines, where locks and syncs do not hold.",
        "Name a `state_dir` on a local disk; several brokers share etcd instead.",
    ),
    "StoreDamaged": (
        "The store says that what it keeps is damaged.",
        "Check the disk, then restore the state from its last backup.",
    ),
    "StoreFailed": (
        "The store refuses what the broker asks of it.",
        "Read the message: most often the disk, who may write there, or etcd's limits.",
    ),
    "StoreRefused": (
        "etcd does not accept the broker's account or certificate.",
        "Check `etcd.certificate`, or `etcd.user` and the rights of its role.",
    ),
    "StoreForeign": (
        "The endpoints belong to different etcd clusters.",
        "Let `etcd.endpoints` name the nodes of one cluster.",
    ),
    "StoreNotInstalled": (
        "The package that speaks with etcd is not installed.",
        "pip install 'suan[broker]'.",
    ),
    "StoreCompacted": (
        "etcd has forgotten the changes that a standby had not read yet.",
        "Nothing: the standby reads the whole state again.",
    ),
    "StoreClosed": ("The broker is stopping, and has closed its store.", "Nothing."),
}

# Of the agent.
_AGENT = {
    "AccountsNeedRoot": (
        "The agent shall run jobs as other users of the machine, which only root can.",
        "Run the agent as root, or drop `accounts` from agent.yaml.",
    ),
    "AgentRunning": (
        "Another agent runs with this state directory.",
        "See it with `suan-agent status`; each agent needs a `state_dir` of its own.",
    ),
    "AlreadyJoined": (
        "The site has an identity already.",
        "Start the agent with it, or move it away to join anew.",
    ),
    "NotApproved": (
        "No administrator has approved the site's request yet.",
        "Run the same command again; the request stays as it is.",
    ),
    "SiteNameDiffers": (
        "The agent's identity is of another site than its configuration names.",
        "Correct `site`, or join as that site.",
    ),
    "NoSuchPool": ("The site has no pool of this name.", "The hint names those that it has."),
    "RecallNotDeclared": (
        "The pool's section of agent.yaml says nothing of a recall.",
        "Write `recall: {grace_seconds: 600}` into it and restart the agent; jobs go on.",
    ),
    "RecallOutOfRange": (
        "The pool has not so many cards, or its jobs may take longer to end.",
        "Ask for fewer cards, or for at least the pool's `recall.grace_seconds`.",
    ),
    "JournalTooNew": (
        "The journal was written by a newer agent.",
        "Install that version of suan-agent again, or a newer one.",
    ),
    "JournalUnreadable": (
        "The agent cannot read its record of what runs.",
        "Check the disk; move the file away only when no job of the federation runs there.",
    ),
}

STARTS = {**_BOTH, **_BROKER, **_AGENT}
