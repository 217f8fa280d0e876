"""The page of an audit: whole in itself, escaped, the same bytes every time."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from isotone.auditing import audit
from isotone.errors import CannotWrite

EVIL = "<script>alert(1)</script>"
FRAME = pd.DataFrame({EVIL: np.linspace(-1, 1, 50), "b&b": np.arange(50)})


def falling(frame):
    return -np.abs(frame[EVIL].to_numpy())


@pytest.fixture(scope="module")
def found():
    return audit(falling, FRAME, 1)


def test_what_comes_from_the_data_is_escaped_and_nothing_is_asked_from_outside(found, tmp_path):
    page = found.to_html(tmp_path / "page.html").read_text()
    assert EVIL not in page
    assert "&lt;script&gt;" in page
    assert "b&amp;b" in page
    assert "<script" not in page
    assert not re.findall(r'(?:src|href)="(?!data:,|#)', page)
    assert "default-src 'none'" in page


def test_it_leads_with_the_verdict_and_draws_the_fall(found, tmp_path):
    page = found.to_html(tmp_path / "page.html").read_text()
    assert page.index("REFUTED") < page.index("The strongest witness") < page.index("What was asked")
    assert page.count('class="fall"') == 1
    assert '<polyline points="' in page
    nothing = audit(lambda frame: frame["b&b"].to_numpy(), FRAME, {"b&b": 1})
    page = nothing.to_html(tmp_path / "none.html").read_text()
    assert "No pair was found, and nothing is proved." in page
    assert "polyline points" not in page


def test_the_same_audit_gives_the_same_bytes(found, tmp_path):
    again = audit(falling, FRAME, 1)
    one, two = (a.to_html(tmp_path / name).read_bytes() for a, name in ((found, "1.html"), (again, "2.html")))
    assert one == two


def test_a_place_that_cannot_be_written_is_one_sentence(found, tmp_path):
    with pytest.raises(CannotWrite, match="cannot be written"):
        found.to_html(tmp_path / "no" / "page.html")
