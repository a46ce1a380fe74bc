"""Count the seconds of one life, and say who lives it."""

import os
import time

SECONDS = 20
print(f"attempt {os.environ['SUAN_ATTEMPT']} pid {os.getpid()} begins", flush=True)
for second in range(1, SECONDS + 1):
    time.sleep(1)
    print(f"alive for {second} s", flush=True)
print(f"RESULT attempt {os.environ['SUAN_ATTEMPT']} pid {os.getpid()} ends", flush=True)
