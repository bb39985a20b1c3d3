"""Train the anomaly model: `python model/train.py` writes weights, samples and the figures of the model card.

Everything is generated from fixed seeds and computed on one CPU thread, so a second run on the same machine and
version of torch gives the same bytes. It takes less than a minute.
"""

import json
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import torch
from anomaly_model import EMBEDDING_SIZE, AnomalyModel
from generated_logs import CONTEXT_LINES, Window, windows
from log_encoding import FEATURES, LEVELS, encode
from torch import nn

FOLDER = Path(__file__).parent
WEIGHTS = FOLDER / "anomaly.pt"
CARD = FOLDER / "README.md"
SAMPLES = FOLDER / "samples"

MAX_STEPS = 16
TRAINING_WINDOWS, TRAINING_SEED = 5_000, 1
HELD_OUT_WINDOWS, HELD_OUT_SEED = 2_000, 2
SAMPLE_WINDOWS, SAMPLE_SEED = 400, 3
EPOCHS, BATCH_SIZE, LEARNING_RATE, WEIGHT_DECAY = 8, 64, 1e-3, 1e-3
MEASURED_STEPS = (1, 4, MAX_STEPS)
CALM, ALARMING = 0.2, 0.8
"""An ordinary sample scores below the first, an anomalous one above the second."""
SHAPES = {"embedding": EMBEDDING_SIZE, "features": len(FEATURES)}
"""Fields of a request and their values per step."""
DECIMALS = 4
"""Of the numbers in a sample."""


class Data(NamedTuple):
    """Encoded windows."""

    steps: torch.Tensor
    """float32, shape (windows, `MAX_STEPS`, 394)."""
    labels: torch.Tensor
    """float32, shape (windows,): 1 where an incident is under way at the last step."""


class Sample(NamedTuple):
    """A request to save under `name`, from a window that ends in an incident or does not."""

    name: str
    steps: int
    anomalous: bool


SAMPLE_KINDS = (Sample("ordinary", 1, False), Sample("outage", 1, True), Sample("sequence", 4, True))
"""Their names sort so that the ordinary one is first."""


def encoded(generated: list[Window]) -> Data:
    """Encode the last `MAX_STEPS` lines of each window."""
    steps = torch.tensor([encode(window.lines, MAX_STEPS) for window in generated])
    return Data(steps, torch.tensor([float(window.anomalous) for window in generated]))


def train(data: Data, epochs: int = EPOCHS) -> AnomalyModel:
    """Train a new network; each batch sees only its last 1 to `MAX_STEPS` steps, so that every length works."""
    torch.manual_seed(TRAINING_SEED)
    model = AnomalyModel()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    for _ in range(epochs):
        order = torch.randperm(len(data.labels))
        for start in range(0, len(order), BATCH_SIZE):
            batch = order[start : start + BATCH_SIZE]
            length = int(torch.randint(1, MAX_STEPS + 1, ()))
            scores = model(data.steps[batch, -length:])
            loss = nn.functional.binary_cross_entropy(scores, data.labels[batch])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
    return model.eval()


def roc_auc(scores: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the probability that an anomalous window scores above an ordinary one; a tie counts half.

    The Mann-Whitney form of the area under the ROC curve (Hanley and McNeil, 1982). Both tensors have shape (n,).
    """
    anomalous, ordinary = scores[labels == 1], scores[labels == 0].sort().values
    below = torch.searchsorted(ordinary, anomalous)
    below_or_equal = torch.searchsorted(ordinary, anomalous, right=True)
    return float((below + below_or_equal).double().mean()) / (2 * len(ordinary))


def measure(model: AnomalyModel, data: Data) -> dict[int, float]:
    """Return the ROC-AUC for each number of steps in `MEASURED_STEPS`."""
    with torch.inference_mode():
        return {count: roc_auc(model(data.steps[:, -count:]), data.labels) for count in MEASURED_STEPS}


def pick(model: AnomalyModel, kind: Sample, generated: list[Window], data: Data) -> Window:
    """Return the window of the wanted kind that the network is most sure about.

    Raises:
        ValueError: there is none; the training went wrong.
    """
    with torch.inference_mode():
        scores = model(data.steps[:, -kind.steps :]).tolist()
    candidates = [pair for pair in zip(scores, generated, strict=True) if pair[1].anomalous == kind.anomalous]
    best, window = (max if kind.anomalous else min)(candidates, key=itemgetter(0))
    if best < ALARMING if kind.anomalous else best > CALM:
        raise ValueError(f"no window for the sample {kind.name}: the best scores {best:.2f}")
    return window


def payload(window: Window, steps: int) -> dict[str, list[float] | list[list[float]]]:
    """Return the request for the last `steps` lines of a window; one step is not wrapped in a list of steps."""
    rows = [[round(value, DECIMALS) or 0 for value in row] for row in encode(window.lines, steps)]
    embedding = [row[:EMBEDDING_SIZE] for row in rows]
    features = [row[EMBEDDING_SIZE:] for row in rows]
    return {
        "embedding": embedding if steps > 1 else embedding[0],
        "features": features if steps > 1 else features[0],
    }


def score(model: AnomalyModel, request: dict[str, list[float] | list[list[float]]]) -> float:
    """Score one saved request."""
    parts = [torch.tensor(request[field]).reshape(-1, size) for field, size in SHAPES.items()]
    with torch.inference_mode():
        return float(model(torch.cat(parts, dim=1).unsqueeze(0)))


def write_samples(model: AnomalyModel) -> list[str]:
    """Write the sample requests; return a row of the card for each."""
    generated = windows(SAMPLE_SEED, SAMPLE_WINDOWS, MAX_STEPS)
    data = encoded(generated)
    rows = []
    for kind in SAMPLE_KINDS:
        window = pick(model, kind, generated, data)
        request = payload(window, kind.steps)
        (SAMPLES / f"{kind.name}.json").write_text(json.dumps(request) + "\n", encoding="utf-8")
        lines = "<br>".join(f"`{LEVELS[line.level]} {line.text}`" for line in window.lines[-kind.steps :])
        rows.append(f"| {kind.name} | {lines} | {score(model, request):.2f} |")
    return rows


def write_card(model: AnomalyModel, samples: list[str], areas: dict[int, float]) -> None:
    """Replace what stands between the markers of the card by tables of this training."""
    size = sum(parameter.numel() for parameter in model.parameters())
    features = [f"| {row} | `{name}` | {unit} | {text} |" for row, (name, unit, text) in enumerate(FEATURES)]
    sections = {
        "features": ["| # | name | unit | meaning |", "|---:|---|---|---|", *features],
        "figures": [
            f"{size:,} parameters, trained on {TRAINING_WINDOWS:,} generated windows (seed {TRAINING_SEED}),",
            f"measured on {HELD_OUT_WINDOWS:,} others (seed {HELD_OUT_SEED}).",
            f"A window is {MAX_STEPS} lines, after {CONTEXT_LINES} that only give context.",
            "",
            "| steps | ROC-AUC, held-out data |",
            "|---:|---:|",
            *(f"| {count} | {area:.3f} |" for count, area in areas.items()),
        ],
        "samples": ["| sample | log lines | score |", "|---|---|---:|", *samples],
    }
    text = CARD.read_text(encoding="utf-8")
    for name, lines in sections.items():
        begin, end = f"<!-- {name}: written by train.py -->\n", f"<!-- end of {name} -->"
        before, rest = text.split(begin)
        _, after = rest.split(end)
        text = before + begin + "\n".join([*lines, ""]) + end + after
    CARD.write_text(text, encoding="utf-8")


def main() -> None:
    """Train, measure on held-out data, and write what a clone needs."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    model = train(encoded(windows(TRAINING_SEED, TRAINING_WINDOWS, MAX_STEPS)))
    areas = measure(model, encoded(windows(HELD_OUT_SEED, HELD_OUT_WINDOWS, MAX_STEPS)))
    for count, area in areas.items():
        print(f"ROC-AUC on held-out data, steps {count}: {area:.3f}")
    torch.save(model.state_dict(), WEIGHTS)
    write_card(model, write_samples(model), areas)


if __name__ == "__main__":
    main()
