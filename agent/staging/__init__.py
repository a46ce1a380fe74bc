"""A job's inputs, made readable at this site before it is submitted.

A dataset that lies at the site is linked, never copied; one behind an HTTP address is
downloaded into a bounded cache. Knows files and HTTP; nothing of the broker, of leases or
of the cluster manager.
"""

from agent.staging.refusals import StagingRefused as StagingRefused
from agent.staging.stage import Staging as Staging
from agent.staging.values import Limits as Limits
