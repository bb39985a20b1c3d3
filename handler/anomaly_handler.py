"""The TorchServe handler of the anomaly model: scores each request of a batch on its own.

TorchServe finds the entry point by looking for the only class of this module that has a `handle` method
(`ts/model_loader.py`), so there is one class here and no function of that name. A bad request answers 400 and
leaves the others of its batch alone; nothing that a client sends raises.
"""

import json
import math
import sys
from pathlib import Path
from typing import Any

import torch
from anomaly_model import EMBEDDING_SIZE, FEATURE_COUNT, AnomalyModel
from ts.context import Context

FIELDS = {"embedding": EMBEDDING_SIZE, "features": FEATURE_COUNT}
"""The fields of a request and how many numbers each holds per step."""
WRAPPERS = ("body", "data")
"""Keys that older clients, and TorchServe itself, put around a request."""
MAX_STEPS = 512
"""Bounds the work of one request."""
INPUT_LIMIT = 1e6
"""Larger values are cut to this before the network: float32 sums stay finite, and so does the score."""
LARGEST = sys.float_info.max
OBJECT = "a JSON object with embedding and features"
JSON_TYPES = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "null",
}

SCHEMA = {
    "type": "object",
    "required": list(FIELDS),
    "properties": {
        field: {
            "description": f"{size} finite numbers, or an array of 1 to {MAX_STEPS} steps of {size} each; "
            "as many steps as the other field",
            "type": "array",
            "oneOf": [
                {"items": {"type": "number"}, "minItems": size, "maxItems": size},
                {
                    "items": {"type": "array", "items": {"type": "number"}, "minItems": size, "maxItems": size},
                    "minItems": 1,
                    "maxItems": MAX_STEPS,
                },
            ],
        }
        for field, size in FIELDS.items()
    },
}
"""JSON Schema of a request: what `GET /models/NAME?customized=true` tells."""


class AnomalyHandler:
    """Holds the loaded network of one worker."""

    def initialize(self, context: Context) -> None:
        """Load the weights that the archive's manifest names, on the device that TorchServe assigned."""
        gpu = context.system_properties.get("gpu_id")
        self.device = torch.device("cpu" if gpu is None or not torch.cuda.is_available() else f"cuda:{gpu}")
        weights = Path(context.system_properties["model_dir"], context.manifest["model"]["serializedFile"])
        model = AnomalyModel()
        model.load_state_dict(torch.load(weights, map_location=self.device, weights_only=True))
        self.model = model.to(self.device).eval()

    def handle(self, data: list[Any], context: Context) -> list[dict[str, Any]]:
        """Answer a batch: per request its score, `{"error": sentence}` with status 400, or the schema."""
        answers: list[dict[str, Any]] = [{} for _ in data]
        steps: dict[int, torch.Tensor] = {}
        for index, item in enumerate(data):
            context.set_response_content_type(index, "application/json")
            if context.get_request_header(index, "describe") == "True":
                answers[index] = SCHEMA
                continue
            try:
                steps[index] = request_steps(request_body(item, parsed_parts(context, index)))
            except ValueError as error:
                context.set_response_status(code=400, phrase="Bad Request", idx=index)
                answers[index] = {"error": str(error)}
        for index, score in self.scores(steps).items():
            answers[index] = {"anomaly_score": score}
        return answers

    def scores(self, steps: dict[int, torch.Tensor]) -> dict[int, float]:
        """Score each tensor of shape (steps, 394): one forward pass for all that have equally many steps."""
        scores: dict[int, float] = {}
        for count in {tensor.shape[0] for tensor in steps.values()}:
            indices = [index for index, tensor in steps.items() if tensor.shape[0] == count]
            with torch.inference_mode():
                batch = torch.stack([steps[index] for index in indices]).to(self.device)
                scores.update(zip(indices, self.model(batch).tolist(), strict=True))
        return {index: round(score, 6) for index, score in scores.items()}


def parsed_parts(context: Context, index: int) -> set[str]:
    """Return the parts of a request that TorchServe has parsed from JSON already (`otf_message_handler.py`)."""
    headers = {part: context.get_request_header(index, part) for part in WRAPPERS}
    return {
        part
        for part, header in headers.items()
        if isinstance(header, dict) and header.get("content-type") == "application/json"
    }


def request_body(item: Any, parsed: set[str]) -> dict[str, Any]:
    """Unwrap the JSON object of a request, decoding JSON text at most once.

    Text of a part that TorchServe has parsed is a string inside JSON: it stays one.

    Raises:
        ValueError: the body is empty, no JSON, or no object.
    """
    part = wrapper(item)
    value = item if part is None else item[part]
    if isinstance(value, bytes | bytearray) or (isinstance(value, str) and part not in parsed):
        value = decoded(value)
    while (part := wrapper(value)) is not None:
        value = value[part]
    if not isinstance(value, dict):
        raise refusal("body", OBJECT, described(value))
    return value


def wrapper(value: Any) -> str | None:
    """Return the key that wraps the request, None where `value` is the request itself."""
    if not isinstance(value, dict) or FIELDS.keys() & value.keys():
        return None
    return next((part for part in WRAPPERS if part in value), None)


def decoded(text: str | bytes | bytearray) -> Any:
    """Parse JSON text.

    Raises:
        ValueError: it is empty, or no JSON.
    """
    if not text.strip():
        raise refusal("body", OBJECT, "nothing")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise refusal("body", OBJECT, f"text that is no JSON ({error})") from error


def request_steps(body: dict[str, Any]) -> torch.Tensor:
    """Check both fields and join them: float32, shape (steps, 394).

    Raises:
        ValueError: a field is missing or not of the expected shape, or the fields differ in their steps.
    """
    embedding, features = (field_rows(field, body, size) for field, size in FIELDS.items())
    if len(embedding) != len(features):
        raise refusal("features", f"as many steps as embedding ({len(embedding)})", str(len(features)))
    joined = [first + second for first, second in zip(embedding, features, strict=True)]
    return torch.tensor(joined, dtype=torch.float64).clamp(-INPUT_LIMIT, INPUT_LIMIT).float()


def field_rows(field: str, body: dict[str, Any], size: int) -> list[list[float]]:
    """Return the field as one list of `size` numbers per step.

    Raises:
        ValueError: it is missing, or not one or several steps of `size` finite numbers.
    """
    expected = f"{size} finite numbers, or 1 to {MAX_STEPS} steps of {size} each"
    if field not in body:
        raise refusal(field, expected, "no such field")
    value = body[field]
    if not isinstance(value, list):
        raise refusal(field, expected, described(value))
    if not value or not isinstance(value[0], list):
        return [numbers(field, value, size)]
    if len(value) > MAX_STEPS:
        raise refusal(field, expected, f"{len(value)} steps")
    return [numbers(f"{field}[{step}]", row, size) for step, row in enumerate(value)]


def numbers(place: str, row: Any, size: int) -> list[float]:
    """Return one step as floats.

    Raises:
        ValueError: it is not an array of `size` finite numbers; booleans and strings are no numbers.
    """
    if not isinstance(row, list):
        raise refusal(place, f"{size} numbers", described(row))
    if len(row) != size:
        raise refusal(place, f"{size} numbers", str(len(row)))
    for position, value in enumerate(row):
        # NaN fails both comparisons; an integer beyond the range of a double fails one.
        if type(value) not in {int, float} or not -LARGEST <= value <= LARGEST:
            raise refusal(f"{place}[{position}]", "a finite number", described(value))
    return [float(value) for value in row]


def refusal(place: str, expected: str, got: str) -> ValueError:
    """Say what is wrong with a request in one sentence."""
    return ValueError(f"{place}: expected {expected}, got {got}")


def described(value: Any) -> str:
    """Say in a few words what came, without repeating what may be long or secret."""
    if isinstance(value, float) and not math.isfinite(value):
        return json.dumps(value)
    if isinstance(value, int) and abs(value) > LARGEST:
        return "an integer beyond the range of a double"
    return JSON_TYPES.get(type(value), type(value).__name__)
