"""Origins as somebody writes them into config.json."""

import pytest

from chalicelib.credential_settings import normalized_origin
from tests.origins import SEVERAL


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, text) for text in SEVERAL),
        ("https://App.Example.COM", "https://app.example.com"),
        ("HTTPS://app.example.com", "https://app.example.com"),
        ("https://app.example.com/", "https://app.example.com"),
        ("https://app.example.com:443", "https://app.example.com"),
        ("https://app.example.com:443/", "https://app.example.com"),
        ("http://app.example.com:80", "http://app.example.com"),
        ("https://app.example.com:80", "https://app.example.com:80"),
        ("http://app.example.com:443", "http://app.example.com:443"),
        ("https://[2001:DB8::1]:443", "https://[2001:db8::1]"),
        ("https://\u212aelvin.example", "https://kelvin.example"),  # as browsers lower it
    ],
)
def test_an_origin_is_kept_as_browsers_write_it(text: str, expected: str) -> None:
    assert normalized_origin(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("null", id="the origin of nobody"),
        pytest.param("*", id="a star"),
        pytest.param("https://*", id="a star for a host"),
        pytest.param("https://*.example.com", id="a star in a host"),
        pytest.param("app.example.com", id="no scheme"),
        pytest.param("//app.example.com", id="an empty scheme"),
        pytest.param("https:app.example.com", id="no slashes"),
        pytest.param("https://", id="no host"),
        pytest.param("https:///", id="no host and a slash"),
        pytest.param("https://app.example.com//", id="two slashes at the end"),
        pytest.param("https://app.example.com/chat", id="a path"),
        pytest.param("https://app.example.com?a", id="a query"),
        pytest.param("https://app.example.com#a", id="a fragment"),
        pytest.param("https://user@app.example.com", id="a user"),
        pytest.param("https://user:word@app.example.com", id="a user and a password"),
        pytest.param("https://app.example.com:", id="an empty port"),
        pytest.param("https://app.example.com:https", id="a port in letters"),
        pytest.param("https://app.example.com:123456", id="a port that is too long"),
        pytest.param("https://app.example.com:-1", id="a negative port"),
        pytest.param("https://b\u00fccher.example", id="what browsers write in punycode"),
        pytest.param("https://app\u3002example.com", id="an ideographic dot"),
        pytest.param("https://app.example.com:\u0664\u0664\u0663", id="a port in other digits"),
        pytest.param("https://2001:db8::1", id="IPv6 without brackets"),
        pytest.param("https://[2001:db8::1", id="half a bracket"),
        pytest.param("https://[fe80::1%eth0]", id="IPv6 with a zone"),
        pytest.param("https://app%2eexample.com", id="an escape"),
        pytest.param("https://app.example.com\n", id="a new line"),
        pytest.param("https://a.example https://b.example", id="two"),
        pytest.param("ht!tp://app.example.com", id="a scheme that is none"),
    ],
)
def test_what_is_no_origin_is_none(text: str) -> None:
    assert normalized_origin(text) is None
