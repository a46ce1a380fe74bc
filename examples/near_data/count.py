"""Say where the data is, and prove that this process is beside it."""

import os

site, where = os.environ["SUAN_SITE"], os.environ["SUAN_DATA_DIR"]
print(f"RESULT at {site}, data under {where}", flush=True)
