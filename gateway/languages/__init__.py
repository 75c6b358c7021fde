"""The languages in which visitors are spoken to: pages and mails.

negotiation  which of them a browser wants
catalogues/  the translations, one gettext catalogue (`{code}.po`) a language

English is what stands in the code and the templates; a message without a translation stays
English. Catalogues are read as they are written, so there is nothing to compile.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from gettext import GNUTranslations, NullTranslations
from importlib.resources import files
from io import BytesIO

from babel import Locale
from babel.dates import format_date, format_time, get_datetime_format
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from gateway.languages.negotiation import CODES, preferred


@dataclass(frozen=True, slots=True)
class Language:
    """One language; `code` is its BCP 47 tag, for `lang=` and `Content-Language`."""

    code: str
    locale: Locale = field(repr=False)
    catalogue: NullTranslations = field(repr=False)

    @property
    def direction(self) -> str:
        """`ltr` or `rtl`, for `dir=`."""
        return self.locale.text_direction

    def gettext(self, message: str) -> str:
        """`message` in this language."""
        return self.catalogue.gettext(message)

    def ngettext(self, singular: str, plural: str, number: int) -> str:
        """The form for `number`; the caller fills it in."""
        return self.catalogue.ngettext(singular, plural, number)

    def moment(self, seconds: float) -> str:
        """Seconds since the epoch as date and time (UTC, named), as it is written there."""
        at = datetime.fromtimestamp(seconds, UTC)
        day = format_date(at, "long", locale=self.locale)
        time = format_time(at, "short", locale=self.locale)
        whole = str(get_datetime_format("long", locale=self.locale)).replace("'", "")
        return whole.replace("{0}", f"{time} UTC").replace("{1}", day)


def N_(message: str) -> str:  # noqa: N802 - the name that gettext's tools know
    """`message`, marked for the catalogues where it stands; it is translated where it is shown."""
    return message


@cache
def language(code: str) -> Language:
    """The language with one of `CODES`. Raises KeyError for any other."""
    if code not in CODES:
        raise KeyError(code)
    return Language(code, Locale.parse(code), _catalogue(code))


def _catalogue(code: str) -> NullTranslations:
    path = files("gateway.languages").joinpath("catalogues", f"{code}.po")
    if not path.is_file():
        return NullTranslations()
    compiled = BytesIO()
    write_mo(compiled, read_po(BytesIO(path.read_bytes()), locale=code))
    compiled.seek(0)
    return GNUTranslations(compiled)


def negotiate(accept_language: str | None) -> Language:
    """The language that a browser wants most, of those that there are; else English."""
    return language(preferred(accept_language or ""))


__all__ = ["CODES", "N_", "Language", "language", "negotiate"]
