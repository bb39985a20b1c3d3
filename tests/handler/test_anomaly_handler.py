"""The handler as TorchServe loads it: files flat in a folder, found and called by the real loader and service."""

import json
import math
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ts.model_loader import TsModelLoader
from ts.service import Service

ROOT = Path(__file__).parents[2]
FILES = ("handler/anomaly_handler.py", "model/anomaly_model.py", "model/anomaly.pt")
GOOD = {"embedding": [0.25] * 384, "features": [0.5] * 10}
STEPS = {"embedding": [[0.25] * 384] * 3, "features": [[0.5] * 10] * 3}
TEXT = json.dumps(GOOD)
JSON = {"content-type": "application/json"}


class Server:
    """Asks the handler through TorchServe's own `Service`, as a worker does."""

    def __init__(self, service: Service):
        self.service = service
        self.handler = service._entry_point.__self__

    def ask(self, *items, headers=None):
        """Answer a batch: (status, answer) for each item; every answer has the content type of JSON."""
        batch = [{"requestId": b"%d" % index, "parameters": [], "headers": []} for index, _ in enumerate(items)]
        processors, _, ids = Service.retrieve_data_for_inference(batch)
        for processor in processors:
            processor.get_request_properties().update(headers or {})
        context = self.service.context
        context.request_ids, context.request_processor = ids, processors
        answers = self.service._entry_point(list(items), context)
        assert len(answers) == len(items)
        assert {context.get_response_content_type(index) for index in ids} <= {"application/json"}
        return [(context.get_response_status(index)[0], answer) for index, answer in enumerate(answers)]

    def refusal(self, item, **options):
        [(status, answer)] = self.ask(item, **options)
        assert (status, list(answer)) == (400, ["error"])
        return answer["error"]

    def score(self, item, **options):
        [(status, answer)] = self.ask(item, **options)
        assert (status, list(answer)) == (200, ["anomaly_score"]), answer
        return answer["anomaly_score"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    for file in FILES:
        shutil.copy(ROOT / file, folder)
    (folder / "MAR-INF").mkdir()
    manifest = {"model": {"serializedFile": "anomaly.pt", "handler": "anomaly_handler.py"}}
    (folder / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(manifest))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        for module in ("anomaly_handler", "anomaly_model"):
            patch.delitem(sys.modules, module, raising=False)
        yield Server(TsModelLoader().load("anomaly", str(folder), "anomaly_handler.py", None, 8))


@pytest.mark.parametrize(
    "item",
    [
        GOOD,
        {"body": GOOD},
        {"data": GOOD},
        {"body": {"data": GOOD}},
        {"body": {"body": {"data": GOOD}}},
        TEXT,
        TEXT.encode(),
        bytearray(TEXT.encode()),
        {"body": TEXT},
        {"data": TEXT.encode()},
        {"body": bytearray(TEXT.encode())},
        {"body": json.dumps({"data": GOOD}).encode()},
        {"body": {**GOOD, "data": "a further key"}},
        {"body": {"embedding": [GOOD["embedding"]], "features": [GOOD["features"]]}},
        {"body": {"embedding": [GOOD["embedding"]], "features": GOOD["features"]}},
    ],
    ids=lambda item: repr(item)[:40],
)
def test_every_shape_of_a_request_gives_the_same_score(server, item):
    score = server.score(item)

    assert 0 <= score <= 1
    assert score == server.score(GOOD)


def test_text_that_stands_inside_json_is_not_decoded_again(server):
    assert server.refusal({"body": {"data": TEXT}}) == (
        "body: expected a JSON object with embedding and features, got a string"
    )
    assert "got a string" in server.refusal({"body": json.dumps(TEXT).encode()})
    assert "got a string" in server.refusal({"body": TEXT}, headers={"body": JSON})
    assert "got a string" in server.refusal({"embedding": json.dumps(GOOD["embedding"]), "features": [0] * 10})


def test_bytes_that_torchserve_could_not_parse_are_refused_as_no_json(server):
    assert "got text that is no JSON" in server.refusal({"body": bytearray(b'{"embedding": [')}, headers={"body": JSON})


def test_a_sequence_is_one_score(server):
    assert server.score({"body": STEPS}) != server.score(GOOD)


def test_a_batch_of_mixed_lengths_scores_as_each_alone(server):
    other = {"embedding": [-0.25] * 384, "features": [1] * 10}
    batch = server.ask(GOOD, STEPS, other, STEPS)

    assert [answer["anomaly_score"] for _, answer in batch] == pytest.approx(
        [server.score(item) for item in (GOOD, STEPS, other, STEPS)], abs=2e-6
    )


def test_equally_long_items_are_one_forward_pass(server, monkeypatch):
    shapes = []
    model = server.handler.model
    monkeypatch.setattr(server.handler, "model", lambda lines: shapes.append(tuple(lines.shape)) or model(lines))

    server.ask(GOOD, STEPS, GOOD, {"features": []}, GOOD)

    assert sorted(shapes) == [(1, 3, 394), (3, 1, 394)]


def test_a_bad_item_leaves_the_others_of_its_batch_alone(server):
    good, bad, sequence = server.ask({"body": GOOD}, {"body": {**GOOD, "features": [1] * 9}}, {"body": STEPS})

    assert good == (200, {"anomaly_score": server.score(GOOD)})
    assert bad == (400, {"error": "features: expected 10 numbers, got 9"})
    assert sequence == (200, {"anomaly_score": server.score(STEPS)})


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"embedding": [0.1] * 383}, "embedding: expected 384 numbers, got 383"),
        ({"embedding": [0.1] * 385}, "embedding: expected 384 numbers, got 385"),
        ({"embedding": [[0.1] * 384, [0.1] * 383]}, "embedding[1]: expected 384 numbers, got 383"),
        ({"embedding": [[0.1] * 384, 0.1]}, "embedding[1]: expected 384 numbers, got a number"),
        ({"embedding": []}, "embedding: expected 384 numbers, got 0"),
        ({"embedding": None}, "got null"),
        ({"embedding": {"0": 1}}, "got an object"),
        ({"embedding": [[0.1] * 384] * 513}, "got 513 steps"),
        ({"features": [1] * 9 + [True]}, "features[9]: expected a finite number, got a boolean"),
        ({"features": ["1"] + [1] * 9}, "features[0]: expected a finite number, got a string"),
        ({"features": [1] * 9 + [[1]]}, "features[9]: expected a finite number, got an array"),
        ({"features": [math.nan] * 10}, "features[0]: expected a finite number, got NaN"),
        ({"features": [1] * 9 + [-math.inf]}, "features[9]: expected a finite number, got -Infinity"),
        ({"features": [10**400] * 10}, "features[0]: expected a finite number, got an integer beyond"),
        ({"features": [[1] * 10] * 2}, "features: expected as many steps as embedding (1), got 2"),
    ],
)
def test_a_bad_field_is_named_with_what_came_and_what_was_expected(server, change, error):
    assert error in server.refusal({"body": GOOD | change})


@pytest.mark.parametrize("field", ["embedding", "features"])
def test_a_missing_field_is_named(server, field):
    request = {name: value for name, value in GOOD.items() if name != field}

    assert server.refusal(request).startswith(f"{field}: expected ")
    assert server.refusal(request).endswith("got no such field")


@pytest.mark.parametrize(
    ("item", "error"),
    [
        ({"body": bytearray()}, "got nothing"),
        ({"body": " \n"}, "got nothing"),
        ({"body": b"\xff\xfe\xff"}, "got text that is no JSON"),
        ({"body": b"{'embedding': 1}"}, "got text that is no JSON"),
        ({"body": b"[" * 100_000}, "got text that is no JSON"),
        ({"body": b"9" * 5_000}, "got text that is no JSON"),
        ({"body": b'{"embedding": [NaN], "features": []}'}, "embedding: expected 384 numbers, got 1"),
        ({"body": [GOOD]}, "body: expected a JSON object with embedding and features, got an array"),
        ({"body": None}, "got null"),
        (None, "got null"),
        ({}, "embedding: expected"),
    ],
)
def test_a_body_that_is_no_request_is_refused(server, item, error):
    assert error in server.refusal(item)


def test_finite_numbers_of_any_size_have_a_score(server):
    vast = {"embedding": [1e308, -1e308] * 192, "features": [10**300, -(10**30)] * 5}

    assert 0 <= server.score(vast) <= 1


def test_describe_tells_the_schema(server):
    [(status, schema)] = server.ask({"body": bytearray()}, headers={"describe": "True"})

    assert status == 200
    assert schema["required"] == ["embedding", "features"]
    assert [shape.get("maxItems") for shape in schema["properties"]["embedding"]["oneOf"]] == [384, 512]


def any_json():
    scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    keys = st.sampled_from(["embedding", "features", "body", "data"]) | st.text(max_size=3)
    return st.recursive(
        scalars | st.sampled_from([GOOD, GOOD["embedding"], GOOD["features"], STEPS["features"]]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
        max_leaves=8,
    )


@settings(deadline=None)
@given(st.lists(any_json() | st.binary() | st.binary().map(bytearray), max_size=4))
def test_whatever_comes_every_item_gets_exactly_one_answer(server, items):
    for status, answer in server.ask(*items):
        if status == 200:
            assert 0 <= answer["anomaly_score"] <= 1
        else:
            assert (status, list(answer)) == (400, ["error"])
        json.dumps(answer, allow_nan=False)
