import pytest

from tests.orchestrations.provider import MODEL, Provider, open_account

PATH = "/v1/orchestrations/llm-inference"
ASKED = {"model": MODEL, "prompt": "Is it covered?", "agent_id": "maip-agent:desk"}


@pytest.fixture
def provider():
    with Provider().serving() as provider:
        yield provider


def test_it_answers(alice, provider):
    open_account(alice.tenant, provider)
    answer = alice.post(PATH, ASKED)
    print(answer.content)
    assert answer.status_code == 200
