"""JSON lines: blocks and single lines agree, numbers are exact, no line touches another."""

import gzip
import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beaconfold.pipelines.decode import Field, JsonLines
from beaconfold.pipelines.decode.exact_json import DEEPEST, read
from beaconfold.pipelines.decode.fields import parse

FIELDS = {
    "s": pl.String,
    "n": pl.Int64,
    "p": pl.Decimal(18, 3),
    "f": pl.Float64,
    "g": pl.Float32,
    "b": pl.Boolean,
    "t": pl.Datetime("ms", "UTC"),
    "o.s": pl.String,
    "o.i.n": pl.Int32,
}
DECODER = JsonLines(**FIELDS)

NUMBERS = [
    "0", "-0", "5", "-5", "5.0", "1.10", "1.1000", "1e2", "1E-2", "-1.5e+3", "123456789012345678",
    "1234567890123456789", "12345678901234567890", "123456789012345678901234567890", "1e400", "0.1",
    "0.1234567890123456789", "9007199254740993", "01", "1.", ".5", "+1", "1.7976931348623157e308",
    "5e-324", "16777217", "0.30000000000000004", "-", "-0.0", "123456789.012345",
]  # fmt: skip
numbers = st.sampled_from(NUMBERS)
strings = st.sampled_from([
    "a", "", "5", "1.10", "1e2", "true", "null", "é", "\u2028", 'q"q', "b\\b", "s\\/", "\x7f", "😀",
    "2015-09-12T00:46:58.771Z", "{}", '","s":"',
])  # fmt: skip
spellings = st.sampled_from([json.dumps, lambda text: json.dumps(text, ensure_ascii=False)])
texts = st.builds(lambda spell, text: spell(text), spellings, strings) | st.sampled_from(
    [
        r'"\ud800"',
        r'"\u0000"',
        r'"\/"',
        r'"\x"',
        '"\t"',
        '"',
        '"\x00"',
        r'"\ud83d\ude00"',
        r'"\u00e9"',
    ]
)
scalars = numbers | texts | st.sampled_from(["true", "false", "null", "NaN", "Infinity", "nul", ""])
names = st.sampled_from(
    ['"s"', '"n"', '"p"', '"f"', '"b"', '"t"', '"x"', r'"\u0073"', '"g"', '"o"']
)


def objects(values):
    member = st.builds("{}{}{}".format, names, st.sampled_from([":", ": ", " :\t"]), values)
    return st.lists(member, max_size=5).map(lambda members: "{" + ",".join(members) + "}")


inner = objects(scalars)
documents = objects(
    scalars | st.builds('{{"s":{},"i":{}}}'.format, scalars, inner) | st.just("[1,{}]") | inner
)
broken = st.sampled_from([
    "", " ", "{", "}", "{}", "[]", "null", "1", '"a"', '{"s":"a', '"}', '{"s":1},{"s":2}', "{},{}",
    '{"s":"x"}]', '[{"s":"x"}', '{"s":"x",}', '{"s" "x"}', '{"s":1}{"s":2}', "\ufeff{}", " {} \r",
    '{"s":"a","n":[1', "2]}", "{'s':1}", '{"s":1}//', '{"s":"{', '{","n":5}',
])  # fmt: skip
lines = (documents | broken).map(lambda line: line.encode("utf-8", "surrogatepass"))
lines |= documents.map(lambda line: line.encode("utf-8").replace(b"a", b"\xff"))


def outcome(raw):
    """Give what each line becomes: its fields, or its reason."""
    rows, rejected = DECODER.decode(pl.Series(raw, dtype=pl.Binary))
    found = {row: list(fields) for row, *fields in rows.rows()} | dict(rejected.rows())
    return [found[row] for row in range(len(raw))]


def exactly(raw):
    """Give the same, by the reader of single lines alone."""
    paths = {name: name.split(".") for name in FIELDS}
    misread = {name: DECODER._misread(name, dtype) for name, dtype in DECODER.schema.items()}
    return read(pl.Series(raw, dtype=pl.Binary), paths, misread)


@given(st.lists(lines, max_size=10))
def test_a_block_is_read_as_its_lines_are(raw):
    assert repr(outcome(raw)) == repr([outcome([line])[0] for line in raw])


@pytest.mark.parametrize("name", ["s", "n", "p", "f", "g", "b", "t"])
def test_every_number_alone(name):
    """A number is read exactly in a block of its own, beside which none is read singly."""
    for number in NUMBERS:
        assert_exact([f'{{"{name}":{number}}}'.encode()])


@given(st.lists(lines, min_size=1, max_size=10))
def test_texts_are_those_of_the_exact_reader(raw):
    assert_exact(raw)


def assert_exact(raw):
    """Hold fields against the grammar, applied to the texts of the exact reader."""
    texts, reasons = exactly(raw)
    typed = [parse(texts[name], dtype) for name, dtype in DECODER.schema.items()]
    for row, found in enumerate(outcome(raw)):
        misread = [
            DECODER._misread(name, DECODER.schema[name])
            for name, values in zip(texts, typed, strict=True)
            if values[row] is None and texts[name][row]
        ]
        if reasons[row] is not None or misread:
            assert found == (reasons[row] or misread[0])
        else:
            assert repr(found) == repr([values[row] for values in typed])


GOLDEN = {
    '{"s":"a","n":1}': ["a", 1],
    ' {"s" : "a" , "n" : "1"}\r': ["a", 1],
    '{"n":1,"s":null}': [None, 1],
    "{}": [None, None],
    '{"s":"","n":""}': ["", None],
    '{"s":1.10}': ["1.10", None],
    '{"s":1e2}': ["1e2", None],
    '{"s":true}': ["true", None],
    '{"s":12345678901234567890123}': ["12345678901234567890123", None],
    '{"n":9007199254740993}': [None, 2**53 + 1],
    '{"n":1,"n":2}': [None, 1],
    '{"n":null,"n":2}': [None, None],
    '{"\\u006e":3}': [None, 3],
    '{"s":"\\ud83d\\ude00\\/\\n"}': ["😀/\n", None],
    '{"x":{"n":5},"y":[{"n":6}]}': [None, None],
    '{"s":["a"]}': "s: not a string",
    '{"s":{}}': "s: not a string",
    '{"n":[]}': "n: not an int64",
    '{"n":5.0}': "n: not an int64",
    '{"n":1e2}': "n: not an int64",
    '{"n":true}': "n: not an int64",
    '{"n":9223372036854775808}': "n: not an int64",
    '{"s":"\\ud800"}': "s: not UTF-8",
    '{"s":"a"': "not JSON",
    '{"s":"a",}': "not JSON",
    '{"s":NaN}': "not JSON",
    '{"n":01}': "not JSON",
    "": "not JSON",
    "[]": "not a JSON object",
    "null": "not a JSON object",
    '"s"': "not a JSON object",
    '{"x":' * DEEPEST + "1" + "}" * DEEPEST: [None, None],
    '{"x":' * DEEPEST + "{}" + "}" * DEEPEST: "nested too deeply",
    "[" * 100_000: "nested too deeply",
    '{"x":"' + "[" * 1000 + '"}': [None, None],
}


@pytest.mark.parametrize("neighbours", [0, 600])
def test_golden_lines(neighbours):
    decoder = JsonLines(s=pl.String, n=pl.Int64)
    raw = [*GOLDEN, *['{"s":"a"}'] * neighbours]
    rows, rejected = decoder.decode(pl.Series(raw))
    found = {row: list(fields) for row, *fields in rows.rows()} | dict(rejected.rows())
    assert {line: found[row] for row, line in enumerate(GOLDEN)} == GOLDEN
    assert rows.height == neighbours + sum(isinstance(value, list) for value in GOLDEN.values())


def test_lines_do_not_join():
    """Each of these would be read as other lines if they were joined by commas."""
    raw = ['{"s":"a', 'b"}', '{"s":"1"},{"s":"2"}', '{"s":"3"}', '{"s":"4","x":[{}', '{"s":"5"}]}']
    rows, rejected = JsonLines(s=pl.String).decode(pl.Series(raw))
    assert rows.rows() == [(3, "3")]
    assert rejected["row"].to_list() == [0, 1, 2, 4, 5]


def test_bytes_outside_of_declared_fields_may_be_anything():
    raw = [b'{"s":"a","x":"\xff"}', b'{"x":1,"s":"\xff"}', b'{"\xff":1,"s":"\xc3\xa9"}']
    rows, rejected = JsonLines(s=pl.String).decode(pl.Series(raw))
    assert rows.rows() == [(0, "a"), (2, "é")]
    assert rejected.rows() == [(1, "s: not UTF-8")]


def test_nested_names():
    decoder = JsonLines(**{"a.b": pl.Int64, "os": Field(pl.String, source="a.c.d", default="?")})
    raw = ['{"a":{"b":1,"c":{"d":"x"}}}', '{"a":{"c":null}}', '{"a":null}', '{"a":5}', '{"a":[]}']
    rows, rejected = decoder.decode(pl.Series(raw))
    assert rows.rows() == [(0, 1, "x"), (1, None, "?"), (2, None, "?")]
    assert rejected.rows() == [(3, "a.b: not in an object"), (4, "a.b: not in an object")]
    with pytest.raises(ValueError, match="'a' cannot be a field and an object"):
        JsonLines(**{"a": pl.String, "a.b": pl.String})
    with pytest.raises(ValueError, match="'a' cannot be a field and an object"):
        JsonLines(**{"a.b": pl.String, "a": pl.String})


@pytest.mark.parametrize("name", ['q"q', "b\\s", "a/b", "é", "[x](y)*", "a b"])
def test_odd_names(name):
    decoder = JsonLines(x=Field(pl.String, source=name), n=Field(pl.Int64, source=name))
    raw = [json.dumps({name: 5}), json.dumps({name: "5"}, ensure_ascii=False), f'{{"{name}":1e2}}']
    rows, _ = decoder.decode(pl.Series(raw))
    assert rows.rows() == [(0, "5", 5), (1, "5", 5)]


def test_wikipedia_edits(real_data):
    with gzip.open(real_data / "wikiticker-2015-09-12-sampled.json.gz") as file:
        raw = pl.Series(file.read().splitlines())
    decoder = JsonLines(
        time=pl.Datetime("ms", "UTC"), channel=pl.String, user=pl.String, added=pl.Int64
    )
    rows, rejected = decoder.decode(raw)
    assert (rows.height, rejected.height) == (39_244, 0)
    found = rows.group_by(key="channel", window=pl.col("time").dt.truncate("1h").dt.epoch("s")).agg(
        count=pl.len(), unique_users=pl.col("user").n_unique(), sum=pl.col("added").sum()
    )
    expected = pl.read_csv(
        real_data / "wikiticker.expected.tsv", separator="\t", schema_overrides={"key": pl.String}
    )
    by = ["key", "window"]
    assert found.cast(expected.schema).sort(by).equals(expected.sort(by))
