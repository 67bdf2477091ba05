"""What a command that ran within the tests ended with."""

import json


def done(result):
    """The document that a command with --json left."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def one_line_error(result, *parts, code=2):
    """The command ended with one line on stderr that holds the parts, and no traceback."""
    assert result.exit_code == code, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr
    for part in parts:
        assert part in lines[0]
