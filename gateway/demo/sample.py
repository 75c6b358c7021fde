"""The work orders that the sample system starts with."""

from __future__ import annotations

from gateway.demo.records import Comment, Contact, Event, Stage, StoredFile, WorkOrder
from gateway.demo.uploads import Uploads

_HOUR = 3600.0
_DAY = 24 * _HOUR

_RIVA = Contact("Nadia Riva", "+1 555 0142", "nadia.riva@alderquay.example")
_OKORO = Contact("Samuel Okoro", "+1 555 0187", "samuel.okoro@alderquay.example")

_READINGS = b"""\
time,supply_c,return_c,pressure_bar
06:00,61.5,44.0,1.6
08:00,63.0,45.5,1.6
10:00,58.5,47.5,1.4
12:00,52.0,46.0,1.1
"""

_QUOTE = b"""\
Alder & Quay Facility Services
Quote for WO-1042

  Circulation pump, wet rotor, 230 V        412.00
  Gaskets and fittings                       38.50
  Labour, 3.5 hours                         262.50
                                           -------
  Total, without tax                        713.00

Valid for 30 days. Two years of warranty on the pump.
"""

_PLAN = b"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 200" font-family="sans-serif" \
font-size="11">
<rect width="320" height="200" fill="#fff"/>
<path d="M20 20h280v160h-280zM140 20v90M140 140v40M220 110v70M140 110h160" fill="none" \
stroke="#333" stroke-width="3"/>
<text x="50" y="105">Workshop</text><text x="195" y="70">Store</text>
<text x="158" y="160">Switch</text><text x="235" y="150">Boiler 2</text>
<circle cx="262" cy="165" r="6" fill="#b3261e"/>
</svg>
"""


def sample_work_orders(uploads: Uploads, now: float) -> dict[str, WorkOrder]:
    """The work orders by id, with dates around `now`; their files are kept in `uploads`."""
    orders = (
        _boiler(uploads, now),
        _roof(now),
        _lights(now),
        _lift(now),
    )
    return {order.id: order for order in orders}


def _boiler(uploads: Uploads, now: float) -> WorkOrder:
    author = "Samuel Okoro"
    files = [
        _file(uploads, "boiler-2 readings.csv", _READINGS, author, now - 2 * _DAY),
        _file(uploads, "plan of the plant room.svg", _PLAN, author, now - 2 * _DAY + 300),
        _file(uploads, "quote WO-1042.txt", _QUOTE, "Nadia Riva", now - 20 * _HOUR),
    ]
    return WorkOrder(
        id="WO-1042",
        title="Boiler 2 loses pressure",
        site="Millbrook House, 14 Canal Street, plant room",
        description=(
            "The second boiler drops from 1.6 to 1.1 bar within a morning, and the flats on the "
            "third floor stay cold.\n\nThe circulation pump leaks at its flange and its bearing "
            "is worn. We propose to replace the pump; the quote is attached. Boiler 1 carries the "
            "house until then."
        ),
        contact=_RIVA,
        stage=Stage.AWAITING_APPROVAL,
        opened_at=now - 3 * _DAY,
        due_at=now + 4 * _DAY,
        cost="713.00, without tax",
        comments=[
            Comment(
                author,
                now - 2 * _DAY + 600,
                "Found the leak: it is the flange of the pump, see plan.",
            ),
            Comment(
                "Nadia Riva",
                now - 20 * _HOUR,
                "The quote is attached. The pump is in stock: we can come the day after you approve.",
            ),
        ],
        files=files,
        history=[
            Event("Tenants' line", now - 3 * _DAY, "Reported", "Third floor is cold since Monday."),
            Event("Nadia Riva", now - 3 * _DAY + 2 * _HOUR, "Assigned to Samuel Okoro"),
            Event(author, now - 2 * _DAY, "Inspected on site"),
            Event("Nadia Riva", now - 20 * _HOUR, "Sent the quote for approval"),
        ],
    )


def _roof(now: float) -> WorkOrder:
    return WorkOrder(
        id="WO-1043",
        title="Clear the gutters, north side",
        site="Harbour Primary School, hall",
        description="Leaves block two downpipes. Half a day with the lift, outside school hours.",
        contact=_OKORO,
        stage=Stage.SCHEDULED,
        opened_at=now - 6 * _DAY,
        due_at=now + 2 * _DAY,
        comments=[
            Comment("Samuel Okoro", now - _DAY, "Please keep the north gate free on Saturday.")
        ],
        history=[
            Event("Harbour Primary School", now - 6 * _DAY, "Reported"),
            Event("Samuel Okoro", now - _DAY, "Scheduled for Saturday morning"),
        ],
    )


def _lights(now: float) -> WorkOrder:
    return WorkOrder(
        id="WO-1047",
        title="Emergency lighting, yearly test",
        site="Quayside Arcade, levels 0 to 2",
        description="Yearly test for three hours on battery. 64 lamps, of which 3 need a new one.",
        contact=_RIVA,
        stage=Stage.AWAITING_APPROVAL,
        opened_at=now - 9 * _DAY,
        due_at=now + 10 * _DAY,
        cost="186.00, without tax",
        history=[
            Event("Schedule", now - 9 * _DAY, "Opened by the maintenance plan"),
            Event("Nadia Riva", now - 5 * _HOUR, "Asked for approval of 3 batteries"),
        ],
    )


def _lift(now: float) -> WorkOrder:
    return WorkOrder(
        id="WO-1051",
        title="Lift B stops between floors",
        site="Millbrook House, 14 Canal Street",
        description="The door contact on floor 2 was bent. Straightened, adjusted, tested 20 times.",
        contact=_OKORO,
        stage=Stage.DONE,
        opened_at=now - 12 * _DAY,
        due_at=now - 11 * _DAY,
        comments=[Comment("Samuel Okoro", now - 11 * _DAY, "Runs again. No part was needed.")],
        history=[
            Event("Tenants' line", now - 12 * _DAY, "Reported"),
            Event("Samuel Okoro", now - 11 * _DAY, "Repaired"),
        ],
    )


def _file(uploads: Uploads, name: str, content: bytes, author: str, at: float) -> StoredFile:
    return StoredFile(uploads.keep(content), name, len(content), author, at)
