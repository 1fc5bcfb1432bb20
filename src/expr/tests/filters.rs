//! Dates, money, text, methods, and names that there are not.

use super::*;

#[test]
fn dates_are_read_in_every_form_and_shown_in_a_zone() {
    for moment in [
        "1398399458",
        "1398399458000",
        "'2014-04-25T04:17:38Z'",
        "'2014-04-25 04:17:38 UTC'",
        "'2014-04-25 06:17:38 +0200'",
        "'Fri, 25 Apr 2014 04:17:38 GMT'",
        "'Fri Apr 25 04:17:38 +0000 2014'",
        "'1398399458'",
        "1398399458.0",
        "1398399458.123",
    ] {
        check(&format!("{moment} | date"), "2014-04-25 04:17");
        let text = format!("{moment} | date('%d.%m.%Y %H:%M', 'Europe/Berlin')");
        check(&text, "25.04.2014 06:17");
        check(&format!("{moment} | date(tz='Europe/Berlin', format='%H')"), "06");
    }
    for moment in ["1735689600.123", "'1735689600.123'"] {
        check(&format!("{moment} | date('%T%.f')"), "00:00:00.123");
    }
    for day in [
        "'2014-04-25'",
        "'25.04.2014'",
        "'Apr 25, 2014'",
        "'25 APR 2014'",
        "'25-Apr-2014'",
        "'2014-04-25[Europe/Berlin]'",
        "'25.04.2014 Europe/Berlin'",
    ] {
        for zone in ["America/New_York", "Asia/Tokyo", "UTC"] {
            check(&format!("{day} | date('%d.%m.%Y %H:%M', '{zone}')"), "25.04.2014 00:00");
        }
    }
    // What has a time, or an offset, is a moment, however it is written.
    for moment in [
        "'2014-04-25T00:00Z'",
        "'20140425000000'",
        "20140425000000",
        "'/Date(1398384000000)/'",
        "'25 Apr 2014 +0000'",
        "'2014-04-25 00:00'",
    ] {
        let text = format!("{moment} | date('%d.%m.%Y %H:%M', 'America/New_York')");
        check(&text, "24.04.2014 20:00");
    }
    check("'' | date", "undefined");
    check("20140425041738 | date", "2014-04-25 04:17");
    check("20140425 | date('%F', 'America/New_York')", "2014-04-25");
    assert!(compile("data.a | date('DD.MM.YYYY')").unwrap_err().message.contains("has no `%`"));
    let err = Expression::compile("data.text | date").unwrap().eval(&Scope::of(&event(BODY)));
    assert_eq!(
        err.unwrap_err().message,
        "invalid operation: this string like `?a???/a? ?a?` is no date: put ISO 8601 (`2026-01-31T15:04:05Z`) or \
         Unix time together of its parts, as in `x[:10]` (at `data.text | date`)"
    );
    assert!(compile("data.a | date('%Q%')").is_err(), "a wrong format is found when compiling");
}

/// It is a year or a count of days, unless it is told to be Unix time.
#[test]
fn small_number_is_no_moment_of_1970() {
    for small in ["2014", "2014.0", "45123.5", "99999999", "'45123'", "'2014'"] {
        let shown = Expression::compile(&format!("{small} | date")).unwrap();
        let said = shown.eval(&Scope::of(&event(BODY))).unwrap_err().message;
        assert!(said.contains("it may be a year or a count of days"), "{small}: {said}");
    }
    check("(2014 ~ '-01-01') | date", "2014-01-01 00:00");
    check("{'seconds': 63072000} | date", "1972-01-01 00:00");
    check("{'seconds': '2014' | int} | date('%T')", "00:33:34");
    check("-86400 | date('%F')", "1969-12-31");
    check("100000000 | date('%F')", "1973-03-03");
}

/// What is said of dates that mean either leads to one that is read.
#[test]
fn advice_for_ambiguous_dates_is_read() {
    let day = "'03/12/2013 17:23'";
    let (first, second, rest) =
        (format!("{day}[:2]"), format!("{day}[3:5]"), format!("{day}[10:]"));
    let put = |month: &str, day_of_month: &str| {
        format!("({day}[6:10] ~ '-' ~ {month} ~ '-' ~ {day_of_month} ~ {rest}) | date")
    };
    check(&put(&second, &first), "2013-12-03 17:23");
    check(&put(&first, &second), "2013-03-12 17:23");
    check("('20' ~ '131203172334') | date", "2013-12-03 17:23");
    check("'131203172334' | int | date", "1974-02-27 13:19");
}

#[test]
fn the_last_day_of_the_calendar_is_shown() {
    for moment in ["'9999-12-31T23:59:59Z'", "253402300799", "'253402300799'"] {
        check(&format!("{moment} | date('%d.%m.%Y %H:%M:%S')"), "31.12.9999 23:59:59");
        let text = format!("{moment} | date('%F %R %z', 'America/New_York')");
        check(&text, "9999-12-31 18:59 -0500");
        check(
            &format!("{moment} | date('%Y %Z %s %%Z', 'America/New_York')"),
            "9999 EST 253402300799 %Z",
        );
        // There the year is 10000.
        check(&format!("{moment} | date('%Y', 'Europe/Berlin')"), "9999");
    }
    check("'9999-12-31' | date", "9999-12-31 00:00");
    check("'31-Jan-2024 22:00:00' | date", "2024-01-31 22:00");
    check("'31 Jan 2024 10:00' | date", "2024-01-31 10:00");
}

#[test]
fn text_is_truncated_at_a_words_end() {
    check("'one two three' | truncate(8, leeway=0)", "one...");
    check("'one two three' | truncate(length=9, killwords=true, end='…', leeway=0)", "one two …");
    check("'one two three' | truncate(9, true, '…', 0)", "one two …");
    check("'one two' | truncate(5)", "one two");
    check("'äöüäöüäöü' | truncate(4, true, '', 0)", "äöüä");
    check("data.id | truncate(5)", "7");
}

#[test]
fn json_in_text_is_read() {
    check("('{\"a\":[1.10]}' | from_json).a[0]", "1.10");
    check("data.tags | from_json | first", "a");
    let err = Expression::compile("'{' | from_json").unwrap().eval(&Scope::of(&event(BODY)));
    let expected = "the text is not JSON: it ends too early: a key in quotes expected";
    assert!(err.unwrap_err().message.contains(expected));
}

#[test]
fn base64_is_read_in_both_alphabets() {
    check("('eyJraW5kIjoib3JkZXIifQ==' | b64decode | from_json).kind", "order");
    check("'eyJraW5kIjoib3JkZXIifQ' | base64_decode", "{\"kind\":\"order\"}");
    check("'8J+Yg_Cf\nmIM=' | b64decode", "😃😃");
    check("'/w==' | b64decode", "�");
    check("'ä?' | b64encode | b64decode", "ä?");
    check("data.id | b64encode", "Nw==");
    let err = Expression::compile("data.text | b64decode").unwrap().eval(&Scope::of(&event(BODY)));
    assert!(err.unwrap_err().message.contains("the string is not in base64"));
}

#[test]
fn money_is_grouped_and_rounded_by_its_digits() {
    for (text, expected) in [
        ("1234567.5 | money('EUR')", "1,234,567.50 EUR"),
        ("1999 | money('USD', minor=true)", "19.99 USD"),
        ("5 | money(minor=true)", "0.05"),
        ("1.005 | money", "1.01"),
        ("'2.675' | money", "2.68"),
        ("999.999 | money", "1,000.00"),
        ("-0.001 | money", "0.00"),
        ("-1234 | money(group='.', point=',', decimals=0)", "-1.234"),
        ("500 | money('JPY', decimals=0, minor=true)", "500 JPY"),
        ("'12345.50' | money('JPY')", "12,346 JPY"),
        ("500 | money('jpy', minor=true)", "500 jpy"),
        ("12345 | money('KWD', minor=true)", "12.345 KWD"),
        ("5 | money('JPY', decimals=2)", "5.00 JPY"),
        ("123456 | money('USD', minor=true, decimals=0)", "1,235 USD"),
        ("123456 | money('USD', minor=true, decimals=3)", "1,234.560 USD"),
        ("123456 | money(minor=true, decimals=3)", "123.456"),
        ("'1e3' | money", "1,000.00"),
        ("0 | money", "0.00"),
        ("12345678901234567890123 | money", "12,345,678,901,234,567,890,123.00"),
        ("0.004 | money", "0.00"),
        ("0.05 | money(decimals=1)", "0.1"),
    ] {
        check(text, expected);
    }
    for bad in ["'ten' | money", "'1e99' | money", "data.user | money"] {
        assert!(Expression::compile(bad).unwrap().eval(&Scope::of(&event(BODY))).is_err(), "{bad}");
    }
}

/// The minor units of ISO 4217, as its list one has them (2026), and MGA as CLDR 48 writes it.
#[test]
fn each_currency_has_the_decimals_that_it_is_written_with() {
    let none = "BIF CLP DJF GNF ISK JPY KMF KRW MGA PYG RWF UGX UYI VND VUV XAF XOF XPF";
    let thousandths = "BHD IQD JOD KWD LYD OMR TND";
    for (currencies, expected) in [
        (none, "1,235"),
        ("EUR CHF HUF COP MRU TWD IDR", "1,234.57"),
        (thousandths, "1,234.568"),
        ("CLF UYW", "1,234.5678"),
    ] {
        for currency in currencies.split(' ') {
            let text = format!("'1234.56784' | money('{currency}')");
            check(&text, &format!("{expected} {currency}"));
        }
    }
    // In what senders count them, which is hundredths for two that have none.
    for (text, expected) in [
        ("500 | money('MGA', minor=true)", "500 MGA"),
        ("12345 | money('CLF', minor=true)", "1.2345 CLF"),
        ("50000 | money('ISK', minor=true)", "500 ISK"),
        ("50000 | money('ugx', minor=true)", "500 ugx"),
        ("50000 | money('ISK', minor=true, decimals=0)", "500 ISK"),
    ] {
        check(text, expected);
    }
}

/// Forms and Shopify write numbers as texts.
#[test]
fn text_that_is_a_number_is_the_same_as_a_number_and_not_as_another_text() {
    for (text, expected) in [
        ("'0' | default('') in [0, 1]", true),
        ("data.zero == 0", true),
        ("data.zero != 0", false),
        ("0 == data.zero", true),
        ("data.price == 199", true),
        ("data.price == 199.5", false),
        ("data.price == data.other", false),
        ("data.zero in [0]", true),
        ("data.zero == true", false),
        ("data.nothing == 0", false),
        ("data.word == 0", false),
    ] {
        let body = r#"{"data":{"zero":"0","price":"199.00","other":"199","word":"x"}}"#;
        let value = Expression::compile(text).unwrap().eval(&Scope::of(&event(body))).unwrap();
        assert_eq!(value.is_true(), expected, "{text}");
    }
}

#[test]
fn methods_are_those_of_python() {
    check("data.user.name.upper()", "ANN");
    check("'a,b'.split(',')[1]", "b");
    check("data.user.get('name')", "Ann");
    check("data.user.get('nothing', 'x')", "x");
    check("data.user.keys() | join(',')", "name");
    check("data.text.startswith('<b>')", "true");
    check("', '.join(data.tags)", "a, b");
    check("', '.join([1.5, true])", "1.5, true");
    check("' '.isspace() and not 'a'.isspace()", "true");
    check("'Re: it'.removeprefix('Re: ') ~ 'a.b'.removesuffix('.b')", "ita");
    check("'a-b-c'.partition('-') | join('|')", "a|-|b-c");
    check("'a-b-c'.rpartition('-') | join('|')", "a-b|-|c");
    check("'abc'.rpartition('-') | join('|')", "||abc");
    check("'a-b-c'.rsplit('-', 1) | join('|')", "a-b|c");
    check("' a  b '.rsplit() | join('|')", "a|b");
    check("'Ab'.swapcase() ~ 'Ab'.casefold()", "aBab");
    check("'7'.zfill(3) ~ '-7'.zfill(4)", "007-007");
    check("'a'.ljust(3, '.') ~ 'b'.rjust(3, '.') ~ 'c'.center(3, '.')", "a....b.c.");
    check("'häuser'.index('s')", "3");
    check("['a', 'b'].index('b')", "1");
    check("'a'.index('x') is undefined and ['a'].index('x') is undefined", "true");
}

#[test]
fn unknown_filters_are_found_in_loops_and_conditions() {
    for text in [
        "{% for e in events %}{{ e.data.a | shorten(80) }}{% endfor %}",
        "{% if data.a %}{{ data.a | shorten }}{% endif %}",
        "{{ data.a + 1 }}{{ data.b | shorten }}",
        "{% for e in events if e is shorten %}{% endfor %}",
    ] {
        let err = Template::compile(text, Escape::None).unwrap_err();
        assert!(err.message.contains("shorten is unknown"), "{err}");
        assert_eq!(text.get(err.range.unwrap()), Some("shorten"));
    }
}

#[test]
fn unknown_methods_are_found_in_loops_and_branches() {
    for (text, message, word) in [
        ("{% if data.a == 'x' %}{{ data.b.foo() }}{% endif %}", "method foo is unknown", "foo"),
        ("{% for c in data.list %}{{ c.foo() }}{% endfor %}", "method foo is unknown", "foo"),
        (
            "{{ data.a.includes('x') and data.b.toLowerCase() }}",
            "method includes is unknown, and so is toLowerCase",
            "includes",
        ),
    ] {
        let err = Template::compile(text, Escape::None).unwrap_err();
        assert_eq!(err.message, format!("unknown method: {message}"), "{text}");
        assert_eq!(text.get(err.range.unwrap()), Some(word));
    }
    let err = Expression::compile("data.a == 'x' and data.b.startsWith('y')").unwrap_err();
    assert_eq!(err.message, "unknown method: method startsWith is unknown");
    assert_eq!(err.help, "did you mean `startswith`?");
    for text in [
        "{% for c in data.list %}{{ loop.cycle('a', 'b') }}{% endfor %}",
        "{% for a in data.list %}{% set outer = loop %}{% for b in a %}{{ outer.cycle(1, 2) }}\
         {{ outer.changed(b) }}{% endfor %}{% endfor %}",
        "{% macro f(x) %}{{ x }}{% endmacro %}{% set m = {'f': f} %}{{ m.f(1) }}",
    ] {
        assert!(Template::compile(text, Escape::None).is_ok(), "{text}");
    }
}

#[test]
fn wrong_arguments_are_found_in_branches() {
    let branch = |code: &str| ["{% if data.a == 'x' %}{{ ", code, " }}{% endif %}"].concat();
    for (code, message) in [
        ("data.a | date('%Y', tz='Europe/Berln')", "there is no time zone `Europe/Berln`"),
        ("data.a | date('%!', tz=data.zone)", "the date format is wrong"),
        ("data.b | truncate(5, foo=1)", "unknown keyword argument 'foo'"),
        ("data.b | truncate(-1)", "cannot convert number"),
        ("data.c | upper | money('EUR', decimal=data.n)", "unknown keyword argument 'decimal'"),
    ] {
        let text = branch(code);
        let err = Template::compile(&text, Escape::None).unwrap_err();
        assert!(err.message.contains(message), "{code}: {err}");
        let (_, call) = code.rsplit_once("| ").unwrap();
        assert_eq!(text.get(err.range.unwrap()), Some(call));
    }
    for code in [
        "data.a | date(data.format, tz=data.zone)",
        "data.a | date('%d.%m.%Y', tz='Europe/Berlin')",
        "data.b | truncate(data.list[0], end='…', leeway=(1 + 2))",
        "data.c | money({'EUR': 'E', 'USD': 'D'}[data.currency], minor=true) | truncate(9)",
        "data.list | join(', ', attribute='name')",
        "data | tojson(indent=2)",
    ] {
        assert!(Template::compile(&branch(code), Escape::None).is_ok(), "{code}");
    }
}

#[test]
fn error_of_a_rewritten_text_names_its_own_place() {
    let text = "data.text ~ data.user.name + 1";
    let err = Expression::compile(text).unwrap().eval(&Scope::of(&event(BODY))).unwrap_err();
    let words = text.get(err.range.clone().unwrap()).unwrap();
    assert!(words.contains("name + 1") && !err.message.contains("_number"), "{words}: {err}");
}

#[test]
fn discord_shows_no_address_behind_words() {
    let body = r#"{"data":{"text":"[bank](https://evil.example) \\[x](y)"}}"#;
    let template = Template::compile("{{ data.text }}", Escape::Discord).unwrap();
    let text = template.render(&Scope::of(&event(body))).unwrap();
    assert_eq!(text, r"\[bank\](https://evil.example) \\\[x\](y)");
}

/// The library's own codes are none of strftime(3), and unknown ones are found without an event.
#[test]
fn date_with_an_unknown_code_does_not_compile() {
    for format in ["%Q", "%:Q", "%d.%m. %%%Q", "%J", "%d.%", "%E"] {
        let text = format!("data.x | date('{format}')");
        let err = Expression::compile(&text).unwrap_err();
        assert!(err.message.contains("the date format is wrong"), "{text}: {err}");
    }
    for format in ["%%Q", "%%", "%-d. %B %Y, %H:%M %Z", "100 %% Q"] {
        Expression::compile(&format!("data.x | date('{format}')")).unwrap();
    }
}

#[test]
fn map_is_urlencoded_pair_by_pair() {
    let map = "{'a b': 'x&y', 'n': 5, 'gone': none, 'l': ['ä']}";
    check(&format!("{map} | urlencode"), "a%20b=x%26y&n=5&l=%5B%22%C3%A4%22%5D");
    check("'[]' | from_json | urlencode", "%5B%5D");
    check(r#"'{"p":1.10,"q":{}}' | from_json | urlencode"#, "p=1.10&q=%7B%7D");
    check("'a/b c' | urlencode", "a/b%20c");
    check("data.nothing | urlencode", "undefined");
}

#[test]
fn text_that_means_no_is_false() {
    for no in ["'false'", "'False'", "' no '", "'0'", "'off'", "''", "'n'", "0", "none", "false"] {
        check(&format!("{no} | bool"), "false");
    }
    for yes in ["'true'", "'1'", "'on'", "'2020'", "'nothing'", "1", "[0]", "true"] {
        check(&format!("{yes} | bool"), "true");
    }
}
