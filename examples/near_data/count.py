"""Count the amino acids of a protein collection, read in place at the site that holds it.

The agent has linked the dataset at $SUAN_DATA_DIR/<its name>; nothing was copied. All of it
is read once, and what stays is a small table in $SUAN_OUTPUT_DIR.
"""

import json
import os
import sys
from collections import Counter
from pathlib import Path

NAME = "protein-200g"

site = os.environ["SUAN_SITE"]
data = Path(os.environ["SUAN_DATA_DIR"]) / NAME
files = sorted(data.glob("*.fasta"))
if not files:
    sys.exit(f"no protein to be read under {data} at {site}")

acids: Counter[str] = Counter()
proteins = 0
for file in files:
    with file.open(encoding="ascii") as lines:
        for line in lines:
            if line.startswith(">"):
                proteins += 1
            else:
                acids.update(line.strip())
    print(f"read {file.name}: {file.stat().st_size:,} bytes", flush=True)

total = acids.total()
table = {acid: round(count / total, 4) for acid, count in acids.most_common()}
output = Path(os.environ["SUAN_OUTPUT_DIR"]) / "composition.json"
output.write_text(json.dumps({"proteins": proteins, "acids": total, "shares": table}, indent=1))

most, count = acids.most_common(1)[0]
print(
    f"RESULT at {site}: {proteins} proteins, {total:,} amino acids, most often {most} "
    f"({count / total:.1%}), read from {data.resolve()}",
    flush=True,
)
