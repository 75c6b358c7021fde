"""Makes the tickets of the tests; run by the Python that has Trac, with the environment's path."""

import sys
from io import BytesIO
from pathlib import Path

from trac.attachment import Attachment
from trac.env import open_environment
from trac.ticket.model import Ticket

TICKETS = (
    ("Boiler 2 loses pressure", "The leak: [[Image(photo.png)]]", "Come on **Thursday**, please."),
    ("Salaries of the staff", "Nobody else's business.", "A secret remark."),
)


def main(environment: str, picture: str) -> None:
    env = open_environment(environment)
    content = Path(picture).read_bytes()
    for summary, description, comment in TICKETS:
        ticket = Ticket(env)
        ticket.populate({"summary": summary, "description": description, "reporter": "nadia"})
        number = ticket.insert()
        attachment = Attachment(env, "ticket", number)
        attachment.author = "samuel"
        attachment.description = "Photo of the flange"
        attachment.insert("photo.png", BytesIO(content), len(content))
        Ticket(env, number).save_changes("samuel", comment)
    env.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
