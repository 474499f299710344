"""What templates do to a text of others, and to one of ours."""

from __future__ import annotations

from bench.reports.html.environment import escaping_environment


def test_every_text_is_escaped_and_numbers_stay_with_their_units() -> None:
    page = escaping_environment().from_string('{{ text }} {{ rate | replace(" %", "\u00a0%") }}')
    assert page.render(text="<b>\x1b\u202e", rate="50 %") == "&lt;b&gt;\\x1b\\u202e 50\u00a0%"
