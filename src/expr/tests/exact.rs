//! Calculations with decimals.

use super::*;

fn evaluated(text: &str, body: &str) -> Result<Value, ExprError> {
    Expression::compile(text).unwrap().eval(&Scope::of(&event(body)))
}

#[track_caller]
fn eval(text: &str, body: &str) -> String {
    plain(&evaluated(text, body).unwrap())
}

// As floats these come to 110.00000000000001, 1998.9999999999998, 3.3000000000000003 and 5.6e-17.
#[test]
fn decimals_come_to_what_they_are() {
    let body = r#"{"p":1.10,"q":2.20,"r":19.99,"big":12345678901234567890.12,"n":3,"l":[2.20,1.10],
        "m":[{"p":0.10},{"p":0.20},{"p":null}],"e":1E3,"text":"1.10","tiny":1e-40,"neg":-0.50,
        "end":1700000000.623457,"start":1700000000.123456}"#;
    for (text, expected) in [
        ("payload.p * 100", "110"),
        ("payload.r * 100", "1999"),
        ("payload.p + payload.q", "3.3"),
        ("payload.p * 3", "3.3"),
        ("payload.p + payload.q * 2 - 0.1 * payload.n", "5.2"),
        ("(payload.p + payload.q) * payload.n", "9.9"),
        ("0.1 + 0.2 - 0.3", "0"),
        ("payload.big + 0.01", "12345678901234567890.13"),
        ("payload.big * payload.n", "37037036703703703670.36"),
        ("payload.text * 100", "110"),
        ("payload.text + 1", "2.1"),
        ("payload.e + 0", "1000"),
        ("-payload.p + payload.q", "1.1"),
        ("payload.neg * payload.neg", "0.25"),
        ("payload.neg + 0.05", "-0.45"),
        ("payload.l | sum", "3.3"),
        ("payload.m | sum(attribute='p')", "0.3"),
        ("payload.l | sum(start=0.7)", "4"),
        ("payload.tiny + 1", "1.0"),
        ("payload.n * 4 - 1", "11"),
        ("18446744073709551615 % 10", "5"),
        ("18446744073709551615 // 10", "1844674407370955161"),
        ("(9223372036854775807 + payload.n) % 10", "0"),
        ("7.5 // 2", "3.0"),
        ("7.5 % 2", "1.5"),
        ("payload.end - payload.start", "0.500001"),
        ("payload.end - payload.start - 0.5", "0.000001"),
        ("payload.n / 3 * 3", "3"),
        ("(payload.n * 10 / 9) * 9", "30.0"),
        ("9223372036854775807 + payload.n", "9223372036854775810"),
        ("payload.p + payload.q == 3.3 and 3.3 == payload.p + payload.q", "true"),
        ("payload.p * 3 > 3.3 or payload.q - payload.p == payload.p", "true"),
    ] {
        assert_eq!(eval(text, body), expected, "{text}");
    }
}

// As floats these come to 110.00000000000001, 1.6500000000000001, 1998.0, 0.09999999999999998 and 12345678901234567000.
#[test]
fn decimals_beside_other_operators_come_to_what_they_are() {
    let body = r#"{"p":1.10,"q":2.20,"r":19.99,"n":3,"cents":1250,"null":null,"text":"x","qty":"2",
        "big":12345678901234567890.12,"huge":1234567890123456789012345678901234567890123,"neg":-0.50}"#;
    for (text, expected) in [
        ("payload.p * 100 ~ ' cents'", "110 cents"),
        ("'EUR ' ~ payload.p * 3 ~ '/' ~ payload.n * 2", "EUR 3.3/6"),
        ("(payload.p + payload.q) ~ '' == '3.3'", "true"),
        ("payload.null ~ payload.text + payload.text", "xx"),
        ("payload.p * 3 / 2", "1.65"),
        ("payload.cents / 100", "12.5"),
        ("payload.cents / 10", "125.0"),
        ("payload.cents / 100 * payload.qty", "25"),
        ("payload.r * 100 // 1", "1999"),
        ("7.5 // 2", "3.0"),
        ("-7.5 // 2", "-4.0"),
        ("0.3 % 0.1", "0.0"),
        ("-payload.p % 1", "0.9"),
        ("payload.big / 2", "6172839450617283945.06"),
        ("payload.n / 7 == 3 / 7", "true"),
        ("payload.n ** 2 * payload.p", "9.9"),
        ("-payload.big", "-12345678901234567890.12"),
        ("-payload.huge", "-1234567890123456789012345678901234567890123"),
        ("-payload.neg", "0.50"),
        ("-payload.qty", "-2"),
        ("-payload.n|abs", "3"),
        ("'x' + (payload.p * 100) | string", "x110"),
    ] {
        assert_eq!(eval(text, body), expected, "{text}");
    }
    for (text, said) in [
        ("payload.n / 0", "divided by zero"),
        ("payload.p // 0", "divided by zero"),
        ("-payload.text", "unsupported type string"),
        ("-payload.null", "unsupported type none"),
        ("payload.text / 2", "unsupported types"),
    ] {
        let err = evaluated(text, body).unwrap_err().to_string();
        assert!(err.contains(said), "{text}: {err}");
        assert!(err.contains(&format!("(at `{text}`)")), "{err}");
    }
}

#[test]
fn name_behind_a_dot_is_no_operator() {
    let body = r#"{"out":10,"in":2,"a":7,"or":1,"d":{"not":3}}"#;
    for (text, expected) in [
        ("payload.out + payload.in", "12"),
        ("payload.out - payload.in", "8"),
        ("payload.a * payload.or", "7"),
        ("payload.a + payload.d.not * 2", "13"),
        ("payload.in < payload.out", "true"),
        ("payload.or < payload.in and payload.in < payload.a", "true"),
    ] {
        assert_eq!(eval(text, body), expected, "{text}");
    }
}

#[test]
fn what_is_no_number_is_put_together_as_ever() {
    let body = r#"{"a":"x","b":"y","n":2,"one":"1","l":[1],"m":[2]}"#;
    for (text, expected) in [
        ("payload.a + payload.b", "xy"),
        ("payload.one + payload.one", "11"),
        ("payload.one + 1", "2"),
        ("payload.l + payload.m", "[1,2]"),
        ("payload.a * payload.n", "xx"),
    ] {
        assert_eq!(eval(text, body), expected, "{text}");
    }
    let said = evaluated("payload.n + payload.a", body).unwrap_err().to_string();
    assert!(said.contains("unsupported types number and string"), "{said}");
    assert!(said.contains("(at `payload.n + payload.a`)"), "{said}");
}

#[test]
fn what_is_sorted_and_chosen_is_as_it_was_written() {
    let body = r#"{"p":[2.20,1.10,10.50,1.1],"m":[{"p":2.20,"n":"b"},{"p":10.50,"n":"a"},{"p":1.10,"n":"A"}],
        "ids":[12345678901234567890125,12345678901234567890123],"none":[null,1.50],"words":["b","A","a"],"near":[9007199254740993.5,9007199254740992.5,9007199254740993.25],
        "mixed":["b",9007199254740993.5,1,"A",9007199254740993.25,false,-1],
        "of":[{"n":9007199254740993.25,"g":1,"i":"a"},{"n":9007199254740993.5,"g":1,"i":"b"},{"n":9007199254740992.5,"g":1,"i":"c"}]}"#;
    for (text, expected) in [
        ("payload.p | sort | join(',')", "1.10,1.1,2.20,10.50"),
        ("payload.p | sort(reverse=true) | join(',')", "10.50,2.20,1.10,1.1"),
        ("payload.p | unique | join(',')", "2.20,1.10,10.50"),
        ("payload.p | min", "1.10"),
        ("payload.p | max", "10.50"),
        ("payload.none | max", "1.50"),
        ("payload.m | sort(attribute='p') | map(attribute='p') | join(',')", "1.10,2.20,10.50"),
        ("payload.m | sort(attribute='n,p') | map(attribute='p') | join(',')", "1.10,10.50,2.20"),
        ("(payload.m | max(attribute='p')).p", "10.50"),
        ("payload.ids | sort | first", "12345678901234567890123"),
        (
            "payload.near | sort | join(',')",
            "9007199254740992.5,9007199254740993.25,9007199254740993.5",
        ),
        ("payload.near | sort(reverse=true) | first", "9007199254740993.5"),
        ("payload.near | max", "9007199254740993.5"),
        ("payload.near | min", "9007199254740992.5"),
        ("payload.near | unique | length", "3"),
        (
            "payload.mixed | sort | join(',')",
            "-1,false,1,9007199254740993.25,9007199254740993.5,A,b",
        ),
        ("payload.of | sort(attribute='n') | map(attribute='i') | join", "cab"),
        ("payload.of | sort(attribute='g,n') | map(attribute='i') | join", "cab"),
        ("payload.of | groupby('n') | length", "3"),
        ("payload.words | sort | join", "Aab"),
        ("payload.words | unique(case_sensitive=true) | join", "bAa"),
        ("payload.nothing | sort", ""),
    ] {
        assert_eq!(eval(text, body), expected, "{text}");
    }
    let said = evaluated("payload.p | min(reverse=true)", body).unwrap_err().to_string();
    assert!(said.contains("reverse"), "{said}");
}

// As floats each of them equals its neighbours.
#[test]
fn numbers_of_many_digits_equal_themselves_alone() {
    let body = r#"{"id":1234567890123456789,"next":1234567890123456788,"float":1234567890123456789.0,"text":"1234567890123456789",
        "e":1.234567890123456789E18,"long":0.12345678901234567891,"near":0.12345678901234567892,"same":0.123456789012345678910,
        "neg":-1234567890123456789.0,"third":0.3333333333333333,"ids":[1234567890123456788.0,5],
        "price":19.989999999999998,"third":0.33333333333333331,"said":"0.12345678901234567891"}"#;
    for (text, expected) in [
        ("payload.id == payload.next", "false"),
        ("payload.float == payload.id", "true"),
        ("payload.float == payload.next", "false"),
        ("payload.e == payload.id and payload.id == payload.e", "true"),
        ("payload.e == payload.next or payload.next == payload.e", "false"),
        ("payload.float == 1234567890123456789", "true"),
        ("payload.float == 1234567890123456788", "false"),
        ("payload.float != 1234567890123456788", "true"),
        ("payload.text == 1234567890123456788", "false"),
        ("payload.text == 1234567890123456789", "true"),
        ("payload.neg == -payload.id", "true"),
        ("payload.neg == -payload.next", "false"),
        ("payload.long == payload.near", "false"),
        ("payload.long == payload.same", "true"),
        ("payload.long is eq payload.near", "false"),
        ("payload.id in payload.ids", "false"),
        ("payload.next in payload.ids", "true"),
        ("1 / 3 == payload.third", "true"),
        ("payload.third == 1 / 3", "true"),
        ("payload.third == 0.3333333333333333", "true"),
        ("payload.float | int", "1234567890123456789"),
        // One float, however many digits of it are written.
        ("payload.price == 19.99", "true"),
        ("19.99 == payload.price", "true"),
        ("payload.price != 19.99", "false"),
        ("payload.price in [19.99]", "true"),
        ("payload.price in [19.98]", "false"),
        ("19.989999999999998 == 19.99", "true"),
        // A literal of more digits than its float has.
        // As PHP and `%.17g` write the float of a third.
        ("payload.third == 1 / 3", "true"),
        ("payload.third == 0.3333333333333333", "true"),
        ("payload.long == 0.12345678901234567891", "true"),
        ("payload.long == 0.123_456_789_012_345_678_91", "true"),
        ("payload.long == 0.12345678901234567892", "false"),
        ("0.12345678901234567891 != payload.near", "true"),
        ("-0.12345678901234567891 == -payload.long", "true"),
        ("payload.long in [1, 0.12345678901234567891]", "true"),
        ("payload.near in [1, 0.12345678901234567891]", "false"),
        ("payload.long <= 0.12345678901234567891", "true"),
        ("payload.long < 0.12345678901234567891", "false"),
        ("payload.said == 0.12345678901234567891", "true"),
        ("payload.said == 0.12345678901234567892", "false"),
        ("payload.float == 1234567890123456789.0", "true"),
        ("0.12345678901234567891 - payload.long", "0"),
        ("0.12345678901234567891 == 0.12345678901234567891", "true"),
        ("payload.float % 10", "9.0"),
    ] {
        assert_eq!(eval(text, body), expected, "{text}");
    }
}

#[test]
fn number_that_is_negated_twice_is_itself() {
    let body = r#"{"p":1.10,"big":12345678901234567890.12,"huge":1234567890123456789012345678901234567890123,"text":"x"}"#;
    for (text, expected) in [
        ("- -payload.p", "1.10"),
        ("- -payload.big", "12345678901234567890.12"),
        ("- - -payload.big", "-12345678901234567890.12"),
        ("- -payload.huge", "1234567890123456789012345678901234567890123"),
        ("payload.p - - -payload.p", "0"),
        ("payload.p - -payload.big", "12345678901234567891.22"),
    ] {
        assert_eq!(eval(text, body), expected, "{text}");
    }
    let said = evaluated("- -payload.text", body).unwrap_err().to_string();
    assert!(said.contains("unsupported type string"), "{said}");
}
