"""Mail addresses in the one spelling that is compared, counted and written to."""

from __future__ import annotations

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

MAX_LENGTH = 254  # RFC 5321 section 4.5.3.1.3, less the brackets

# The library refuses names that cannot be on the public Internet (`.local`, `.test`, `.internal`).
# Work orders are shown inside companies, too, and a mail that cannot be delivered harms nobody.
SPECIAL_USE_DOMAIN_NAMES.clear()


def normal_address(text: str) -> str:
    """`text` as one normalised address: lower case, its domain in ASCII (RFC 5891).

    No DNS is asked: that would be a way to make this program look names up for anybody. Raises
    ValueError, with a sentence, for anything that is not exactly one address.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"A mail address has at most {MAX_LENGTH} characters.")
    try:
        parsed = validate_email(
            text, check_deliverability=False, globally_deliverable=False, allow_smtputf8=False
        )
    except EmailNotValidError:
        raise ValueError("That is not a mail address.") from None
    return (parsed.ascii_email or parsed.normalized).lower()
