"""Forms that no page has: what another page, or a script of ours, would send."""

from __future__ import annotations

from collections.abc import Mapping

from playwright.async_api import Response

from tests.chromium import Person


async def post_form(person: Person, url: str, fields: Mapping[str, str]) -> Response:
    """Send a form with these fields from the page that is open to `url`."""
    async with person.page.expect_navigation() as navigation:
        await person.page.evaluate(
            """([url, fields]) => {
                const form = document.createElement("form");
                form.method = "post";
                form.action = url;
                for (const [name, value] of Object.entries(fields)) {
                    const input = document.createElement("input");
                    input.name = name;
                    input.value = value;
                    form.append(input);
                }
                document.body.append(form);
                form.submit();
            }""",
            [url, dict(fields)],
        )
    response = await navigation.value
    assert response is not None
    return response
