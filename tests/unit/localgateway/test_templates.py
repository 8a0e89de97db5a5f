"""Mapping templates: what Velocity and API Gateway's variables render to."""

from __future__ import annotations

import base64
import json
import urllib.parse
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localgateway.templates import TemplateFailed, Util, render

CONTEXT = {
    "connectionId": "Qm3xTe7hoAMCKpw=",
    "connectedAt": 1_741_082_403_000,
    "routeKey": "sendmessage",
    "identity": {"sourceIp": "192.0.2.44"},
    "authorizer": {"principalId": "ann", "tenant": None},
}
BODY = json.dumps(
    {
        "action": "sendmessage",
        "data": {"to": ["ann", "bob"], "urgent": True, "note": None},
        "count": 3,
        "text": 'it\'s "so"',
    }
)
ESCAPED = """$util.escapeJavaScript($input.body)"""
MENDED = ESCAPED + r""".replaceAll("\\'","'")"""


def rendered(template: str, body: str = BODY) -> str:
    return render(template, body=body, context=CONTEXT, stage_variables={"tier": "gold"})


@pytest.mark.parametrize(
    ("template", "text"),
    [
        pytest.param("", "", id="an empty template"),
        pytest.param('{"a": 1}', '{"a": 1}', id="text"),
        pytest.param("$context.connectionId", "Qm3xTe7hoAMCKpw=", id="of the context"),
        pytest.param("$context.connectedAt", "1741082403000", id="a number of the context"),
        pytest.param("${context.routeKey}s", "sendmessages", id="a reference in braces"),
        pytest.param("$context.identity.sourceIp", "192.0.2.44", id="deep in the context"),
        pytest.param("$context.authorizer.principalId", "ann", id="the principal"),
        pytest.param("[$context.authorizer.tenant]", "[]", id="a null"),
        pytest.param("[$context.isBase64Encoded]", "[]", id="what a context does not have"),
        pytest.param("[$context.no.such.thing]", "[]", id="deeper than a context goes"),
        pytest.param("[$nothing]", "[]", id="a variable nobody has set"),
        pytest.param("$stageVariables.tier", "gold", id="a stage variable"),
        pytest.param("[$stageVariables.other]", "[]", id="a stage variable nobody has set"),
        pytest.param("$input.body", BODY, id="the message"),
        pytest.param("$input.json('$')", BODY.replace(": ", ":").replace(", ", ","), id="as JSON"),
        pytest.param("$input.json('$.data.to')", '["ann","bob"]', id="a part as JSON"),
        pytest.param("$input.json('$.text')", r'"it\'s \"so\""'.replace(r"\'", "'"), id="a string"),
        pytest.param("$input.json('$.data.note')", "null", id="null as JSON"),
        pytest.param("[$input.json('$.other')]", "[]", id="nothing as JSON"),
        pytest.param("$input.path('$.data.to[1]')", "bob", id="a string as itself"),
        pytest.param("$input.path('$.data').to[1]", "bob", id="an object goes on"),
        pytest.param("$input.path('$.count')", "3", id="a number as itself"),
        pytest.param("$input.path('$.data.urgent')", "true", id="a boolean as itself"),
        pytest.param("[$input.path('$.data.note')]", "[]", id="null as itself"),
        pytest.param("[$input.path('$.other')]", "[]", id="nothing as itself"),
        pytest.param("[$input.params('token')]", "[]", id="a message has no parameters"),
        pytest.param(
            "#foreach($name in $input.path('$.data.to'))<$name>#end", "<ann><bob>", id="a loop"
        ),
        pytest.param(
            "#set($n = $input.path('$.count'))#if($n == 3)three#{else}other#end",
            "three",
            id="a variable and a condition",
        ),
        pytest.param("## a comment\nrest", "rest", id="a comment"),
        pytest.param("$util.parseJson($input.body).data.to[0]", "ann", id="text as JSON"),
        pytest.param("$util.urlEncode('a b&c=d/é')", "a+b%26c%3Dd%2F%C3%A9", id="encoded"),
        pytest.param("$util.urlEncode('*-._~')", "*-._%7E", id="as forms encode punctuation"),
        pytest.param("$util.urlDecode('a+b%26c%3Dd%2F%C3%A9')", "a b&c=d/é", id="decoded"),
        pytest.param("$util.base64Encode('é')", "w6k=", id="to base64"),
        pytest.param("$util.base64Decode('w6k=')", "é", id="from base64"),
        pytest.param("$util.escapeJavaScript($input.path('$.count'))", "3", id="a number escaped"),
        pytest.param(
            "$util.escapeJavaScript($input.path('$.data.urgent'))", "true", id="a boolean escaped"
        ),
        pytest.param("[$util.escapeJavaScript($context.other)]", "[]", id="nothing escaped"),
    ],
)
def test_a_template_renders(template: str, text: str) -> None:
    assert rendered(template) == text


@pytest.mark.parametrize(
    ("template", "body"),
    [
        pytest.param("$input.json('$')", "hello", id="JSON of what is not JSON"),
        pytest.param("$input.path('$.a')", "", id="a path into nothing"),
        pytest.param("$input.json('$..a')", "{}", id="a path that is none"),
        pytest.param("$util.parseJson('{')", "{}", id="parsing what is not JSON"),
        pytest.param("$util.base64Decode('gA==')", "{}", id="base64 of what is not UTF-8"),
        pytest.param("#foreach($x in $y", "{}", id="a loop that never closes"),
        pytest.param("#if($x)yes", "{}", id="a condition that never ends"),
    ],
)
def test_a_template_that_cannot_be_rendered_fails(template: str, body: str) -> None:
    with pytest.raises(TemplateFailed):
        rendered(template, body)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("$context.connectionId", id="a reference"),
        pytest.param("#set($x = 1)#foreach(", id="directives"),
        pytest.param("\\$util \\\\ $!{input.body}", id="backslashes"),
    ],
)
def test_a_message_is_never_itself_a_template(body: str) -> None:
    assert rendered("$input.body", body) == body


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        pytest.param("", "", id="nothing"),
        pytest.param("plain text 1~", "plain text 1~", id="plain text"),
        pytest.param("it's", r"it\'s", id="an apostrophe"),
        pytest.param('"', r"\"", id="a quote"),
        pytest.param("\\", r"\\", id="a backslash"),
        pytest.param("</script>", r"<\/script>", id="a slash"),
        pytest.param("\b\t\n\f\r", r"\b\t\n\f\r", id="control characters with a name"),
        pytest.param("\x00\x0b\x1f", r"\u0000\u000B\u001F", id="control characters without"),
        pytest.param("\x7f", "\x7f", id="DEL, which commons-lang leaves"),
        pytest.param("\x80é", r"\u0080\u00E9", id="above ASCII"),
        pytest.param("\u2028", r"\u2028", id="a line separator"),
        pytest.param("😀", r"\uD83D\uDE00", id="two units for an emoji"),
        pytest.param("\ud800", r"\uD800", id="half a character"),
    ],
)
def test_escape_javascript_escapes_as_commons_lang_does(text: str, escaped: str) -> None:
    assert Util().escapeJavaScript(text) == escaped


def test_an_apostrophe_makes_json_of_escaped_text_invalid() -> None:
    body = '{"text": "it\'s"}'
    text = rendered(f'{{"body": "{ESCAPED}"}}', body)
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)
    assert json.loads(rendered(f'{{"body": "{MENDED}"}}', body)) == {"body": body}


@settings(deadline=None)
@given(st.text() | st.text("'\\\"/$#\n{}u"))
def test_escaped_and_mended_text_survives_json(body: str) -> None:
    assert json.loads(rendered(f'{{"body": "{MENDED}"}}', body)) == {"body": body}


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(JSON)
def test_a_value_as_json_is_that_value(value: Any) -> None:
    assert json.loads(rendered("$input.json('$.v')", json.dumps({"v": value}))) == value


@given(st.text())
def test_encoded_text_decodes_to_itself(text: str) -> None:
    util = Util()
    assert util.urlDecode(util.urlEncode(text)) == text
    assert util.base64Decode(util.base64Encode(text)) == text
    assert base64.b64decode(util.base64Encode(text)) == text.encode()
    assert urllib.parse.parse_qsl(f"a={util.urlEncode(text)}", keep_blank_values=True) == [
        ("a", text)
    ]
