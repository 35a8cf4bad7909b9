"""The web face: health, metrics, and HTTP triggers, called as callers call them."""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from laneway import Engine, Workflow, task
from laneway.engine.schedule_ports import JobInvalid
from laneway.web import application

TOKEN = "a-token-of-some-length"
gate = asyncio.Event()


@task
async def greet(name: str, times: int = 1) -> str:
    return f"hello {name} " * times


@task
async def wait(name: str) -> str:
    await gate.wait()
    return name


hello = Workflow("hello", [greet])
waiting = Workflow("waiting", [wait])


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    global gate
    gate = asyncio.Event()
    async with Engine(f"sqlite:///{tmp_path}/laneway.db", max_runs=2, grace=0) as opened:
        yield opened


def client(app: Any, host: str = "127.0.0.1", **headers: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app)
    return httpx.AsyncClient(transport=transport, base_url=f"http://{host}", headers=headers)


@pytest.fixture
async def http(engine: Engine) -> AsyncIterator[httpx.AsyncClient]:
    async with client(application(engine)) as opened:
        yield opened


def error_of(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/json"
    return answer.status_code, answer.json()["error"]["code"]


async def test_a_call_starts_a_run_whose_context_is_its_body(engine: Engine, http: httpx.AsyncClient) -> None:
    await engine.scheduler.triggers.on_http("greet", hello)
    answer = await http.post("/triggers/greet", json={"name": "Ann", "times": 2})
    assert answer.status_code == 202
    told = answer.json()
    assert (told["new"], told["trigger"]) == (True, "greet")
    handle = await engine.resume(told["run"], hello)
    assert (await handle.result()).context["greet"] == "hello Ann hello Ann "


async def test_calls_with_one_idempotency_key_are_one_run(engine: Engine, http: httpx.AsyncClient) -> None:
    await engine.scheduler.triggers.on_http("greet", hello)
    calls = [
        http.post("/triggers/greet", json={"name": "Ann"}, headers={"Idempotency-Key": key})
        for key in ["one"] * 5 + ["two"]
    ]
    answers = [await call for call in calls]
    assert {one.status_code for one in answers} == {202}
    assert len({one.json()["run"] for one in answers}) == 2
    assert [one.json()["new"] for one in answers] == [True, False, False, False, False, True]
    assert len(await engine.find()) == 2


async def test_a_declared_field_tells_calls_apart_and_the_header_does_not(
    engine: Engine, http: httpx.AsyncClient
) -> None:
    await engine.scheduler.triggers.on_http("order", hello, key="order")
    bodies = [{"name": "a", "order": 7}, {"name": "a", "order": 7}, {"name": "a", "order": "8"}]
    answers = [
        await http.post("/triggers/order", json=body, headers={"Idempotency-Key": str(number)})
        for number, body in enumerate(bodies)
    ]
    assert [one.json()["new"] for one in answers] == [True, False, True]
    for body in ({"name": "a"}, {"name": "a", "order": True}, {"name": "a", "order": ""}):
        assert error_of(await http.post("/triggers/order", json=body)) == (422, "LW-SCHED-006")


@pytest.mark.parametrize("keep", [True, False])
async def test_a_paused_trigger_refuses_calls_until_it_is_resumed(
    engine: Engine, http: httpx.AsyncClient, keep: bool
) -> None:
    triggers = engine.scheduler.triggers
    await triggers.on_http("greet", hello, keep=keep)
    await triggers.pause("greet")
    assert error_of(await http.post("/triggers/greet", json={"name": "Ann"})) == (503, "LW-SCHED-007")
    assert await engine.find() == []
    await triggers.resume("greet")
    assert (await http.post("/triggers/greet", json={"name": "Ann"})).status_code == 202
    (run,) = await engine.find(tags={"trigger": "greet"})
    assert run["workflow"] == "hello"


async def test_a_call_without_a_key_is_a_run_of_its_own(engine: Engine, http: httpx.AsyncClient) -> None:
    await engine.scheduler.triggers.on_http("greet", hello)
    runs = {(await http.post("/triggers/greet", json={"name": "a"})).json()["run"] for _ in range(3)}
    assert len(runs) == 3


async def test_declared_fields_are_checked_and_every_mistake_is_told(
    engine: Engine, http: httpx.AsyncClient
) -> None:
    fields = {"name": "string", "times": "integer?", "ratio": "number?", "tags": "array?"}
    await engine.scheduler.triggers.on_http("greet", hello, fields=fields)
    answer = await http.post("/triggers/greet", json={"times": True, "ratio": "x", "tags": {}, "extra": 1})
    assert error_of(answer) == (422, "LW-SCHED-006")
    assert answer.json()["error"]["problems"] == [
        "'name' is missing",
        "'times' must be integer",
        "'ratio' must be number",
        "'tags' must be array",
        "'extra' is not one of its fields",
    ]
    assert await engine.find() == []
    right = {"name": "Ann", "times": 2, "ratio": 1, "tags": []}
    assert (await http.post("/triggers/greet", json=right)).status_code == 202


async def test_parameters_of_the_trigger_win_over_the_body(engine: Engine, http: httpx.AsyncClient) -> None:
    triggers = engine.scheduler.triggers
    await triggers.on_http("fixed", hello, parameters={"name": "Zoe"})
    await triggers.on_http("whole", hello, parameters={"name": "all", "body": "{body}"})
    fixed = (await http.post("/triggers/fixed", json={"name": "Ann", "x": 1})).json()["run"]
    whole = (await http.post("/triggers/whole", json={"name": "Ann"})).json()["run"]
    assert (await engine.result(fixed)).context["name"] == "Zoe"
    assert (await engine.result(whole)).context["body"] == {"name": "Ann"}
    assert (await engine.result(whole)).context["name"] == "all"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[" * 200_000, 400),
        (b'{"name": NaN}', 400),
        (b'{"name": "\\ud800"}', 400),
        (b"[1]", 422),
        (b'"text"', 422),
        (b"{}", 422),
        (b'{"nam": "Ann"}', 422),
    ],
)
async def test_a_body_that_is_not_right_is_refused(
    engine: Engine, http: httpx.AsyncClient, body: bytes, status: int
) -> None:
    await engine.scheduler.triggers.on_http("greet", hello)
    json = {"Content-Type": "application/json"}
    answer = await http.post("/triggers/greet", content=body, headers=json)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
    assert await engine.find() == []


async def test_a_body_that_is_too_large_is_refused_also_if_it_does_not_say_so(engine: Engine) -> None:
    await engine.scheduler.triggers.on_http("greet", hello)
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100_000:
            sent += 1000
            yield b'{"name": "' + b"a" * 990

    async with client(application(engine, most_body_bytes=5000)) as http:
        json = {"Content-Type": "application/json"}
        told = await http.post("/triggers/greet", content=b" " * 5001, headers=json)
        untold = await http.post("/triggers/greet", content=endless(), headers=json)
    assert [error_of(one)[0] for one in (told, untold)] == [413, 413]
    assert sent < 10_000


async def test_what_a_browser_may_send_anywhere_is_not_taken(engine: Engine, http: httpx.AsyncClient) -> None:
    await engine.scheduler.triggers.on_http("greet", hello)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        answer = await http.post("/triggers/greet", content=b'{"name": "a"}', headers={"Content-Type": kind})
        assert error_of(answer) == (415, "LW-WEB-002")
    preflight = await http.options("/triggers/greet", headers={"Origin": "http://evil.example"})
    assert "access-control-allow-origin" not in preflight.headers
    assert await engine.find() == []


async def test_an_engine_that_is_full_says_when_to_come_again(
    engine: Engine, http: httpx.AsyncClient
) -> None:
    await engine.scheduler.triggers.on_http("wait", waiting, key="name")
    first = (await http.post("/triggers/wait", json={"name": "a"})).json()["run"]
    assert (await http.post("/triggers/wait", json={"name": "b"})).status_code == 202
    full = await http.post("/triggers/wait", json={"name": "c"})
    assert full.status_code == 429
    assert int(full.headers["retry-after"]) >= 1
    again = await http.post("/triggers/wait", json={"name": "a"})  # a repeat needs no room
    assert (again.status_code, again.json()["run"]) == (202, first)
    gate.set()


async def test_paths_methods_and_names_that_are_not_there(engine: Engine, http: httpx.AsyncClient) -> None:
    await engine.scheduler.triggers.on_files("files", hello, "/nowhere")
    assert error_of(await http.post("/triggers/nope", json={})) == (404, "LW-SCHED-005")
    assert error_of(await http.post("/triggers/files", json={})) == (404, "LW-SCHED-005")
    assert (await http.get("/triggers/nope")).status_code == 405
    assert (await http.get("/elsewhere")).status_code == 404
    assert (await http.get("/triggers/../metrics")).status_code in (200, 404, 405)


async def test_names_with_a_slash_as_packages_have_them_can_be_called(
    engine: Engine, http: httpx.AsyncClient
) -> None:
    await engine.scheduler.triggers.on_http("shop/greet", hello)
    assert (await http.post("/triggers/shop/greet", json={"name": "a"})).status_code == 202


async def test_everything_but_health_needs_the_token_where_there_is_one(engine: Engine) -> None:
    await engine.scheduler.triggers.on_http("greet", hello)
    async with client(application(engine, token=TOKEN), "laneway.example") as http:
        assert (await http.get("/health")).status_code == 200
        for wrong in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
            assert (await http.get("/metrics", headers=wrong)).status_code == 401
            assert (await http.get("/anything", headers=wrong)).status_code == 401
            for name in ("greet", "nope"):  # which ones there are is nobody's business
                answer = await http.post(f"/triggers/{name}", json={"name": "a"}, headers=wrong)
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"].startswith("Bearer")
        right = {"Authorization": f"Bearer {TOKEN}"}
        assert (await http.get("/metrics", headers=right)).status_code == 200
        answer = await http.post("/triggers/greet", json={"name": "a"}, headers=right)
        assert answer.status_code == 202


async def test_without_a_token_it_answers_to_the_names_of_this_machine_alone(engine: Engine) -> None:
    app = application(engine)
    for host, status in (("localhost:8466", 200), ("[::1]:80", 200), ("evil.example", 421), ("", 421)):
        async with client(app) as http:
            assert (await http.get("/health", headers={"Host": host})).status_code == status
    async with client(application(engine, hosts=None), "mounted.example") as http:
        assert (await http.get("/health")).status_code == 200


async def test_a_trigger_with_a_secret_of_its_own_asks_for_that_and_not_for_the_token(engine: Engine) -> None:
    await engine.scheduler.triggers.on_http("greet", hello, secret="partner")
    app = application(engine, token=TOKEN, secrets={"partner": "s3cret-of-the-partner"})
    async with client(app) as http:
        for wrong in ({}, {"Authorization": f"Bearer {TOKEN}"}, {"Authorization": "Bearer \xe4".encode()}):
            answer = await http.post("/triggers/greet", json={"name": "a"}, headers=wrong)  # type: ignore[arg-type]
            assert answer.status_code == 401
        right = {"Authorization": "Bearer s3cret-of-the-partner"}
        answer = await http.post("/triggers/greet", json={"name": "a"}, headers=right)
        assert answer.status_code == 202
    async with client(application(engine, token=TOKEN)) as http:
        answer = await http.post("/triggers/greet", json={"name": "a"}, headers=right)
        assert answer.status_code == 503  # a server without the secret lets nobody in
    (document,) = await engine.store.read("documents", kind="trigger")
    assert b"s3cret" not in document["body"]


async def test_a_signed_body_is_taken_and_one_that_was_changed_is_not(engine: Engine) -> None:
    header = "X-Hub-Signature-256"
    await engine.scheduler.triggers.on_http("push", hello, secret="github", signature=header, key="id")
    body = b'{"name": "Ann", "id": "1"}'
    digest = hmac.new(b"It's a Secret to Everybody", body, hashlib.sha256).hexdigest()
    app = application(engine, token=TOKEN, secrets=lambda _: "It's a Secret to Everybody")
    json = {"Content-Type": "application/json"}
    async with client(app) as http:
        for wrong, sent in (
            ({}, body),
            ({header: digest}, body),
            ({header: "sha256=" + "0" * 64}, body),
            ({header: f"sha256={digest}"}, body + b" "),
            ({"Authorization": f"Bearer {TOKEN}"}, body),
        ):
            answer = await http.post("/triggers/push", content=sent, headers={**json, **wrong})
            assert answer.status_code == 401
        for _ in range(2):
            signed = {**json, header: f"sha256={digest.upper()}"}
            answer = await http.post("/triggers/push", content=body, headers=signed)
            assert answer.status_code == 202
    assert len(await engine.find()) == 1


async def test_the_published_example_of_a_signature_is_accepted(engine: Engine) -> None:
    """The example in GitHub's documentation of webhooks, whose body is text; only its signature is looked at."""
    secret, body = "It's a Secret to Everybody", b"Hello, World!"
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    await engine.scheduler.triggers.on_http("push", hello, secret="github", signature="X-Hub-Signature-256")
    async with client(application(engine, secrets={"github": secret})) as http:
        sent = {"Content-Type": "application/json", "X-Hub-Signature-256": signature}
        answer = await http.post("/triggers/push", content=body, headers=sent)
    assert answer.status_code == 400
    assert "not JSON" in answer.json()["error"]["message"]


async def test_metrics_and_health_tell_of_the_engine(engine: Engine, http: httpx.AsyncClient) -> None:
    await engine.run(hello, {"name": "Ann"})
    answer = await http.get("/metrics")
    assert 'laneway_runs_finished_total{status="succeeded",workflow="hello"} 1.0' in answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    open_metrics = {"Accept": "application/openmetrics-text; version=1.0.0"}
    assert (await http.get("/metrics", headers=open_metrics)).text.endswith("# EOF\n")
    healthy = await http.get("/health")
    assert (healthy.status_code, healthy.json()["status"]) == (200, "ok")
    await engine.close()
    assert (await http.get("/health")).status_code == 503
    assert (await http.post("/triggers/greet", json={})).status_code in (404, 503)


async def test_it_can_be_mounted_in_a_program(engine: Engine) -> None:
    await engine.scheduler.triggers.on_http("greet", hello)
    app = Starlette(routes=[Mount("/jobs", application(engine, token=TOKEN))])
    async with client(app, "program.example") as http:
        assert (await http.get("/jobs/health")).status_code == 200
        assert (await http.get("/jobs/metrics")).status_code == 401
        right = {"Authorization": f"Bearer {TOKEN}"}
        answer = await http.post("/jobs/triggers/greet", json={"name": "a"}, headers=right)
        assert answer.status_code == 202


async def test_a_workflow_that_cannot_be_found_is_the_servers_fault_and_its_path_stays_here(
    engine: Engine, http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    await engine.scheduler.triggers.on_http("lost", "/nowhere/at_all.py:flow")
    answer = await http.post("/triggers/lost", json={})
    assert answer.status_code == 500
    assert "nowhere" not in answer.text
    assert "/nowhere/at_all.py" in caplog.text


async def test_triggers_of_this_program_alone_are_not_in_the_store_and_can_be_removed(
    engine: Engine, http: httpx.AsyncClient
) -> None:
    triggers = engine.scheduler.triggers
    await triggers.on_http("here", hello, keep=False)
    assert [one.name for one in await triggers.all()] == ["here"]
    assert await engine.store.read("documents", kind="trigger") == []
    assert (await http.post("/triggers/here", json={"name": "a"})).status_code == 202
    await triggers.remove("here")
    assert (await http.post("/triggers/here", json={"name": "a"})).status_code == 404


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"fields": {"n": "int"}}, "use string, integer"),
        ({"key": "n", "fields": {"n": "string?"}}, "a string or an integer that is needed"),
        ({"signature": "X-Signature"}, "needs secret="),
        ({"secret": "s", "signature": "not a header"}, "a header's name"),
    ],
)
async def test_mistakes_in_a_trigger_are_told_when_it_is_made(
    engine: Engine, options: dict[str, Any], match: str
) -> None:
    with pytest.raises(JobInvalid, match=match):
        await engine.scheduler.triggers.on_http("greet", hello, **options)
