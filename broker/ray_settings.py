"""What Ray reads from the environment when it is imported: to be set before that.

Knows names of settings only. A cluster of our own stays on loopback and says nothing to
anybody; a cluster that we join has its administrator's settings.
"""

from __future__ import annotations

import os

from suan.identity.tls import TLS_ENVIRONMENT

OWN_CLUSTER = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Read by ray's constants: the node's address becomes 127.0.0.1 and every server binds to it.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "disabled",  # right only because nothing listens beyond loopback
    "RAY_worker_niceness": "0",  # the default of 15 starves workers beside other processes
}
WORKERS = dict(TLS_ENVIRONMENT)


def prepare(ray_address: str) -> None:
    """Set what a cluster of our own needs; nothing when one is joined."""
    if not ray_address:
        os.environ.update(OWN_CLUSTER)
