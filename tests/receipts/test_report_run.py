from tests.caller import RUN


def test_it_answers_a_signed_receipt(alice):
    answer = alice.post("/v1/receipts", RUN)
    assert answer.status_code == 200, answer.content
    assert answer["Content-Type"] == "application/json"
