"""The Kubernetes backend: each run is one job with a pod on each node, a fence in each pod.

The agent lays a run out on the volume that its pods mount and submits a job; in each pod `pod`
waits for the gang, asks the agent for the lease in that node's own time and starts the fence.
What a run did is told by its fences' records, and by Kubernetes where those are missing.
"""
