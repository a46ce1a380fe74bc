"""What runs leave, brought to a store: outputs when they have ended, checkpoints as they come.

Each attempt writes below `<job>/<epoch>/` and nobody else does; a manifest, written last and
never over another, makes what it lists one whole. Knows files and stores; nothing of the
broker, of leases or of the cluster manager.
"""

from agent.publishing.publisher import Publisher as Publisher
from agent.publishing.stores import Stores as Stores
