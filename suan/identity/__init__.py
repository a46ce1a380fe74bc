"""Who is who in a federation: names, keys, certificates, and the files they are kept in.

`keys`, `authority` and `issue` need the cryptography package, which the broker and the agent
bring; everything else makes do with the standard library and PyYAML. Nothing here imports gRPC.
"""
