"""`suan-broker`: sets what must be set before gRPC is imported, then runs the command."""

from __future__ import annotations

import os
import sys

from suan.identity.tls import raise_tls_floor


def main() -> None:
    """Runs `suan-broker` and exits; also where the broker's own dependencies are missing."""
    raise_tls_floor()
    # gRPC tells of each failed handshake, our own probe of the floor among them, and not whose.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    try:
        from broker.command import cli
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"suan-broker: {error.name} is not installed [PackageMissing]\n"
            "  hint: pip install 'suan[broker]'\n"
        )
        sys.exit(1)
    from suan.cli.faults import report

    try:
        outcome = cli.main(prog_name="suan-broker", standalone_mode=False)
    except BaseException as error:
        sys.exit(report(error))
    sys.exit(outcome if isinstance(outcome, int) else 0)


if __name__ == "__main__":
    main()
