"""Flow files that are bad: what is wrong, on which line, and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest
from flowfile_example import GOOD, Plain, Plugins, error, read, said

from chaosharness.flowfile import load
from chaosharness.model.errors import BadInput, HarnessBroke, NotAvailableYet

AFTER = len(GOOD.splitlines()) + 1
"""The line of what is appended to the good file."""


REPLACED = [
    # names
    (
        'rabbitmq = "payments"',
        'kafak = "t"',
        '5: flow.payment.source.kafak: unknown key; did you mean "kafka"? (known: ',
    ),
    (
        "effectively_once",
        "exactly_once",
        '2: flow.payment.semantic: unknown semantic "exactly_once"; did you mean "eff',
    ),
    ("because", "becuase", '1: flow.payment: gives no reason for its semantic; expected because = "…"'),
    ('"a double charge costs real money"', '""', "3: flow.payment.because: expected a string that is not empty"),
    (
        "[flow.payment.source]",
        "[flow.payment.sauce]",
        "1: flow.payment: has no source; expected a table [flow.payment.s",
    ),
    ("[flow.payment]", "[flows.payment]", '1: flows: unknown key; did you mean "flow"? (known: images, service, flow)'),
    ("http =", "htpp =", '10: flow.payment.effect.htpp: unknown key; did you mean "http"? (known: '),
    ("command =", "comand =", "7: flow.payment.consumer.comand: unknown key; did you mean"),
    (
        'semantic = "effectively_once"\n',
        "",
        "1: flow.payment: declares no semantic; expected semantic = one of at_most_on",
    ),
    # templates
    (
        "{broker}",
        "{borker}",
        '8: flow.payment.consumer.env.AMQP_URL: unknown template {borker}; did you mean "broker"?',
    ),
    (
        "{effect}",
        "{effect.hots}",
        '8: flow.payment.consumer.env.CHARGES_URL: unknown attribute "hots" of template {eff',
    ),
    ("--queue payments", "{port}", "7: flow.payment.consumer.command: unknown template {port}"),
    ("/v1/charges", "/v1/{key}", "10: flow.payment.effect.http: unknown template {key} (known: none)"),
    # commands
    ("sh pay.sh", "no-such-command", "7: flow.payment.consumer.command: command not found: no-such-command (on PATH: "),
    ("sh pay.sh", "./pay.sh", "7: flow.payment.consumer.command: command not found: ./pay.sh (looked for "),
    ("sh pay.sh", "sh 'pay.sh", "7: flow.payment.consumer.command: cannot be split by shell rules: No closing quotat"),
    ("sh pay.sh --queue payments", "''", "7: flow.payment.consumer.command: expected a command, found nothing"),
    ('command = "sh pay.sh --queue payments"\n', "", "6: flow.payment.consumer: a service needs its command: "),
    ("env =", 'cwd = "nowhere"\nenv =', "8: flow.payment.consumer.cwd: no such folder: "),
    ("env =", 'pass_env = ["NOT_SET_HERE"]\nenv =', "8: flow.payment.consumer.pass_env: NOT_SET_HERE is not set her"),
    # types and ranges
    (
        "env =",
        "replicas = 0\nenv =",
        "8: flow.payment.consumer.replicas: expected a whole number from 1 to 64, found 0",
    ),
    (
        "env =",
        "replicas = true\nenv =",
        "8: flow.payment.consumer.replicas: expected a whole number from 1 to 64, found t",
    ),
    (
        "env =",
        "stop_grace_s = -1\nenv =",
        "8: flow.payment.consumer.stop_grace_s: expected a number of seconds, found -1",
    ),
    (
        "env =",
        'restart = "sometimes"\nenv =',
        '8: flow.payment.consumer.restart: unknown policy "sometimes" (known: al',
    ),
    ('"{broker}"', "5672", "8: flow.payment.consumer.env.AMQP_URL: expected a string, found 5672"),
    ('"{broker}"', '"a\\u0000b"', "8: flow.payment.consumer.env.AMQP_URL: expected a string, found "),
    (
        "because =",
        "recover_within_s = 0\nbecause =",
        "3: flow.payment.recover_within_s: expected a number of seconds a",
    ),
    ("because =", "drain_within_s = inf\nbecause =", "3: flow.payment.drain_within_s: expected a number of seconds ab"),
    ("because =", "max_loss = -1\nbecause =", "3: flow.payment.max_loss: expected a whole number from 0 to 1000000, f"),
    ('rabbitmq = "payments"', "rabbitmq = 5", "5: flow.payment.source.rabbitmq: expected a string, found 5"),
    ('rabbitmq = "payments"', 'declare = "no"', "5: flow.payment.source.declare: expected true or false, found "),
    ('rabbitmq = "payments"', "declare = true", "4: flow.payment.source: no broker is named; expected one of rabbi"),
    (
        'rabbitmq = "payments"',
        'rabbitmq = "a"\nredis_list = "b"',
        "4: flow.payment.source: rabbitmq and redis_list: expected one source, found 2",
    ),
    (
        'rabbitmq = "payments"',
        'rabbitmq = "a"\nrouting_kye = "b"',
        '6: flow.payment.source.routing_kye: unknown key; did you mean "routing_key"?',
    ),
    (
        'rabbitmq = "payments"',
        'rabbitmq = "a"\nkey = "body:order_id"',
        '6: flow.payment.source.key: "body:order_id" is no place of a key: expected body:json:$.name',
    ),
    (
        'rabbitmq = "payments"',
        'rabbitmq = "a"\narguments = { x = 2020-01-01 }',
        "6: flow.payment.source.arguments: expected strings, numbers, true or false, arrays and tables of these, ",
    ),
    ("POST /v1/charges", "post charges", '10: flow.payment.effect.http: expected "METHOD /path", or nothing for any '),
    (
        "header:Idem",
        "haeder:Idem",
        '11: flow.payment.effect.idempotent_by: "haeder:Idempotency-Key" is no place of a k',
    ),
    ("idempotent_by =", "count = -1\nidempotent_by =", "11: flow.payment.effect.count: expected a whole number from"),
    (
        "idempotent_by =",
        "answer.status = 99\nidempotent_by =",
        "11: flow.payment.effect.answer.status: expected a whol",
    ),
    (
        "idempotent_by =",
        "answer = { bdy = '' }\nidempotent_by =",
        "11: flow.payment.effect.answer.bdy: unknown key; did",
    ),
    (
        "idempotent_by =",
        "answer.body = '{key}'\nidempotent_by =",
        "11: flow.payment.effect.answer.body: unknown template",
    ),
    (
        "[flow.payment.effect]",
        "[flow.payment.effects.effect]",
        "9: flow.payment.effects.effect: an effect's name has let",
    ),
    # names of flows and services
    ("flow.payment", 'flow."pay ment"', '1: flow."pay ment": a flow\'s name has letters, digits, - and _, at most 40'),
    (
        "flow.payment",
        "flow.harness",
        '1: flow.harness: the name "harness" is taken by the harness itself; choose another',
    ),
    # scenarios
    (
        "because =",
        'scenarios = ["efect-ack:*"]\nbecause =',
        '3: flow.payment.scenarios: unknown window "efect-ack"; did',
    ),
    (
        "because =",
        'scenarios = ["effect-ack:crush"]\nbecause =',
        '3: flow.payment.scenarios: unknown fault "crush"; did ',
    ),
    (
        "because =",
        'scenarios = ["effect-ack"]\nbecause =',
        '3: flow.payment.scenarios: expected "window:fault", found "',
    ),
    (
        "because =",
        'scenarios = ["deliver-effect:partition"]\nbecause =',
        "3: flow.payment.scenarios: no scenario of this fl",
    ),
    ("because =", "scenarios = []\nbecause =", '3: flow.payment.scenarios: names no scenario; expected e.g. ["effect-'),
    ("because =", 'scenarios = "*"\nbecause =', '3: flow.payment.scenarios: expected an array of strings, found "*"'),
]
APPENDED = [
    ("[flow.payment.effects.two]\n", "expected either effect or effects, found both"),
    ("[flow.payment.workload]\nmessages = 0", "expected a whole number from 1 to 1000000, found 0"),
    ("[flow.payment.workload]\nmesages = 5", 'unknown key; did you mean "messages"?'),
    ("[flow.payment.workload]\nin_flight = 1\nrate_per_s = 2", "expected either in_flight or rate_per_s, found both"),
    (
        '[flow.payment.workload]\npayload = \'{"id": "{kye}"}\'',
        'unknown template {kye}; did you mean "key"? (known: key)',
    ),
    ("[flow.payment.workload]\nheaders.a = '{broker}'", "unknown template {broker} (known: key)"),
    (
        "[flow.payment.workload]\nproperties.a = 1979-05-27",
        "expected strings, numbers, true or false, arrays and tables",
    ),
    ("[flow.payment.workload]\ntarget = 200", "expected the number of one of the 200 messages, 0 to 199, found 200"),
    ("[flow.payment.workload]\ntarget = 'a b'", 'expected the number of a message, a key, or "module:function", found'),
    ("[flow.payment.workload]\nkey_as = 'hex'", 'unknown form of a key "hex" (known: text, uuid, int)'),
    ("[flow.payment.producer]\ncommand = 'sh'\ndrive = 'POST'", 'expected "stdin" or "METHOD /path", found "POST"'),
    (
        "[flow.payment.producer]\ncommand = 'sh'\ndrive = 'POST /o'",
        "the requests go to {port}, which neither command nor",
    ),
    ("[flow.payment.producer]\ncommand = 'sh'\nreplicas = 2", "unknown key"),
    ("[flow.payment.producer]\ncommand = 'sh {effect}'", "unknown template {effect}"),
    (
        "[flow.payment.waive]\n'efect-ack:crash' = { lost = 1, because = 'x' }",
        'unknown window "efect-ack"; did you mean',
    ),
    (
        "[flow.payment.waive]\n'effect-ack:crush' = { lost = 1, because = 'x' }",
        'unknown fault "crush"; did you mean "cra',
    ),
    ("[flow.payment.waive]\n'*:crash' = { lots = 1, because = 'x' }", 'unknown key; did you mean "lost"?'),
    ("[flow.payment.waive]\n'*:crash' = { lost = 1 }", 'a waiver needs its reason: because = "…"'),
    ("[flow.payment.waive]\n'*:crash' = { lost = 1, because = ' ' }", "expected a string that is not empty, found"),
    (
        "[flow.payment.waive]\n'*:crash' = { because = 'x' }",
        "waives nothing; expected a finding and how many, e.g. dup",
    ),
    ("[flow.payment.waive]\n'*:crash' = { unproven = 1, because = 'x' }", "unproven cannot be waived"),
    ("[flow.payment.waive]\n'*:crash' = { window_hit = 1, because = 'x' }", "unproven cannot be waived"),
    (
        "[flow.payment.waive]\n'*:crash' = { lost = 0, because = 'x' }",
        "expected a whole number from 1 to 1000000, found 0",
    ),
    ("[flow.payment.stores]\ndedup = 'reds'", 'unknown store "reds"; did you mean "redis"? (known: redis, postgres)'),
    ("[flow.payment.stores]\ndedup = { knd = 'redis' }", "has no kind; expected one of redis, postgres"),
    ("[service.payment]\ncommand = 'sh'", 'the name "payment" is taken by service.payment; choose another'),
    ("[service.shop]\ncomand = 'sh'", "a service needs its command"),
    ("[images]\nrabbitmq = 4", "expected a string, found 4"),
]


@pytest.mark.parametrize(("good", "bad", "message"), REPLACED)
def test_one_thing_wrong(tmp_path: Path, good: str, bad: str, message: str) -> None:
    assert good in GOOD
    lines = said(tmp_path, GOOD.replace(good, bad)).splitlines()
    assert any(line.startswith(f"flows.toml:{message}") for line in lines), lines


@pytest.mark.parametrize(("table", "message"), APPENDED)
def test_one_table_wrong(tmp_path: Path, table: str, message: str) -> None:
    lines = [line.split(": ", 2) for line in said(tmp_path, GOOD + table + "\n").splitlines()]
    known = range(1, AFTER + 3)
    assert any(int(place.split(":")[1]) in known and what.startswith(message) for place, _, what in lines), lines


def test_all_problems_at_once_in_the_files_order(tmp_path: Path) -> None:
    text = GOOD.replace("because", "becuase").replace("{broker}", "{key}").replace("http =", "htpp =")
    lines = said(tmp_path, text.replace("env =", "replicas = -1\nenv =")).splitlines()
    assert [line.split(":")[1] for line in lines] == ["1", "3", "8", "11"]


def test_what_is_wrong_comes_before_what_is_not_available_yet(tmp_path: Path) -> None:
    caught = error(tmp_path, GOOD.replace('rabbitmq = "payments"', 'kafka = "t"').replace("http =", "htpp ="))
    assert not isinstance(caught, NotAvailableYet)
    assert "not available yet: the source kafka" in str(caught)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[flow.payment]\nsemantic = \n", "flows.toml:2: not TOML: Invalid value (column 12)"),
        ("[flow.payment]\na = 1\na = 2\n", "flows.toml:3: not TOML: Cannot overwrite a value"),
        ("a = [1,\n\n", "flows.toml:3: not TOML: "),
        (f"a = {'9' * 5000}\n", "flows.toml: not TOML: Exceeds the limit"),
        (f"a = {'[' * 20000}", "flows.toml"),
        ("", "flows.toml: no flow is declared; expected a table [flow.NAME]"),
        ("flow = 3", "flows.toml:1: flow: expected a table, found 3"),
        ("[flow]\na = 3", "flows.toml:2: flow.a: expected a table, found 3"),
    ],
)
def test_no_flow_file_at_all(tmp_path: Path, text: str, message: str) -> None:
    assert said(tmp_path, text).startswith(message)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match=r"nowhere\.toml: cannot be read: No such file or directory; `chaosharness init`"
    ):
        load(tmp_path / "nowhere.toml", Plugins())
    with pytest.raises(BadInput, match="cannot be read: Is a directory"):
        load(tmp_path, Plugins())
    (tmp_path / "latin.toml").write_bytes(b"a = '\xe9'")
    with pytest.raises(BadInput, match=r"latin\.toml: not UTF-8, which TOML is: byte 5"):
        load(tmp_path / "latin.toml", Plugins())


def test_a_broker_and_a_sink_object_at_their_keys(tmp_path: Path) -> None:
    plugins = Plugins(rabbitmq=Plain("rabbitmq: too long", "it is Monday"), http=Plain("http: GET changes nothing"))
    assert said(tmp_path, GOOD, plugins).splitlines() == [
        "flows.toml:4: flow.payment.source: it is Monday",
        "flows.toml:5: flow.payment.source.rabbitmq: too long",
        "flows.toml:10: flow.payment.effect.http: GET changes nothing",
    ]


def test_a_plugin_that_fails_is_named(tmp_path: Path) -> None:
    with pytest.raises(HarnessBroke, match='the broker "rabbitmq" failed while it checked a flow: AttributeError'):
        read(tmp_path, GOOD, Plugins(rabbitmq=object()))


SHARED = """
[service.shop]
command = "sh shop.sh TEMPLATE"
[flow.a]
semantic = "at_least_once"
because = "b"
source.rabbitmq = "a"
consumer = "shop"
effect.http = "POST /a"
[flow.b]
semantic = "at_least_once"
because = "b"
source.rabbitmq = "b"
consumer = "SERVICE"
effect.http = "POST /b"
"""


def test_a_shared_service_names_its_flows(tmp_path: Path) -> None:
    def shared(template: str) -> str:
        return SHARED.replace("TEMPLATE", template).replace("SERVICE", "shop")

    assert len(read(tmp_path, shared("{a.effect} {b.effect.host} {broker}")).flows) == 2
    message = said(tmp_path, shared("{effect}"))
    assert message.startswith("flows.toml:3: service.shop.command: unknown template {effect}; did you mean ")
    assert "a.effect" in message
    assert said(tmp_path, shared("{c.effect}")).startswith("flows.toml:3: service.shop.command: unknown template {c.")


def test_an_unknown_service(tmp_path: Path) -> None:
    message = said(tmp_path, SHARED.replace("TEMPLATE", "").replace("SERVICE", "shp"))
    assert message == 'flows.toml:14: flow.b.consumer: unknown service "shp"; did you mean "shop"? (known: shop)'


def test_a_consumer_without_an_effect_and_an_effect_without_a_consumer(tmp_path: Path) -> None:
    head, consumer, effect = GOOD.partition("[flow.payment.consumer]")[0], GOOD[GOOD.index("[flow.payment.c") :], ""
    consumer, _, effect = consumer.partition("[flow.payment.effect]")
    assert said(tmp_path, head + consumer).startswith("flows.toml:1: flow.payment: has a consumer and no effect")
    message = said(tmp_path, f"{head}[flow.payment.effect]{effect}")
    assert message.startswith("flows.toml:6: flow.payment.effect: an effect needs a consumer to cause it")


def test_a_command_that_is_not_executable(tmp_path: Path) -> None:
    (tmp_path / "pay.sh").write_text("")
    message = said(tmp_path, GOOD.replace("sh pay.sh", "./pay.sh"))
    assert message.startswith("flows.toml:7: flow.payment.consumer.command: command is not executable: ./pay.sh (chmod")
