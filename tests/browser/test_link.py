"""What the page's class Link promises to whoever takes it as an example of a client."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import OpenWindow
from tests.end_to_end.conftest import Serve, accept
from tests.gateway_process import GatewayProcess


def states_of(page: Page) -> list[str]:
    found: list[str] = page.evaluate("told.map(({ state }) => state)")
    return found


@pytest.fixture
def page(gateway: GatewayProcess, open_window: OpenWindow) -> Page:
    """The console's page, which may speak to any server, with a clock that only a test moves."""
    window = open_window("about:blank", bypass_csp=True)
    window.page.clock.install(time=0)
    window.page.clock.pause_at(1)
    window.page.goto(gateway.http_url)
    window.page.evaluate("window.told = []")
    return window.page


def start(page: Page, address: str) -> None:
    """Open a link, and keep what it tells."""
    page.evaluate(
        """(address) => {
            window.line = new Link(async () => address, () => 1);
            line.addEventListener('state', ({ detail }) => told.push(detail));
            line.open();
        }""",
        address,
    )
    page.wait_for_function("told.length > 1")


def test_waits_double_up_to_half_a_minute_and_any_part_of_one_may_be_taken(page: Page) -> None:
    page.clock.set_fixed_time(0)
    waits: dict[str, list[float]] = page.evaluate(
        """async () => {
            const waits = async (part) => {
                const found = [];
                const absent = () => Promise.reject(new Failure('no_answer', 'Nobody is there.'));
                const link = new Link(absent, () => part);
                link.addEventListener('state', ({ detail: { state, retryAt } }) => {
                    if (state === 'waiting') found.push((retryAt - Date.now()) / 1000);
                });
                for (let attempt = 0; attempt < 7; attempt++) await link.open();
                link.close();
                return found;
            };
            return { longest: await waits(1), half: await waits(0.5), shortest: await waits(0) };
        }"""
    )
    assert waits["longest"] == [1, 2, 4, 8, 16, 30, 30]
    assert waits["half"] == [0.5, 1, 2, 4, 8, 15, 15]
    assert waits["shortest"] == [0] * 7


def test_a_reason_that_will_not_change_ends_the_attempts(page: Page) -> None:
    told = page.evaluate(
        """async () => {
            const told = [];
            const link = new Link(() => Promise.reject(new Failure('http_401', 'No.', true)));
            link.addEventListener('state', ({ detail }) => told.push(detail));
            await link.open();
            return told;
        }"""
    )
    assert [(it["state"], it["words"]) for it in told] == [("connecting", ""), ("closed", "No.")]


def test_who_closes_while_an_address_is_asked_for_stays_closed(page: Page) -> None:
    states, opened = page.evaluate(
        """async () => {
            const states = [], opened = [];
            window.WebSocket = class { constructor(url) { opened.push(url); } };
            let answer;
            const link = new Link(() => new Promise((resolve) => { answer = resolve; }));
            link.addEventListener('state', ({ detail }) => states.push(detail.state));
            const opening = link.open();
            link.close();
            answer('ws://127.0.0.1:9/');
            await opening;
            return [states, opened];
        }"""
    )
    assert states == ["connecting", "closed"]
    assert opened == []


def test_an_idle_line_is_pinged_and_one_that_is_dead_is_left(page: Page, serve: Serve) -> None:
    deaf = serve(connect=accept, disconnect=accept, message=accept)
    start(page, deaf.url)
    assert states_of(page) == ["connecting", "open"]
    page.clock.fast_forward("08:59")
    assert deaf.events("message") == []
    page.clock.fast_forward("00:02")
    ping = json.loads(deaf.wait_for("message")["body"])
    assert ping == {"action": "ping", "id": "console-1"}
    page.clock.fast_forward("00:31")
    page.wait_for_function("told.at(-1).state === 'waiting'")
    deaf.wait_for("disconnect")


def test_what_is_unanswered_fails_when_the_line_breaks_and_is_not_sent_again(
    page: Page, serve: Serve
) -> None:
    deaf = serve(connect=accept, disconnect=accept, message=accept)
    start(page, deaf.url)
    page.evaluate(
        """() => {
            const asked = line.request('sendmessage', { message: 'once' });
            window.answer = asked.catch(({ code }) => code);
        }"""
    )
    deaf.wait_for("message")
    deaf.clock_offset = 1000 * int(deaf.limits.idle_timeout)
    deaf.wait_for("disconnect")
    assert page.evaluate("answer") == "connection_lost"
    assert page.evaluate("told.at(-1).words").endswith("(1001 Going away).")
    assert states_of(page)[-1] == "waiting"
    page.clock.fast_forward("00:02")
    page.wait_for_function("told.at(-1).state === 'open'")
    page.evaluate("void line.request('ping').catch(() => {})")
    deaf.wait_for("message", 2)
    actions = [json.loads(event["body"])["action"] for event in deaf.events("message")]
    assert actions == ["sendmessage", "ping"]
    assert len(deaf.events("connect")) == 2


def test_a_line_is_looked_at_when_the_network_has_changed(page: Page, serve: Serve) -> None:
    deaf = serve(connect=accept, disconnect=accept, message=accept)
    start(page, deaf.url)
    page.evaluate("line.check()")
    assert json.loads(deaf.wait_for("message")["body"])["action"] == "ping"
    page.clock.fast_forward("00:06")
    page.wait_for_function("told.at(-1).state === 'waiting'")
    assert page.evaluate("line.check(); line.state") == "connecting", "it waits no longer"
    page.wait_for_function("told.at(-1).state === 'open'")
    page.evaluate("line.close(); line.check()")
    assert states_of(page) == ["connecting", "open", "waiting", "connecting", "open", "closed"]


@pytest.fixture
def scripted(page: Page) -> Page:
    """A link whose sockets do what the test says, and keep what is sent."""
    page.evaluate(
        """() => {
            window.sockets = [];
            window.WebSocket = class {
                sent = [];
                constructor() { sockets.push(this); }
                send(text) { this.sent.push(text); }
                close() {}
            };
            window.line = new Link(async () => 'ws://127.0.0.1:9/', () => 1);
            line.addEventListener('state', ({ detail }) =>
                told.push({ ...detail, at: Date.now() }));
            line.addEventListener('frame', ({ detail }) => told.push({ state: 'frame', detail }));
        }"""
    )
    page.evaluate("line.open()")
    return page


def wait_for_socket(page: Page, number: int) -> None:
    page.clock.fast_forward("00:31")
    page.wait_for_function(f"sockets.length === {number}")


def test_a_line_is_pinged_once_however_often_it_was_opened(scripted: Page) -> None:
    scripted.evaluate("sockets[0].onopen(); sockets[0].onclose({ code: 1006 })")
    wait_for_socket(scripted, 2)
    scripted.evaluate("sockets[1].onopen()")
    scripted.clock.fast_forward("09:01")
    assert scripted.evaluate("sockets.map(({ sent }) => sent.length)") == [0, 1]


def test_a_line_that_held_for_a_while_starts_the_waits_anew(scripted: Page) -> None:
    for number in range(4):
        scripted.evaluate(f"sockets[{number}].onopen()")
        if number == 3:
            scripted.clock.fast_forward("00:11")
        scripted.evaluate(f"sockets[{number}].onclose({{ code: 1006 }})")
        wait_for_socket(scripted, number + 2)
    waits = scripted.evaluate(
        "told.filter((it) => it.state === 'waiting').map((it) => (it.retryAt - it.at) / 1000)"
    )
    assert [round(wait) for wait in waits] == [1, 2, 4, 1]


def test_a_handshake_that_nobody_answers_is_given_up(scripted: Page) -> None:
    assert states_of(scripted) == ["connecting"]
    scripted.clock.fast_forward("00:16")
    assert states_of(scripted) == ["connecting", "waiting"]


def test_what_a_socket_says_after_it_was_left_is_not_told(scripted: Page) -> None:
    scripted.evaluate(
        """() => {
            sockets[0].onopen();
            sockets[0].onmessage({ data: '{"type": "weather"}' });
            line.close();
            sockets[0].onmessage({ data: '{"type": "weather"}' });
            sockets[0].onclose({ code: 1000 });
        }"""
    )
    assert states_of(scripted) == ["connecting", "open", "frame", "closed"]


def test_what_is_not_answered_in_time_fails_and_the_line_stays_open(scripted: Page) -> None:
    scripted.evaluate(
        """() => {
            sockets[0].onopen();
            window.answer = line.request('whoami').catch(({ code }) => code);
        }"""
    )
    scripted.clock.fast_forward("00:31")
    assert scripted.evaluate("answer") == "no_answer"
    assert states_of(scripted) == ["connecting", "open"]
