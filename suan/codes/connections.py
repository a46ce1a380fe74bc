"""Why there is no connection, or no session though there is one."""

# Why there is no connection.
CONNECTION = {
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
SESSIONS = {
    "ProtocolUnknown": (
        "Broker and agent speak no common version of the protocol.",
        "Update the older of the two; what runs at the site runs on with its leases.",
    ),
    "TooManyAttempts": (
        "The site names more attempts than the broker takes from one.",
        "Split the site in two, each with an agent of its own.",
    ),
}
