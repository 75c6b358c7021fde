"""schemathesis, with every check it has, against the admin API as it runs."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.admin_service import ADMIN_KEY, serve

ROOT = Path(__file__).resolve().parents[2]
HOOKS = "tests.contract.schemathesis_hooks"
EXAMPLES = 25


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_the_api_is_as_it_is_described(database_url: str, tmp_path: Path) -> None:
    async with serve(database_url) as service:
        await service.create()
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).parent / "schemathesis",
            "run",
            f"{service.url}/openapi.json",
            "--checks=all",
            "--phases=examples,coverage,fuzzing,stateful",
            "--mode=all",
            f"--max-examples={EXAMPLES}",
            "--generation-deterministic",
            "--continue-on-failure",
            "--no-color",
            f"--header=Authorization: Bearer {ADMIN_KEY}",
            cwd=tmp_path,
            env=os.environ | {"SCHEMATHESIS_HOOKS": HOOKS, "PYTHONPATH": str(ROOT)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    report = output.decode()
    assert process.returncode == 0, report
    assert "Tested: 15" in report, report
