"""Data-parallel training over a ring of processes, with nothing but the given variables.

Each rank holds a part of the data, computes a gradient and averages it with the others by a
ring all-reduce over TCP. Rank 0 listens at MASTER_ADDR:MASTER_PORT and tells everybody
where everybody listens. All ranks must end with the same weights. Needs numpy.
"""

import json
import os
import socket
import struct
import time

import numpy as np

RANK = int(os.environ["SUAN_NODE_RANK"])
WORLD = int(os.environ["SUAN_NUM_NODES"])
MASTER = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
HERE = os.environ["SUAN_NODE_IPS"].split("\n")[RANK]
SECONDS = 60.0  # to wait for the others
STEPS = 200
FEATURES = 4_000


def send(link, data):
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link.sendall(struct.pack("!I", len(data)) + data)


def receive(link):
    (size,) = struct.unpack("!I", exactly(link, 4))
    return exactly(link, size)


def exactly(link, size):
    parts = []
    while size:
        part = link.recv(min(size, 1 << 20))
        if not part:
            raise ConnectionError("a rank went away")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def meet(listener):
    """The address at which each rank listens, by rank."""
    mine = [RANK, HERE, listener.getsockname()[1]]
    if RANK == 0:
        with socket.create_server(MASTER) as door:
            door.settimeout(SECONDS)
            guests = [door.accept()[0] for _ in range(WORLD - 1)]
        known = sorted([mine] + [json.loads(receive(guest)) for guest in guests])
        for guest in guests:
            send(guest, json.dumps(known).encode())
            guest.close()
        return known
    with connect(MASTER) as master:
        send(master, json.dumps(mine).encode())
        return json.loads(receive(master))


def connect(address):
    """The other side may not listen yet; its start is bounded by SECONDS."""
    end = time.monotonic() + SECONDS
    while True:
        try:
            return socket.create_connection(address, timeout=SECONDS)
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def all_reduce(values, left, right):
    """The mean of `values` over the ring: each chunk goes round twice."""
    chunks = np.array_split(values.copy(), WORLD)
    for turn in range(WORLD - 1):  # sum
        send(right, chunks[(RANK - turn) % WORLD].tobytes())
        chunks[(RANK - turn - 1) % WORLD] += np.frombuffer(receive(left))
    for turn in range(WORLD - 1):  # share
        send(right, chunks[(RANK - turn + 1) % WORLD].tobytes())
        chunks[(RANK - turn) % WORLD] = np.frombuffer(receive(left))
    return np.concatenate(chunks) / WORLD


listener = socket.create_server((HERE, 0))
listener.settimeout(SECONDS)
known = meet(listener)
print(f"rank {RANK} of {WORLD} met {len(known) - 1} others", flush=True)
_, address, port = known[(RANK + 1) % WORLD]
right = connect((address, port))
left = listener.accept()[0]
left.settimeout(SECONDS)

random = np.random.default_rng(7)
truth = random.normal(size=FEATURES)
data = np.random.default_rng(100 + RANK).normal(size=(64, FEATURES)) / FEATURES**0.5
wanted = data @ truth
weights = np.zeros(FEATURES)
for step in range(STEPS):
    error = data @ weights - wanted
    weights -= 0.1 * all_reduce(data.T @ error, left, right)
    if step % 50 == 49 and RANK == 0:
        print(f"step {step + 1:3d}  loss {float((error**2).mean()):.5f}", flush=True)

same = all_reduce(weights, left, right)
assert np.allclose(same, weights), "the ranks have drifted apart"
print(f"RESULT rank {RANK}: {WORLD} ranks agree, |w| = {np.linalg.norm(weights):.4f}", flush=True)
