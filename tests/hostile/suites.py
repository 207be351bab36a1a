"""Hostile suites, made by code: name -> content. All but those whose name begins with "sound" are refused."""

from __future__ import annotations

from collections.abc import Iterator

HEAD = b"name: own\nextends: smoke\n"
LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)


def corpus() -> Iterator[tuple[str, bytes]]:
    """(name, content)"""
    yield "empty", b""
    yield "a list", b"- a\n- b\n"
    yield "a number", b"3"
    yield "zeros", bytes(100)
    yield "no text", b"\xff\xfe\xfa\xfb\x00"
    yield "a form feed", b"name: \x0c\n"
    yield "an anchor in itself", HEAD + b"tasks: &a\n  x: *a\n"
    yield "a list in itself", HEAD + b"seeds: &a [*a]\n"
    yield "an anchor as its own key", HEAD + b"? &a {*a : 1}\n: 2\n"
    yield "a merge of itself", HEAD + b"tasks: &a\n  <<: *a\n"
    yield "a billion laughs", HEAD + LAUGHS.encode()
    for opening, closing in ((b"[", b"]"), (b"{a: ", b"}")):
        for depth in (40, 1000, 100_000):
            yield f"nested {opening!r} {depth}", HEAD + b"tasks: " + opening * depth + closing * depth
    yield "deep indents", HEAD + b"tasks:\n" + b"".join(b" " * n + b"a:\n" for n in range(1, 900))
    yield "five megabytes", HEAD + b"title: " + b"x" * 5_000_000
    yield "many keys", HEAD + b"entries:\n" + b"".join(b"  a%d: {method: sid}\n" % n for n in range(80_000))
    for tag in (
        "!!python/object/apply:os.system ['touch executed']",
        "!!python/object/new:os.system ['touch executed']",
        "!!python/name:os.system",
        "!!python/module:os",
        "!!python/tuple [1]",
        "!!python/object:benchmarks.suite.config.Suite {}",
        "!include /etc/passwd",
        "!ENV ${HOME}",
        "!!binary 'x'",
        "!!timestamp 2020-99-99",
        "!!int x",
        "!!float x",
        "!!bool x",
        "!!set {a, b}",
        "!!omap [a: 1]",
    ):
        yield f"the tag {tag.split()[0]}", HEAD + f"title: {tag}\n".encode()
    yield "a key twice", HEAD + b"title: a\ntitle: b\n"
    yield "two documents", HEAD + b"---\nname: b\n"
    yield "an unknown anchor", HEAD + b"title: *b\n"
    yield "extends itself", b"name: own\nextends: own.yaml\n"
    yield "extends a folder", b"name: own\nextends: ./\n"
    yield "extends a device", b"name: own\nextends: /dev/zero\n"
    yield "extends a device as YAML", b"name: own\nextends: /dev/../dev/zero.yaml\n"
    yield "extends a password file", b"name: own\nextends: /etc/passwd\n"
    yield "extends a mapping", b"name: own\nextends: {a: 1}\n"
    for word in ("../../own", "/etc", "a b", "-rf", "a/b", "A", "", ".", "x\\u001b[2J", "x\\nname: y"):
        yield f"the name {word!r}", f'name: "{word}"\nextends: smoke\n'.encode()
        yield f"an entry {word!r}", HEAD + f'entries: {{"{word}": {{method: sid}}}}\n'.encode()
    for section in ("seeds", "teachers", "tasks", "entries", "protocols"):
        for value in ("3", "[1]", "text", "{a: 1}", "{1: {}}", "{a: [b]}"):
            if (section, value) != ("seeds", "[1]"):
                yield f"{section}: {value}", HEAD + f"{section}: {value}\n".encode()
    budget = "tasks: {digits-cond: {budget: {%s}}}\n"
    for setting in (
        "observe: 1000000000000",
        "observe: -1",
        "images: 1.0e+400",
        "images: .nan",
        "images: .inf",
        "images: -5",
        "images: 99999999999999999999999999",
        "batch: 0",
        "batch: yes",
        "micro_batch: 2020-01-01",
        "ema_ramp: 7",
        "dtype: object",
        "student: {rank: 100000000000000000000, targets: [a]}",
        "engine: {strategy: os.system}",
    ):
        yield f"budget {setting}", HEAD + (budget % setting).encode()
    for seeds in ("[0, 0]", "[-1]", "[true]", "[010]", "[1:30]", "[99999999999999999999999999999999]", "[0.5]", "[]"):
        yield f"seeds {seeds}", HEAD + f"seeds: {seeds}\n".encode()
    for options in ("{alpha: no}", "{alpha: .nan}", "{__class__: x}", "{alpha: [1]}", "{alpha: {a: 1}}", "{alpha: x}"):
        yield f"options {options}", HEAD + f"entries: {{sid: {{options: {options}}}}}\n".encode()
    yield "sound: a null of a word", HEAD + b"title: !!null x\n"
    yield "sound: a comment", HEAD + b"# nothing\n"
    yield "sound: a byte order mark", b"\xef\xbb\xbf" + HEAD
    yield "sound: markup in a label", HEAD + b"entries: {sid: {label: '<script>alert(1)</script>'}}\n"
