"""The Ray backend: each run is one submission to a Ray's job server, a fence on each node.

The agent speaks HTTP with the head of the cluster and never joins it: it needs no `ray` and
outlives any. Only `driver`, which the cluster itself runs, imports ray, and only for a gang. What
a run did is told by its fences' records on the file system that all nodes share, and by Ray
where those are missing.
"""
