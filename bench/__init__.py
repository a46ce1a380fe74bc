"""Benchmarks, and the real federation on this machine that they and the end-to-end tests use."""
