"""Documents are cut out of the stream whole, wherever chunks end and whatever stands between."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.provider.bizmail.framer import DOCUMENT_LIMIT, KEPT, DocumentTooLarge, Framer
from bridge.provider.pushes import Unreadable

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
DOCUMENTS = [
    b'{"Ret":0}',
    b"{}",
    b'{ " UserName" : "bob@gzdev.com",\n " NewCount ": 550,\n}',
    b'{"Subject":"brace } and \\" quote {\\\\","Summary":"\\u4f60\\\\"}',
    b'{"a":{"b":[{"c":"}"},{"d":1}]},"e":[]}',
    '{"Subject":"企业邮 😀","NewCount":1}'.encode(),
    b'{"Subject":"bad \xff\xfe bytes","x":"[,]"}',
    b'{"List":[\n{"Action":3,"Alias":"a",}\n]}',
]
SEPARATORS = [b"", b"\n", b" \r\n\t", b",", b"\xef\xbb\xbf", b"\x00", b"]\n["]


def feed_all(framer: Framer, chunks: list[bytes]) -> list[bytes | Unreadable]:
    return [document for chunk in chunks for document in framer.feed(chunk)]


def bytewise(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


@pytest.mark.parametrize("document", DOCUMENTS)
@pytest.mark.parametrize("separator", SEPARATORS)
def test_whole_bytewise_and_with_a_tail(document: bytes, separator: bytes) -> None:
    """A document comes out the same whole, byte by byte, and with the next one behind it."""
    assert Framer().feed(document) == [document]
    assert feed_all(Framer(), bytewise(document)) == [document]
    assert Framer().feed(separator + document + separator + b'{"Ret":0}' + separator) == [document, b'{"Ret":0}']
    assert feed_all(Framer(), bytewise(separator + document + separator + document)) == [document, document]


@pytest.mark.parametrize(
    "name", ["token", "push-version", "push-mail", "push-unread", "user-list", "newcount", "authkey"]
)
def test_the_documents_examples(sample: Callable[[str], bytes], name: str) -> None:
    """Each example of the protocol is one document, line breaks inside its strings included."""
    whole = sample(name)
    assert Framer().feed(whole) == [whole.strip()]
    assert feed_all(Framer(), bytewise(whole)) == [whole.strip()]


def test_a_document_comes_out_with_its_last_byte() -> None:
    """Nothing waits for the byte behind the closing brace."""
    framer = Framer()
    assert framer.feed(b'{"Ret":') == []
    assert framer.inside
    assert framer.feed(b"0}") == [b'{"Ret":0}']
    assert not framer.inside
    assert framer.end() == b""


def test_chunk_ends_inside_an_escape() -> None:
    """A chunk may end between a backslash and the quote it escapes."""
    framer = Framer()
    assert framer.feed(b'{"Subject":"a\\') == []
    assert framer.feed(b'"}{\\\\') == []
    assert framer.feed(b'"}') == [b'{"Subject":"a\\"}{\\\\"}']


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize(
    "broken",
    [
        b'{"UserName":"a@x","Subject":"cut in the middle',
        b'{"UserName":"a@x","Subject":"cut \\"in the\\" middle\r\n',
        b'{"UserName":"a@x","NewCount":5',
        b'{"UserName":"a@x"',
        b'{"UserName":"a@x","Nested":{"b":[1',
        b'{"Odd":"quote"","NewCount":1}',
    ],
)
def test_unfinished_document_does_not_swallow_the_next(broken: bytes, split: bool) -> None:
    """A document that was never finished costs itself, not those behind it."""
    good = [b'{"UserName":"b@x","NewCount":1}', b'{ "Ver":"7",}', b'{"Ret":0}']
    data = b"\n".join([broken, *good])
    documents = feed_all(Framer(), bytewise(data) if split else [data])
    assert documents[-3:] == good
    assert documents[0].strip() == broken.strip()


def test_nested_objects_are_not_taken_for_new_documents() -> None:
    """An object behind a colon, a bracket or a comma is a member."""
    nested = b'{"a":\n{"b":1},"c":[ {"d":2} , {"e":3}],"f":{"g":{"h":"i"}}}'
    assert Framer().feed(nested * 2) == [nested, nested]
    assert feed_all(Framer(), bytewise(nested * 2)) == [nested, nested]


def test_text_between_documents_is_given_too() -> None:
    """What is no document is handed on as one, for the reader to count; nothing behind it is lost."""
    assert Framer().feed(b'oops {"Ret":0} <b>\n{"Ver":1}') == [b"oops", b'{"Ret":0}', b"<b>", b'{"Ver":1}']
    framer = Framer()
    assert feed_all(framer, bytewise(b"never an object")) == []
    assert framer.end() == b"never an object"
    assert framer.end() == b""


def test_text_between_documents_is_bounded() -> None:
    """However much nonsense comes, little of it is kept, and how much it was is told."""
    framer = Framer()
    for _ in range(100):
        framer.feed(b"x" * 1000)
    assert framer.end() == Unreadable("not-object", b"x" * KEPT, 100_000)
    assert framer.feed(b'oops{"Ret":0}') == [b"oops", b'{"Ret":0}']


def test_a_border_ends_a_document() -> None:
    """No document goes on over a border; what was left is returned once, and the framer begins afresh."""
    framer = Framer()
    framer.feed(b'{"Subject":"never ')
    assert framer.end() == b'{"Subject":"never '
    assert framer.feed(b'{"Ret":0}') == [b'{"Ret":0}']


LARGE = b'{"Subject":"' + b'x{ \\"' * 500 + b'"}'
"""Its text is full of what could be the beginning of something."""


@pytest.mark.parametrize("step", [1, 7, 1000, len(LARGE) + 100])
@pytest.mark.parametrize("behind", [b'{"Ret":0}', b' \n{ "Ver" : 7 }'])
def test_a_document_past_the_limit_is_skipped(step: int, behind: bytes) -> None:
    """Its head and size are given where it ends; those behind it are read."""
    stream = b'{"Ver":1}' + LARGE + behind
    found = feed_all(Framer(limit=1000), [stream[at : at + step] for at in range(0, len(stream), step)])
    assert found == [b'{"Ver":1}', Unreadable("too-large", LARGE[:1000], len(LARGE)), behind.strip()]


def test_a_large_document_that_is_never_finished_ends_where_another_begins() -> None:
    """By the same rule as a small one, also where blanks fill more than what is kept: a member is no beginning."""
    whole = b'{"a":"' + b"x" * 2000 + b'","b":' + b" " * 3000 + b'{"c":1}'
    for step in (1, 5000):
        chunks = [whole[at : at + step] for at in range(0, len(whole), step)]
        assert feed_all(Framer(limit=100), [*chunks, b' {"Ret":0}']) == [
            Unreadable("too-large", whole[:100], len(whole) + 1),
            b'{"Ret":0}',
        ]
        framer = Framer(limit=100)
        assert feed_all(framer, chunks) == []
        assert framer.end() == Unreadable("too-large", whole[:100], len(whole))
        assert framer.feed(b'{"Ret":0}') == [b'{"Ret":0}']


def test_a_skipped_document_takes_no_memory() -> None:
    """However long it is, and whatever stands in it."""
    framer = Framer(limit=100_000)
    framer.feed(b'{"a":"' + b"x" * 100_000)
    tracemalloc.start()
    for piece in (b"x" * 10_000, b'","b":{"c":["', b'\\"{', b" " * 10_000) * 200:
        framer.feed(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000


def test_a_document_that_does_not_end() -> None:
    """Looked for up to a limit too; then the stream is refused, with the head for inspection, and stays refused."""
    framer = Framer(limit=1000, skip_limit=5000)
    assert feed_all(framer, [b'{"Subject":"', b"x" * 4000]) == []
    with pytest.raises(DocumentTooLarge) as refused:
        framer.feed(b"y" * 1000)
    assert refused.value.document == Unreadable("too-large", b'{"Subject":"' + b"x" * 988, 5012)
    with pytest.raises(DocumentTooLarge):
        framer.feed(b'{"Ret":0}')


def test_documents_before_one_that_does_not_end_are_given() -> None:
    """Whole documents of the same chunk are not lost to the one that is too large."""
    framer = Framer(limit=100, skip_limit=150)
    assert framer.feed(b'{"Ret":0}{"Subject":"' + b"x" * 200) == [b'{"Ret":0}']
    with pytest.raises(DocumentTooLarge):
        framer.end()


@pytest.mark.parametrize(
    ("head", "piece", "tail"),
    [
        (b'{"Summary":"', b"x", b'"}'),
        (b'{"Summary":"', b"\\\\", b'"}'),
        (b'{"a":[', b'{"b":"c"},', b"]}"),
        (b'{"a":{', b" ", b"}}"),
        (b'{"a":1,', b'"b":"c",', b"}"),
    ],
)
def test_work_grows_with_length_only(head: bytes, piece: bytes, tail: bytes) -> None:
    """A document of 3 MiB in reads of 16 bytes: scanning it again for each would take hours."""
    framer = Framer()
    document = head + piece * (3 * 1024 * 1024 // len(piece)) + tail
    documents = feed_all(framer, [document[i : i + 16] for i in range(0, len(document), 16)])
    assert documents == [document]
    skipping = feed_all(Framer(limit=1000), [document[i : i + 16] for i in range(0, len(document), 16)])
    assert skipping == [Unreadable("too-large", document[:1000], len(document))]


def test_work_of_many_broken_documents_grows_with_length_only() -> None:
    """One chunk of 2 MB full of documents that were never finished or have members of their own."""
    broken, nested = b'{"Subject":"cut\n', b'{"a":{"b":1}}\n'
    documents = Framer().feed((broken + nested) * 70_000)
    assert len(documents) == 140_000
    assert documents[-1] == nested.strip()


PIECES = st.one_of(
    st.sampled_from(DOCUMENTS + SEPARATORS),
    st.dictionaries(
        st.text(max_size=5), st.text(max_size=20) | st.integers() | st.lists(st.text(max_size=3)), max_size=4
    ).map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")),
    st.binary(max_size=12),
    st.lists(st.sampled_from([b"{", b"}", b'"', b"\\", b":", b",", b"[", b" ", b"a", b"Z", b"\n"]), max_size=12).map(
        b"".join
    ),
)


@settings(UNHURRIED, max_examples=400)
@given(st.lists(PIECES, max_size=8), st.data(), st.sampled_from([12, DOCUMENT_LIMIT]))
def test_splits_make_no_difference(pieces: list[bytes], data: st.DataObject, limit: int) -> None:
    """Any split of any bytes gives the same documents, and leaves the same unfinished; large or not."""
    stream = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    whole, cut, single = (Framer(limit=limit) for _ in range(3))
    expected = whole.feed(stream)
    assert feed_all(cut, [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]) == expected
    assert feed_all(single, bytewise(stream)) == expected
    assert whole.end() == cut.end() == single.end()


@UNHURRIED
@given(st.lists(st.dictionaries(st.text(), st.text() | st.dictionaries(st.text(), st.integers())), max_size=5))
def test_valid_json_is_never_cut_apart(values: list[dict[str, object]]) -> None:
    """Whatever text a mail carries, a document that is JSON comes out as it went in."""
    documents = [json.dumps(value).encode() for value in values]
    assert Framer().feed(b"".join(documents)) == documents
