"""What clients share: a call that must be refused."""

from botocore.exceptions import ClientError


def refused(code, call, **arguments):
    """The words with which a call is refused, which must be by that code."""
    try:
        call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
        return error.response["Error"]["Message"]
    raise AssertionError(f"{call.__name__} {arguments} was not refused with {code}")
