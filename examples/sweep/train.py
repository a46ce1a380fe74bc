"""Train a small next-character model on text, with one setting of a sweep.

The setting follows from SUAN_ARRAY_INDEX. A checkpoint is written every epoch, so that a
second attempt goes on where the first one stopped. Needs numpy.
"""

import json
import os
from pathlib import Path

import numpy as np

SETTINGS = [(rate, width) for rate in (0.3, 1.0, 2.0) for width in (16, 32)]
CONTEXT = 4  # characters seen
EMBEDDING = 12
EPOCHS = 15
BATCH = 64

index = int(os.environ.get("SUAN_ARRAY_INDEX", "0"))
rate, width = SETTINGS[index % len(SETTINGS)]
text = (Path(__file__).parent / "dao.txt").read_text(encoding="utf-8")
letters = sorted(set(text))
codes = np.array([letters.index(letter) for letter in text])
inputs = np.stack([codes[i : len(codes) - CONTEXT + i] for i in range(CONTEXT)], axis=1)
targets = codes[CONTEXT:]
held_out = len(targets) // 10

random = np.random.default_rng(index)
weights = {
    "embedding": random.normal(0, 0.1, (len(letters), EMBEDDING)),
    "hidden": random.normal(0, 0.1, (CONTEXT * EMBEDDING, width)),
    "output": random.normal(0, 0.1, (width, len(letters))),
    "bias": np.zeros(len(letters)),
}
checkpoint = Path(os.environ.get("SUAN_CHECKPOINT_DIR", ".")) / "model.npz"
first = 0
if checkpoint.exists():
    kept = np.load(checkpoint)
    weights = {name: kept[name] for name in weights}
    first = int(kept["epoch"]) + 1
    print(f"resumed after epoch {first - 1}", flush=True)


def forward(rows):
    seen = weights["embedding"][rows].reshape(len(rows), -1)
    hidden = np.tanh(seen @ weights["hidden"])
    scores = hidden @ weights["output"] + weights["bias"]
    scores -= scores.max(axis=1, keepdims=True)
    odds = np.exp(scores)
    return seen, hidden, odds / odds.sum(axis=1, keepdims=True)


def loss(rows, wanted):
    return float(-np.log(forward(rows)[2][np.arange(len(rows)), wanted] + 1e-12).mean())


def step(rows, wanted):
    seen, hidden, odds = forward(rows)
    slope = odds
    slope[np.arange(len(rows)), wanted] -= 1
    slope /= len(rows)
    back = (slope @ weights["output"].T) * (1 - hidden**2)
    embedded = (back @ weights["hidden"].T).reshape(len(rows), CONTEXT, EMBEDDING)
    weights["output"] -= rate * hidden.T @ slope
    weights["bias"] -= rate * slope.sum(axis=0)
    weights["hidden"] -= rate * seen.T @ back
    np.add.at(weights["embedding"], rows, -rate * embedded)


train = np.arange(len(targets) - held_out)
for epoch in range(first, EPOCHS):
    random.shuffle(train)
    for begin in range(0, len(train), BATCH):
        part = train[begin : begin + BATCH]
        step(inputs[part], targets[part])
    # np.savez completes the name of a path, not of an open file
    with checkpoint.with_suffix(".tmp").open("wb") as draft:
        np.savez(draft, epoch=epoch, **weights)
    checkpoint.with_suffix(".tmp").rename(checkpoint)
    if epoch % 5 == 4:
        print(f"epoch {epoch + 1:3d}  loss {loss(inputs[train], targets[train]):.3f}", flush=True)

result = {
    "index": index,
    "rate": rate,
    "width": width,
    "train": round(loss(inputs[:-held_out], targets[:-held_out]), 4),
    "held_out": round(loss(inputs[-held_out:], targets[-held_out:]), 4),
    "site": os.environ.get("SUAN_SITE", "here"),
    "model": os.environ.get("SUAN_ACCELERATOR_MODEL", "none"),
}
Path(os.environ.get("SUAN_OUTPUT_DIR", "."), "result.json").write_text(json.dumps(result))
print("RESULT " + json.dumps(result), flush=True)
