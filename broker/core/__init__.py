"""The broker's decisions: values in, records, sends and replies out.

No room here knows a clock, a socket, a store, a log or randomness: time and ids are
arguments, and the linter says so.
"""
