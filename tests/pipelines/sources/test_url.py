"""URLs of sources: one clear line for what cannot be opened."""

import pytest

from beaconfold.pipelines.sources import FileSource, StdinSource, SyntheticSource, open_source


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("synthetic://", SyntheticSource),
        ("synthetic://?rate=0", SyntheticSource),
        ("stdin://", StdinSource),
        ("file:///a/b?.log", FileSource),
        ("logs/*.gz", FileSource),
    ],
)
def test_kinds(url, kind):
    assert isinstance(open_source(url), kind)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "name the file"),
        ("gopher://user:secret@host/x", "from gopher://…: use "),
        ("file://logs/x", "three slashes"),
        ("synthetic://host?rate=1", "nothing but parameters"),
        ("stdin://?rate=1", "a stdin source has no parameter 'rate'; it has: none"),
        ("a.log?tail=1", "a file source has no parameter 'tail'; it has: follow, identity"),
        ("a.log?follow=yes", "follow=yes of the file source: use true or false"),
        ("a.log?follow=true&identity=path", "are known by their content"),
        ("a.log?identity=inode", "identity=inode of the file source: use content or path"),
        (
            "synthetic://?sed=1",
            "no parameter 'sed'; it has: count, disorder",
        ),
        ("synthetic://?seed=1&seed=2", "'seed' of the synthetic source is given twice"),
        ("synthetic://?rate=fast", "rate=fast of the synthetic source"),
        ("synthetic://?rate=-1", "use a number from 0 on"),
        ("synthetic://?rate=nan", "use a number from 0 on"),
        ("synthetic://?malformed=2", "use a number from 0 to 1"),
        ("synthetic://?publishers=0", "use a number from 1 on"),
        ("synthetic://?count=1.5", "count=1.5 of the synthetic source"),
        ("synthetic://?disorder=soon", "'soon' is not a duration"),
        ("synthetic://?start=soon", "'soon' is not an instant"),
    ],
)
def test_errors(url, message):
    with pytest.raises(ValueError, match=message.replace("?", r"\?")) as caught:
        open_source(url)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
