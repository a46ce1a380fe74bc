"""A federation on this machine, for trying out: what `suan up` starts and `suan down` stops.

Daemons are started as processes and never imported. Everything lies in one directory.
"""
