"""`python -m suan.cli`: the same as `suan`."""

from suan.cli import main

main()
