"""The programs of the bench start, answer and are measured; what they measure is no test."""

from __future__ import annotations

from pathlib import Path

from tests.bench.__main__ import serving_all
from tests.bench.bodies import transfer_both
from tests.bench.gateway import logged_in
from tests.bench.journal import microseconds_per_append
from tests.bench.processes import choose_cores
from tests.bench.report import BEGIN, DOCUMENT, END
from tests.bench.requests import cases_of

SIZE = 3 << 20


def test_every_case_runs_and_bodies_arrive_whole(tmp_path: Path) -> None:
    cores = choose_cores()
    with serving_all(tmp_path, cores) as (gateway, bare):
        for case in cases_of(gateway):
            assert case.run(gateway.server, 1, cores.load, refused=case.refused).rate > 0
        page = cases_of(gateway)[0]
        assert page.run(bare, 1, cores.load, refused=False).rate > 0
        assert logged_in(gateway).count("portal_u_") == 2
        transfers = transfer_both(gateway, core=cores.load, size=SIZE)
    assert [each.bytes for each in transfers] == [SIZE, SIZE]


def test_the_journal_is_measured(tmp_path: Path) -> None:
    assert microseconds_per_append(tmp_path, core=choose_cores().proxy, entries=100) > 0


def test_the_document_has_a_place_for_the_figures() -> None:
    text = DOCUMENT.read_text()
    assert text.count(BEGIN) == text.count(END) == 1
    assert text.index(BEGIN) < text.index(END)
