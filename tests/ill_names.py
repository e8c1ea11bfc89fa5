"""Names that somebody could give to a class, a segment, a model or a request, to the harm of whoever shows them."""

PROTOTYPE = (
    "__proto__",
    "constructor",
    "toString",
    "hasOwnProperty",
    "valueOf",
    "isPrototypeOf",
    "__defineGetter__",
    "toLocaleString",
    "propertyIsEnumerable",
    "prototype",
    "length",
)
"""What every object in JavaScript has, or may seem to have."""

MARKUP = (
    '<img src=x onerror="window.pwned=1">',
    "<script>window.pwned=1</script>",
    "</script><script>window.pwned=1</script>",
    "</text></svg><svg onload=window.pwned=1>",
    "{{constructor.constructor('window.pwned=1')()}}",
    "{{7*7}}",
    "{% raw %}",
    "${window.pwned=1}",
    "javascript:window.pwned=1",
    ":formatter",
    "{a|b} {b}",
    "&lt;b&gt;&amp;&#60;script&#62;",
    "[x](javascript:window.pwned=1)",
    "![x](http://evil.example/x.png)",
    "`**bold** _it_ ~~no~~ # head`",
    "a|b",
    "<!channel> @here <https://evil.example|x>",
    "http://evil.example/",
)

TERMINAL = (
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x1b]8;;http://evil.example\x1b\\link",
    "\x9b2Jclear",
    "line\nbreak\r\n__proto__",
    "over\rwritten",
    "bell\x07\x08\x7f\x00nul",
    "\u202egnp.exe\u2066",
    "a\u2028b\u2029c",
    "[bold red]markup[/]",
)

TABLES = (
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(1+1)",
    "\t=1+1",
    "\r=1+1",
    "'=1+1",
    "'",
    "''a",
    'quo"te,comma;semicolon',
    "\ufeff=1+1",
    "\uff1d1+1",
)

OTHER = (
    "",
    " ",
    "\u200b",
    "x" * 5_000,
    "../../etc/passwd",
    "/etc/passwd",
    "..\\..\\x",
    "C:\\x",
    "a b\u00a0c",
    'x"} 1\nshadowbus_books_gap{trial="y',
    "back\\slash\\n",
    'key = "toml"\n[kafka]',
    "- yaml: !!python/object",
    "null",
    "NaN",
    "-0",
    "%s %n %(x)s {0} {x}",
    "$(touch x) `touch x`; rm -rf x",
    "*",
    "\U0001f600\u0301\ud7ff",
    "\ufffe\uffff",
)

NAMES = (*PROTOTYPE, *MARKUP, *TERMINAL, *TABLES, *OTHER)
