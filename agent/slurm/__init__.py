"""The Slurm backend: each run is one batch job of Slurm with one step, a fence on each node.

The agent lays a run out on the file system that all nodes share and submits it; on each node
`node` asks the agent for the lease in that node's own time and starts the fence. What a run
did is told by its fences' records, and by Slurm where those are missing.
"""
