"""AWS Signature Version 4, by AWS's own library, which only those need who use it."""

import re
from urllib.parse import urlsplit

from lucid.api.errors import ApiError, Code
from orchestrations.gateway.upstream import Headers

REGION = re.compile(r"\.([a-z]{2}(?:-[a-z]+)+-[0-9])\.")
DEFAULT_REGION = "us-east-1"
SERVICE = "bedrock"


def sign(credential: str, url: str, body: bytes) -> Headers:
    """Return the headers that sign a POST of JSON; raises the 502.

    `credential` is `ACCESS_KEY_ID:SECRET_ACCESS_KEY`, and `:SESSION_TOKEN` where it
    is a passing one. The region is that of the host's name.
    """
    try:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials
    except ImportError:
        raise ApiError(
            Code.PROVIDER_ERROR,
            "AWS access keys need botocore: pip install 'lucid[bedrock]'; a Bedrock"
            " API key does without.",
        ) from None
    key_id, _, rest = credential.partition(":")
    secret, _, token = rest.partition(":")
    headers = {"Content-Type": "application/json"}
    request = AWSRequest("POST", url, headers, body)
    credentials = Credentials(key_id, secret, token or None)
    SigV4Auth(credentials, SERVICE, region_of(url)).add_auth(request)
    return [
        (name.encode(), value.encode())
        for name, value in request.headers.items()
        if name != "Content-Type"
    ]


def region_of(url: str) -> str:
    found = REGION.search(urlsplit(url).hostname or "")
    return found[1] if found else DEFAULT_REGION
