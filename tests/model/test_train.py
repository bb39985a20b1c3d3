"""The training is reproducible, and what is committed is what it says."""

import json
import re
from pathlib import Path

import pytest
import torch
import train
from anomaly_model import AnomalyModel
from generated_logs import ANOMALOUS_SHARE, CONTEXT_LINES, windows

MODEL = Path(train.__file__).parent


@pytest.fixture(scope="module")
def committed():
    model = AnomalyModel()
    model.load_state_dict(torch.load(MODEL / "anomaly.pt", weights_only=True))
    return model.eval()


def tiny_run():
    return train.train(train.encoded(windows(7, 24, train.MAX_STEPS)), epochs=2)


def test_the_same_seed_gives_the_same_tensors():
    first, second = tiny_run().state_dict(), tiny_run().state_dict()

    assert all(torch.equal(first[name], second[name]) for name in first)


def test_training_changes_the_weights():
    torch.manual_seed(train.TRAINING_SEED)
    fresh = AnomalyModel().state_dict()

    assert not any(torch.equal(fresh[name], tensor) for name, tensor in tiny_run().state_dict().items())


def test_generated_windows_follow_their_seed():
    generated = windows(5, 400, 4)

    assert generated == windows(5, 400, 4)
    assert generated != windows(6, 400, 4)
    assert {len(window.lines) for window in generated} == {CONTEXT_LINES + 4}
    assert sum(window.anomalous for window in generated) / 400 == pytest.approx(ANOMALOUS_SHARE, abs=0.08)


@pytest.mark.parametrize(
    ("scores", "area"),
    [([0.1, 0.2, 0.8, 0.9], 1), ([0.9, 0.8, 0.2, 0.1], 0), ([0.5] * 4, 0.5), ([0.1, 0.6, 0.5, 0.9], 0.75)],
)
def test_roc_auc_is_the_share_of_pairs_in_order(scores, area):
    assert train.roc_auc(torch.tensor(scores), torch.tensor([0.0, 0, 1, 1])) == area


def test_the_network_scores_one_step_or_many(committed):
    for steps in (1, 16, 100):
        scores = committed(torch.zeros(3, steps, 394))
        assert scores.shape == (3,)
        assert all(0 <= score <= 1 for score in scores)


def test_the_weights_are_about_a_megabyte():
    assert (MODEL / "anomaly.pt").stat().st_size < 1_200_000


def test_the_card_states_what_the_committed_weights_reach_on_held_out_data(committed):
    rows = re.findall(r"^\| (\d+) \| (0\.\d{3}) \|$", train.CARD.read_text(encoding="utf-8"), re.MULTILINE)
    held_out = train.encoded(windows(train.HELD_OUT_SEED, train.HELD_OUT_WINDOWS, train.MAX_STEPS))

    measured = train.measure(committed, held_out)
    assert {int(steps): float(area) for steps, area in rows} == pytest.approx(measured, abs=0.002)
    assert 0.9 < measured[train.MAX_STEPS] < 0.999


def test_the_card_names_every_feature():
    text = train.CARD.read_text(encoding="utf-8")

    assert all(f"`{name}` | {unit} | {meaning} |" in text for name, unit, meaning in train.FEATURES)


def test_the_samples_score_as_their_names_promise(committed):
    scores = {path.stem: train.score(committed, json.loads(path.read_text())) for path in train.SAMPLES.iterdir()}

    assert min(scores) == "ordinary", "the first sample is the one that `up` sends"
    assert scores.pop("ordinary") < train.CALM
    assert min(scores.values()) > train.ALARMING


def test_writing_the_card_again_changes_nothing(committed, tmp_path, monkeypatch):
    card = tmp_path / "README.md"
    card.write_bytes(train.CARD.read_bytes())
    samples = tmp_path / "samples"
    samples.mkdir()
    monkeypatch.setattr(train, "CARD", card)
    monkeypatch.setattr(train, "SAMPLES", samples)

    train.write_card(committed, train.write_samples(committed), {1: 0.5})
    once = card.read_bytes()
    train.write_card(committed, train.write_samples(committed), {1: 0.5})

    assert card.read_bytes() == once
    assert b"| 1 | 0.500 |" in once
    assert {path.name for path in samples.iterdir()} == {path.name for path in (MODEL / "samples").iterdir()}
