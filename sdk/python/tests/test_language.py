# SPDX-License-Identifier: Apache-2.0

import ast
import pathlib
import unittest

import bb_mcp

PACKAGE = pathlib.Path(bb_mcp.__file__).parent


class Language(unittest.TestCase):
    def test_the_source_is_python_3_9(self):
        sources = sorted(PACKAGE.glob("*.py"))
        self.assertGreater(len(sources), 5)
        for path in sources:
            ast.parse(path.read_text(encoding="utf-8"), path.name, feature_version=(3, 9))

    def test_the_package_says_that_it_has_types(self):
        self.assertTrue((PACKAGE / "py.typed").exists())

    def test_everything_named_is_there_and_nothing_shadows_a_builtin(self):
        import builtins

        for name in bb_mcp.__all__:
            self.assertTrue(hasattr(bb_mcp, name), name)
            self.assertFalse(hasattr(builtins, name), name)

    def test_only_the_standard_library_is_imported(self):
        known = {"__future__", "base64", "binascii", "copy", "datetime", "email", "hashlib", "hmac", "http", "json", "logging", "math"}
        known |= {"os", "platform", "random", "re", "reprlib", "secrets", "select", "socket", "ssl", "threading", "time", "typing", "urllib"}
        for path in PACKAGE.glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    self.assertLessEqual({alias.name.split(".")[0] for alias in node.names}, known, path.name)
                elif isinstance(node, ast.ImportFrom) and node.level == 0:
                    self.assertIn(node.module.split(".")[0], known, path.name)


if __name__ == "__main__":
    unittest.main()
