"""Mutations of what runs inside Redis: `python -m tests.script_mutants`.

mutmut changes Python. A script is a text to it, and most of a throttle is in two of them. So each
row here changes one thing in one script, and the tests have to notice.

pytest loads this module as a plugin, too, in the process that runs one mutation.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module

from gateway.store.redis import Script

THROTTLE, CODES = "gateway.store.throttle", "gateway.visitor.codes"
TESTS = ("tests/contract/test_throttle.py", "tests/contract/test_codes.py")

# Module, script, what stands there, what stands there instead.
MUTATIONS = (
    (THROTTLE, "TAKE", "'-inf', now - length", "'-inf', now"),
    (THROTTLE, "TAKE", "over >= 0", "over > 0"),
    (THROTTLE, "TAKE", "over >= 0", "over >= -1"),
    (THROTTLE, "TAKE", "ARGV[3 + i]", "ARGV[4]"),
    (THROTTLE, "TAKE", "key, over, over", "key, 0, 0"),
    (THROTTLE, "TAKE", "math.max", "math.min"),
    (THROTTLE, "TAKE", "+ length - now", "+ length"),
    (THROTTLE, "TAKE", "wait > 0", "wait > 100"),
    (THROTTLE, "TAKE", "if wait > 0 then return tostring(wait) end", ""),
    (THROTTLE, "TAKE", "for _, key in ipairs(KEYS) do\n  redis.call('ZADD'", "for _, key in ipairs({KEYS[1]}) do\n  redis.call('ZADD'"),
    (THROTTLE, "TAKE", "'PEXPIRE', key, math.ceil(length * 1000)", "'PERSIST', key"),
    (THROTTLE, "TAKE", "length * 1000", "length * 2000"),
    (THROTTLE, "GIVE_BACK", "redis.call('DEL', KEYS[1])", ""),
    (THROTTLE, "GIVE_BACK", "== ARGV[1]", "~= ARGV[1]"),
    (THROTTLE, "GIVE_BACK", "return redis.call('ZREM', KEYS[2], member)", "redis.call('ZREM', KEYS[2], member)"),
    (THROTTLE, "GIVE_BACK", "redis.call('ZREM', KEYS[2], member)", "0"),
    (CODES, "ISSUE", "'wrong', 0", "'wrong', 1"),
    (CODES, "ISSUE", "return redis.call('PEXPIRE', KEYS[1], ARGV[3])", "return 1"),
    (CODES, "REDEEM", "if not kept[1] then return 0 end", "if not kept[1] then return 1 end"),
    (CODES, "REDEEM", "for i = 3, #ARGV do", "for i = 3, 3 do"),
    (CODES, "REDEEM", "for i = 3, #ARGV do", "for i = 4, #ARGV do"),
    (CODES, "REDEEM", "== kept[1]", "~= kept[1]"),
    (CODES, "REDEEM", ">= tonumber(kept[2])", "> tonumber(kept[2])"),
    (CODES, "REDEEM", "then right = 0 end", "then right = 1 end"),
    (CODES, "REDEEM", "'wrong', 1) >=", "'wrong', 1) >"),
    (CODES, "REDEEM", "right == 1 or", "right == 2 or"),
    (CODES, "REDEEM", "redis.call('HINCRBY', KEYS[1], 'wrong', 1)", "0"),
)  # fmt: skip

_CHOSEN = "PORTAL_TESTS_SCRIPT_MUTATION"


def _mutate(number: int) -> None:
    """Put the mutation in place of the script, in this process."""
    module, name, old, new = MUTATIONS[number]
    script: Script = getattr(import_module(module), name)
    assert script.text.count(old) >= 1, f"{name} has changed: {old!r} is not in it"
    setattr(import_module(module), name, Script(script.text.replace(old, new, 1)))


def _is_noticed(number: int) -> bool:
    # The embedded Redis alone, but for how long a key lives, which a real one has to tell.
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "tests.script_mutants", *TESTS],
        env=os.environ | {_CHOSEN: str(number)},
        capture_output=True,
        text=True,
    )
    # 1 is a test that failed; anything else says nothing about the mutation.
    assert run.returncode in {0, 1}, run.stdout + run.stderr
    return run.returncode == 1


def main() -> None:
    """Try each mutation, and tell which are not noticed; exit 1 if any is."""
    missed = [number for number in range(len(MUTATIONS)) if not _is_noticed(number)]
    for number in missed:
        print("not noticed:", *MUTATIONS[number], sep="\n    ")
    print(f"{len(MUTATIONS) - len(missed)} of {len(MUTATIONS)} mutations of scripts are noticed")
    sys.exit(1 if missed else 0)


if _CHOSEN in os.environ:
    _mutate(int(os.environ[_CHOSEN]))
elif __name__ == "__main__":
    main()
