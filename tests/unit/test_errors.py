"""The error tree is the one its page draws."""

import re

import pytest

from chalicelib import errors
from chalicelib.errors import ClientError, PortcullisError


def test_every_error_is_on_the_page_and_says_what_the_caller_can_do() -> None:
    drawn = re.findall(r"^ *\* (\w+)", errors.__doc__ or "", re.MULTILINE)
    defined = [name for name, value in vars(errors).items() if isinstance(value, type)]
    assert drawn == defined
    assert all(issubclass(getattr(errors, name), PortcullisError) for name in defined)


def test_a_client_error_is_its_code_and_its_message() -> None:
    with pytest.raises(ClientError, match=r"^too_deep: Nested too deep$") as caught:
        raise ClientError("too_deep", "Nested too deep")
    assert (caught.value.code, caught.value.message) == ("too_deep", "Nested too deep")
