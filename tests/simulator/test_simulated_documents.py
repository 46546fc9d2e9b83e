"""Documents: the habits of the provider's printer (protocol 3.2.2, provider in practice section 2)."""

from __future__ import annotations

import orjson
import pytest

from bridge.simulator import Action, Defect, Dialect, DirectoryEntry, KeyCase, Mail, UnreadCount
from bridge.simulator.faults.defects import OVERSIZED_BYTES, spoil
from bridge.simulator.wire.documents import encode, errcode_document, push_document

MAIL = Mail(
    mailbox="bob@gzdev.com",
    mail_id="ZC4028-FPiX_oOG5HUh4XorwyhAY33",
    sender='"Test" <test@gzdev.com>',
    receiver="bob@gzdev.com",
    subject="TestMail",
    summary="TestMail Content ",
    unread=549,
    time_s=0.0,
    user_name="bob@gzdev.com",
)
MAIL_BYTES = (
    b'{"UserName":"bob@gzdev.com","MailId":"ZC4028-FPiX_oOG5HUh4XorwyhAY33",'
    b'"Sender":"\\"Test\\" <test@gzdev.com>","Receiver":"bob@gzdev.com","Subject":"TestMail",'
    b'"Summary":"TestMail Content ","NewCount":549}'
)
COUNT = UnreadCount("bob@gzdev.com", 550)


def test_the_three_pushes_of_the_document():
    """The values of the document's own examples, in its order; Ver is a string here."""
    assert push_document(MAIL, Dialect()) == MAIL_BYTES
    assert push_document(COUNT, Dialect()) == b'{"UserName":"bob@gzdev.com","NewCount":550}'
    entry = DirectoryEntry(1364460338051, Action.MOD, "bob@gzdev.com")
    assert push_document(entry, Dialect()) == b'{"Ver":"1364460338051"}'
    assert push_document(entry, Dialect(push_ver_as_text=False), ver_shift_ms=-1) == b'{"Ver":1364460338050}'


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        (Dialect(padded_keys=True), b'{" UserName":"bob@gzdev.com"," NewCount ":550}'),
        (Dialect(trailing_commas=True), b'{"UserName":"bob@gzdev.com","NewCount":550,}'),
        (Dialect(key_case=KeyCase.LOWER), b'{"username":"bob@gzdev.com","newcount":550}'),
        (Dialect(key_case=KeyCase.UPPER), b'{"USERNAME":"bob@gzdev.com","NEWCOUNT":550}'),
        (Dialect(push_count_as_text=True), b'{"UserName":"bob@gzdev.com","NewCount":"550"}'),
        (Dialect(indented=True), b'{\n  "UserName": "bob@gzdev.com",\n  "NewCount": 550\n}'),
        (
            Dialect(padded_keys=True, trailing_commas=True, key_case=KeyCase.LOWER),
            b'{" username":"bob@gzdev.com"," newcount ":550,}',
        ),
    ],
)
def test_habits(dialect: Dialect, expected: bytes):
    """Padded keys, trailing commas, case, counts as text, line breaks: alone and together."""
    assert push_document(COUNT, dialect) == expected


def test_habits_reach_nested_values_but_no_strings():
    """The document's ``user/list`` example has its comma inside the inner object; text with braces stays as it is."""
    value = {"List": [{"Action": 3, "Alias": "}],"}]}
    assert encode(value, Dialect(trailing_commas=True)) == b'{"List":[{"Action":3,"Alias":"}],",},],}'
    assert encode(value, Dialect(key_case=KeyCase.LOWER)) == b'{"list":[{"action":3,"alias":"}],"}]}'


def test_errcodes_are_strings():
    """``errcode`` is a string and the text stands under ``error``; unknown codes come without a text."""
    assert errcode_document(1200, Dialect()) == b'{"errcode":"1200","error":"invalid_token"}'
    assert errcode_document(10001, Dialect()) == b'{"errcode":"10001","error":""}'


@pytest.mark.parametrize("defect", [*Defect])
def test_a_defect_is_what_it_says(defect: Defect):
    """A defect that can be repaired leaves the mail's name readable; a strict reader refuses what is no JSON."""
    spoilt = spoil(MAIL_BYTES, defect)
    strict = defect in (Defect.UNKNOWN_SHAPE, Defect.NO_USER_NAME, Defect.OVERSIZED)
    if strict:
        orjson.loads(spoilt)
    else:
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(spoilt)
    assert (b'"MailId":"ZC4028-FPiX_oOG5HUh4XorwyhAY33"' in spoilt) == (
        defect.repairable or defect in (Defect.NO_USER_NAME, Defect.OVERSIZED)
    )
    assert (b"UserName" in spoilt) == (defect not in (Defect.UNKNOWN_SHAPE, Defect.NO_USER_NAME))
    assert (len(spoilt) > OVERSIZED_BYTES) == (defect is Defect.OVERSIZED)
    assert spoilt.count(b"{") == spoilt.count(b"}")
    assert spoilt.count(b'"') % 2 == 0
