# SPDX-License-Identifier: Apache-2.0

"""Runs the unittest cases of a folder and says in its last line how many passed.

    suite.py NAME FOLDER [TOP]

Exits with 1 if one failed, or if there was none.
"""

import platform
import sys
import unittest


def main(name, folder, top=None):
    suite = unittest.defaultTestLoader.discover(folder, top_level_dir=top)
    result = unittest.TextTestRunner(verbosity=1).run(suite)
    failed = len({str(case) for case, _ in result.failures + result.errors}) + len(result.unexpectedSuccesses)
    passed = max(0, result.testsRun - failed - len(result.skipped))
    for case, reason in result.skipped:
        print(f"skipped {case}: {reason}")
    if passed == 0:
        print(f"FAIL no case of {folder} passed")
        failed = max(1, failed)
    print(f"python {platform.python_version()} {name}: {passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
