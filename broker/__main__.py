"""`suan-broker`: sets what must be set before gRPC is imported, then runs the command."""

from __future__ import annotations

import sys

from suan.identity.tls import raise_tls_floor


def main() -> None:
    """Exit status 1 with a hint where the broker's own dependencies are not installed."""
    raise_tls_floor()
    try:
        from broker.command import cli
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"suan-broker: {error.name} is not installed [PackageMissing]\n"
            "  hint: pip install 'suan[broker]'\n"
        )
        sys.exit(1)
    cli(prog_name="suan-broker")


if __name__ == "__main__":
    main()
