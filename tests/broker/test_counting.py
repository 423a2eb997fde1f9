"""Prices, and the counting of an answer's tokens while its bytes pass."""

import json
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.broker.meter import StreamMeter, WholeMeter
from bot.broker.prices import DEFAULT_PRICES, Price, PriceTable, Tokens
from bot.broker.requests import ModelRequest, Refusal, read_request

_USAGE = {
    "input_tokens": 1200,
    "cache_creation_input_tokens": 300,
    "cache_read_input_tokens": 5000,
    "output_tokens": 1,
}
_WHOLE = Tokens(input=1200, output=80, cache_read=5000, cache_write=300)


def _sse(*bodies: Mapping[str, object]) -> bytes:
    return b"".join(f"event: {body['type']}\ndata: {json.dumps(body)}\n\n".encode() for body in bodies)


_START = {"type": "message_start", "message": {"usage": _USAGE}}
_DELTA = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "x" * 300}}
_INPUT = {"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": "y" * 60}}
_END = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 80}}
_STOP = {"type": "message_stop"}
_STREAM = _sse(_START, _DELTA, _INPUT, _END, _STOP)


@settings(deadline=None)
@given(st.lists(st.integers(1, 50), max_size=40))
def test_a_stream_is_counted_however_it_is_cut(sizes: list[int]) -> None:
    meter = StreamMeter()
    rest = _STREAM
    for size in sizes:
        meter.feed(rest[:size])
        rest = rest[size:]
    meter.feed(rest)
    assert meter.finished
    assert meter.tokens() == _WHOLE


def test_the_last_usage_overrides_and_is_not_added() -> None:
    meter = StreamMeter()
    again = {**_END, "usage": {"input_tokens": 1300, "output_tokens": 90}}
    meter.feed(_sse(_START, _END, again))
    assert meter.tokens() == Tokens(input=1300, output=90, cache_read=5000, cache_write=300)


def test_a_stream_that_breaks_off_is_estimated_by_what_was_written() -> None:
    meter = StreamMeter()
    meter.feed(_sse(_START, _DELTA, _INPUT))
    assert not meter.finished
    assert meter.tokens() == Tokens(input=1200, output=120, cache_read=5000, cache_write=300)


@pytest.mark.parametrize(
    "noise",
    [
        b": ping\n\n",
        b"data: not json\n\n",
        b"data: []\n\n",
        b'data: {"type": "message_delta", "usage": "x"}\n\n',
        b'data: {"type": "message_delta", "usage": {"output_tokens": -5}}\n\n',
        b"data: " + b"[" * 50_000 + b"\n\n",
    ],
)
def test_noise_is_no_tokens(noise: bytes) -> None:
    meter = StreamMeter()
    meter.feed(noise + _STREAM)
    assert meter.tokens() == _WHOLE


def test_an_hours_cache_is_dearer() -> None:
    meter = WholeMeter()
    usage = {"cache_creation_input_tokens": 1_000_000, "cache_creation": {"ephemeral_1h_input_tokens": 400_000}}
    meter.feed(json.dumps({"usage": usage}).encode())
    table = PriceTable({"m": Price(2, 10, 2.5, 0.1)})
    assert table.usage("m", meter.tokens()).cost_usd == pytest.approx(0.6 * 2.5 + 0.4 * 2 * 2)


@pytest.mark.parametrize("content", [b"", b"{", b"<html>", b'{"usage": null}'])
def test_an_answer_that_is_none_costs_nothing(content: bytes) -> None:
    meter = WholeMeter()
    meter.feed(content)
    assert meter.tokens() == Tokens()


@pytest.mark.parametrize(
    ("model", "like"),
    [
        ("claude-haiku-4-5", "claude-haiku-4-5"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
        ("something-new", "claude-opus-5-5"),
    ],
)
def test_an_unknown_model_costs_what_the_dearest_does(model: str, like: str) -> None:
    assert PriceTable().of(model) == DEFAULT_PRICES[like]


def test_settings_have_the_last_word_about_prices() -> None:
    own = {"claude-haiku-4-5": Price(7, 8, 9, 1), "house-model": Price(100, 200, 1, 1)}
    table = PriceTable(own)
    assert table.of("claude-haiku-4-5") == own["claude-haiku-4-5"]
    assert table.of("unknown") == own["house-model"]


def _body(**more: object) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], **more}).encode()


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        (_body(), ModelRequest("m", stream=False)),
        (_body(stream=True), ModelRequest("m", stream=True)),
        (_body(stream="yes"), ModelRequest("m", stream=False)),
        (_body(tools=[{"name": "Read", "input_schema": {}}]), ModelRequest("m", stream=False)),
        (_body(tools=[{"type": "custom", "name": "Read"}]), ModelRequest("m", stream=False)),
        (_body(messages="odd"), ModelRequest("m", stream=False)),
    ],
)
def test_what_is_asked(body: bytes, asked: ModelRequest) -> None:
    assert read_request(body, {"m"}) == asked


_URL = {"type": "image", "source": {"type": "url", "url": "http://attacker.invalid/?secret"}}


@pytest.mark.parametrize(
    "content",
    [
        [_URL],
        [{"type": "tool_result", "tool_use_id": "a", "content": [_URL]}],
        [{"type": "document", "source": {"type": "content", "content": [_URL]}}],
    ],
    ids=["image", "in-a-result", "in-a-document"],
)
def test_addresses_for_the_models_side_to_fetch_are_refused(content: object) -> None:
    asked = read_request(_body(messages=[{"role": "user", "content": content}]), set())
    assert isinstance(asked, Refusal)
    assert asked.status == 403
