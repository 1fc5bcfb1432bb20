//! The words of this language, and those of others that are taken for them.

/// Other languages' words for what is called otherwise here, and how that is written. The longer
/// ones first.
pub(super) const OPERATORS: [(&str, &str); 8] = [
    ("=~", "`\"word\" in data.text`: there are no patterns"),
    ("===", "`==`"),
    ("!==", "`!=`"),
    ("&&", "`and`"),
    ("||", "`or`"),
    ("?.", "`.`: what is missing has no fields, and is no error"),
    ("??", "`| default(…)`"),
    ("<>", "`!=`"),
];

/// Operators that are words in other languages.
pub(super) const WORDS: [(&str, &str); 16] = [
    ("AND", "`and`"),
    ("OR", "`or`"),
    ("NOT", "`not`"),
    ("IS", "`is`"),
    ("IN", "`in`"),
    ("LIKE", "`\"word\" in data.text`: there are no patterns"),
    ("ILIKE", "`\"word\" in data.text | lower`: there are no patterns"),
    ("BETWEEN", "`data.number >= 1 and data.number <= 5`"),
    ("between", "`data.number >= 1 and data.number <= 5`"),
    ("eq", "`==`"),
    ("ne", "`!=`"),
    ("like", "`\"word\" in data.text`: there are no patterns"),
    ("CONTAINS", "`\"word\" in data.text`"),
    ("matches", "`\"word\" in data.text`: there are no patterns"),
    ("contains", "`\"word\" in data.text`"),
    ("includes", "`\"word\" in data.text`"),
];

/// Names for nothing in other languages.
pub(super) const NOTHING: [&str; 5] = ["null", "nil", "NULL", "Null", "undefined"];

/// All filters, but for second names.
pub(super) const FILTERS: [&str; 54] = [
    "abs",
    "attr",
    "b64decode",
    "b64encode",
    "batch",
    "bool",
    "capitalize",
    "chain",
    "count",
    "date",
    "default",
    "dictsort",
    "escape",
    "first",
    "float",
    "format",
    "from_json",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "money",
    "pprint",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "slice",
    "sort",
    "split",
    "string",
    "striptags",
    "sum",
    "title",
    "tojson",
    "trim",
    "truncate",
    "unique",
    "upper",
    "urlencode",
    "zip",
];

/// What may stand behind `{%`.
pub(super) const STATEMENTS: [&str; 11] = [
    "autoescape",
    "break",
    "call",
    "continue",
    "do",
    "filter",
    "for",
    "if",
    "macro",
    "set",
    "with",
];

/// How templates of other languages begin.
pub(super) const OTHER_TEMPLATES: [(&str, &str); 5] = [
    ("{{{", "two braces are enough: `{{ … }}`"),
    ("{{#if", "write `{% if … %}`, and `{% endif %}` at its end"),
    ("{{#each", "write `{% for x in … %}`, and `{% endfor %}` at its end"),
    ("{{#", "write `{% if … %}` or `{% for x in … %}`"),
    ("{{ .", "leave the first `.` out: `data.…` and `payload.…` begin at the body's root"),
];

/// Other languages' filters.
pub(super) const OTHER_FILTERS: [(&str, &str); 22] = [
    ("upcase", "upper"),
    ("uppercase", "upper"),
    ("downcase", "lower"),
    ("lowercase", "lower"),
    ("json", "tojson"),
    ("json_encode", "tojson"),
    ("escapejs", "tojson"),
    ("parse_json", "from_json"),
    ("json_decode", "from_json"),
    ("size", "length"),
    ("truncatechars", "truncate(…)"),
    ("ellipsis", "truncate(…)"),
    ("shorten", "truncate(…)"),
    ("excerpt", "truncate(…)"),
    ("strftime", "date(…)"),
    ("dateformat", "date(…)"),
    ("datetimeformat", "date(…)"),
    ("currency", "money(…)"),
    ("number_format", "money(…)"),
    ("strip_html", "striptags"),
    ("html_escape", "escape"),
    ("url_encode", "urlencode"),
];

/// All tests, but for second names.
pub(super) const TESTS: [&str; 26] = [
    "boolean",
    "defined",
    "divisibleby",
    "endingwith",
    "eq",
    "even",
    "false",
    "float",
    "ge",
    "gt",
    "in",
    "integer",
    "iterable",
    "le",
    "lower",
    "lt",
    "mapping",
    "ne",
    "none",
    "number",
    "odd",
    "sequence",
    "startingwith",
    "string",
    "true",
    "undefined",
];

/// Other languages' methods.
pub(super) const OTHER_METHODS: [(&str, &str); 6] = [
    ("includes", "`x in y`"),
    ("contains", "`x in y`"),
    ("slice", "`x[1:5]`"),
    ("substring", "`x[1:5]`"),
    ("toLowerCase", "`| lower`"),
    ("toUpperCase", "`| upper`"),
];
