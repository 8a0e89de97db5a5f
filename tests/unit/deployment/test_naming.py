"""Two stages, and two apps, are told apart by the tag Chalice gives them."""

from deployment.naming import log_group, owner


def test_the_owner_is_app_and_stage_whatever_the_version() -> None:
    before = owner({"aws-chalice": "version=1.33.0:stage=dev:app=parrot"})
    assert before == owner({"aws-chalice": "version=1.34.0:stage=dev:app=parrot", "more": "tags"})
    assert before != owner({"aws-chalice": "version=1.34.0:stage=prod:app=parrot"})
    assert before != owner({"aws-chalice": "version=1.34.0:stage=dev:app=cockatoo"})


def test_what_has_no_tag_has_no_owner() -> None:
    assert owner({}) is None
    assert owner({"aws-chalice": "version=1.34.0"}) is None


def test_log_groups_are_where_lambda_writes() -> None:
    assert log_group("parrot-dev") == "/aws/lambda/parrot-dev"
