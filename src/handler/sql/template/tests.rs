use super::*;

const ALL: [Engine; 3] = [Engine::Sqlite, Engine::Postgres, Engine::MySql];

fn good(text: &str, engine: Engine) -> StatementTemplate {
    StatementTemplate::parse(text, engine).unwrap_or_else(|err| panic!("{text}: {err}"))
}

/// The SQL, and what each value is.
fn check(engine: Engine, text: &str, sql: &str, values: &[&str]) {
    let template = good(text, engine);
    assert_eq!(template.sql(|index| format!("${index}")), sql);
    let found: Vec<&str> = template.values.iter().map(|value| value.expression.source()).collect();
    assert_eq!(found, values, "{text}");
}

#[test]
fn each_value_becomes_a_placeholder() {
    for engine in ALL {
        check(
            engine,
            "UPDATE t SET a = {{ data.a }}, b={{data.b|upper}} WHERE id = {{- data.id -}};",
            "UPDATE t SET a = $0, b=$1 WHERE id = $2;",
            &["data.a", "data.b|upper", "data.id"],
        );
        let text =
            r#"INSERT INTO t VALUES ('it''s {x}', {{ "}} ' --" ~ data.a }}, {{ {"a": {}} }})"#;
        let sql = "INSERT INTO t VALUES ('it''s {x}', $0, $1)";
        check(engine, text, sql, &[r#""}} ' --" ~ data.a"#, r#"{"a": {}}"#]);
        check(engine, "DELETE FROM t -- of all\n", "DELETE FROM t -- of all\n", &[]);
        check(engine, "SELECT 1 /* a */ , {{ data.a }}", "SELECT 1 /* a */ , $0", &["data.a"]);
    }
    let pg = Engine::Postgres;
    check(
        pg,
        "SELECT f(ARRAY[{{ data.a }}], E'\\'', $$'$$, a ? 'b')",
        "SELECT f(ARRAY[$0], E'\\'', $$'$$, a ? 'b')",
        &["data.a"],
    );
    check(
        pg,
        "SELECT {{ data.a }}::text, $t$ $$ ' $t$",
        "SELECT $0::text, $t$ $$ ' $t$",
        &["data.a"],
    );
    check(
        Engine::MySql,
        "SELECT '\\'', @a, {{ data.a }} # '",
        "SELECT '\\'', @a, $0 # '",
        &["data.a"],
    );
    check(Engine::Sqlite, "SELECT [a'b], `c`, {{ data.a }}", "SELECT [a'b], `c`, $0", &["data.a"]);
}

/// Message, help and the words at the place.
fn refused(engine: Engine, text: &str) -> (String, String, String) {
    let err = StatementTemplate::parse(text, engine).expect_err(text);
    let words = text.get(err.range.expect(text)).unwrap_or_default();
    (err.message, err.help, words.to_owned())
}

#[test]
fn what_could_be_no_value_is_refused_at_its_place() {
    for engine in ALL {
        for (text, message, help, words) in [
            (
                "UPDATE t SET a = '{{ data.a }}'",
                "`{{ data.a }}` stands in quotation marks, where it is no value",
                "write `{{ data.a }}` without the quotation marks: it is bound as a value",
                "{{ data.a }}",
            ),
            (
                "SELECT a FROM t WHERE a LIKE '%{{ data.a }}_{{ data.b }}'",
                "`{{ data.a }}` stands in quotation marks, where it is no value",
                "write the whole text as one value: `{{ \"%\" ~ data.a ~ \"_\" ~ data.b }}`",
                "{{ data.a }}",
            ),
            (
                "DELETE FROM t -- {{ data.a }}",
                "`{{ data.a }}` stands in a comment, where it is no value",
                "take it out of the comment, or the comment out",
                "{{ data.a }}",
            ),
            (
                "DELETE FROM t WHERE id = {{ data.id",
                "this `{{` is not closed",
                "write `}}` behind the expression",
                "{{",
            ),
            (
                "DELETE FROM t WHERE id = {{ }}",
                "there is nothing between these braces",
                "write what it stands for: `{{ data.id }}`",
                " ",
            ),
            (
                "DELETE FROM t; DROP TABLE t",
                "a second statement begins here",
                "write it as the next of `statements`, each in quotation marks of its own",
                "DROP",
            ),
            (
                "UPDATE t SET a = 'open",
                "the quotation mark that begins here is never closed",
                "close it",
                "'",
            ),
        ] {
            let expected = (message.to_owned(), help.to_owned(), words.to_owned());
            assert_eq!(refused(engine, text), expected, "{text}");
        }
    }
}

#[test]
fn what_is_no_statement_of_a_transaction_is_refused() {
    for engine in ALL {
        for text in
            ["SELECT {% if data.a %}1{% endif %}", "SELECT '{% if data.a %}'", "SELECT {# a #}"]
        {
            let (message, help, _) = refused(engine, text);
            assert_eq!(message, "a statement is no template: only `{{ }}` is read in it");
            assert!(help.contains("`{{ a if condition else b }}`"), "{help}");
        }
        for word in ["commit", "BEGIN", "Rollback", "savepoint a", "start transaction"] {
            let (message, ..) = refused(engine, word);
            assert!(message.contains("does not stay within the transaction"), "{message}");
        }
        let (message, _, words) = refused(engine, "SELECT {{ data.a | uppr }}");
        assert!(message.contains("unknown filter"), "{message}");
        assert_eq!(words, "uppr");
    }
}

#[test]
fn what_only_one_engine_reads_otherwise_is_refused_there() {
    for (engine, text, expected) in [
        (Engine::MySql, "SELECT \"{{ data.a }}\"", "where it is no value"),
        (Engine::Postgres, "SELECT \"{{ data.a }}\"", "only values come out of an event"),
        (Engine::Sqlite, "SELECT [{{ data.a }}]", "only values come out of an event"),
        (Engine::Postgres, "SELECT $$ {{ data.a }} $$", "where it is no value"),
        (Engine::Postgres, "SELECT E'\\' {{ data.a }}'", "where it is no value"),
        (Engine::Postgres, "SELECT /* /* */ {{ data.a }} */ 1", "in a comment"),
        (Engine::MySql, "SELECT 1 # {{ data.a }}", "in a comment"),
        (Engine::MySql, "CREATE TABLE t (a int)", "`CREATE` does not stay"),
        (Engine::MySql, "set @@session.autocommit = 1", "`SET` does not stay"),
        (Engine::Postgres, "NOTIFY orders, {{ data.a }}", "`NOTIFY` of PostgreSQL takes no values"),
        (Engine::Postgres, "SELECT $a$ {{ data.a }} $a$", "where it is no value"),
        (Engine::MySql, "SELECT ?", "`?` stands for a value"),
        (Engine::Sqlite, "SELECT ?1", "`?` stands for a value"),
        (Engine::Sqlite, "SELECT :id", "`:` stands for a value"),
        (Engine::Sqlite, "SELECT @id", "`@` stands for a value"),
        (Engine::Postgres, "SELECT $1", "`$` stands for a value"),
    ] {
        let (message, ..) = refused(engine, text);
        assert!(message.contains(expected), "{text}: {message}");
    }
    for (engine, text) in [
        (Engine::Postgres, "CREATE TABLE IF NOT EXISTS t (a int)"),
        (Engine::Postgres, "NOTIFY orders"),
        (Engine::Postgres, "UPDATE t SET a = '{{1,2},{3,4}}'::int[], b = '{{1}}'"),
        (Engine::MySql, "CREATE TEMPORARY TABLE t (a int)"),
        (Engine::MySql, "SET @a = {{ data.a }}"),
    ] {
        good(text, engine);
    }
    let (message, ..) = refused(Engine::Postgres, "SELECT $1$ ");
    assert!(message.contains("`$` stands for a value"), "{message}");
}

/// What each value is beside, as `column`, `type()` or `-`.
fn beside_of(text: &str) -> Vec<String> {
    let shown = |value: &StatementValue| match &value.beside {
        Beside::Column(name) => name.clone(),
        Beside::Type(name) => format!("{name}()"),
        Beside::Nothing => "-".to_owned(),
    };
    good(text, Engine::MySql).values.iter().map(shown).collect()
}

#[test]
fn each_value_belongs_to_the_column_beside_it() {
    for (text, expected) in [
        ("UPDATE t SET a = {{ 1 }}, `b c`={{ 2 }} WHERE t.id >= {{ 3 }}", &["a", "b c", "id"][..]),
        (
            "INSERT INTO s.t (a, `b`) VALUES ({{ 1 }}, {{ 2 }}), ({{ 3 }}, lower({{ 4 }}))",
            &["a", "b", "a", "-"],
        ),
        ("INSERT IGNORE INTO t (a, b) VALUES ({{ 1 }}, {{ 2 }} + 1)", &["a", "-"]),
        ("INSERT INTO t VALUES ({{ 1 }})", &["-"]),
        ("INSERT INTO t (a, b) SELECT {{ 1 }}, x FROM u WHERE y <> {{ 2 }}", &["-", "y"]),
        (
            "INSERT INTO t (a) VALUES ({{ 1 }}) ON DUPLICATE KEY UPDATE n = n + {{ 2 }}, a = {{ 3 }}",
            &["a", "-", "a"],
        ),
        ("DELETE FROM t WHERE id NOT IN ({{ 1 }}, {{ 2 }}) AND (a = {{ 3 }})", &["id", "id", "a"]),
        ("SELECT CAST({{ 1 }} AS DATETIME), coalesce({{ 2 }}, {{ 3 }})", &["DATETIME()", "-", "-"]),
        ("{{ 1 }}", &["-"]),
    ] {
        assert_eq!(beside_of(text), expected, "{text}");
    }
}

#[test]
fn tables_are_found_by_the_words_before_them() {
    let check = |text: &str, expected: &[(&str, &str)]| {
        let found = good(text, Engine::MySql).tables;
        let shown = |(schema, name): &(Option<String>, String)| {
            (schema.clone().unwrap_or_default(), name.clone())
        };
        let expected: Vec<_> =
            expected.iter().map(|(s, n)| ((*s).to_owned(), (*n).to_owned())).collect();
        assert_eq!(found.iter().map(shown).collect::<Vec<_>>(), expected, "{text}");
    };
    check("UPDATE `a b` SET x = 1", &[("", "a b")]);
    check(
        "INSERT INTO s.t (a) SELECT b FROM u JOIN v ON 1 = 1",
        &[("s", "t"), ("", "u"), ("", "v")],
    );
    check("UPDATE IGNORE t SET a = 1", &[("", "t")]);
    check("SELECT 1", &[]);
}

#[test]
fn what_a_late_statement_undoes_is_told_from_what_it_does_not() {
    for (sql, expected) in [
        ("UPDATE t SET a = {{ data.a }} WHERE id = {{ data.id }}", true),
        ("update t set n = n + 1, a={{ data.a }}::timestamptz where id = {{ data.id }}", true),
        (
            "INSERT INTO t (id, a) VALUES ({{ data.id }}, {{ data.a }}) ON CONFLICT (id) DO UPDATE SET a = excluded.a",
            true,
        ),
        ("REPLACE INTO t (id, a) VALUES ({{ data.id }}, {{ data.a }})", true),
        ("INSERT OR REPLACE INTO t (id) VALUES ({{ data.id }})", true),
        ("REPLACE t (id, a) VALUES ({{ data.id }}, {{ data.a }})", true),
        // These compare nothing that is older or newer.
        ("UPDATE t SET a = {{ data.a }} WHERE doc->>'id' = {{ data.id }}", true),
        ("UPDATE t SET a = {{ data.a }} WHERE id = {{ data.id }} AND state <> 'done'", true),
        // It compares which of the two is newer.
        ("UPDATE t SET a = {{ data.a }} WHERE id = {{ data.id }} AND at < {{ data.at }}", false),
        ("UPDATE t SET a = {{ data.a }} WHERE id = {{ data.id }} AND {{ data.at }} >= at", false),
        ("UPDATE t SET a = {{ data.a }} WHERE id = {{ data.id }} AND a IS NULL", false),
        // A counter counts in any order, and what an event says is only who is meant.
        ("UPDATE t SET n = n + {{ data.n }} WHERE id = {{ data.id }}", false),
        ("UPDATE t SET paid = true WHERE id = {{ data.id }}", false),
        ("UPDATE t SET n = o.n FROM o WHERE o.id = {{ data.id }}", false),
        ("INSERT INTO t (id, a) VALUES ({{ data.id }}, {{ data.a }})", false),
        ("INSERT INTO t (id) VALUES ({{ data.id }}) ON CONFLICT DO NOTHING", false),
        ("DELETE FROM t WHERE id = {{ data.id }}", false),
    ] {
        assert_eq!(good(sql, Engine::Postgres).overwrites, expected, "{sql}");
    }
    let duplicate = "INSERT INTO t (id, a) VALUES ({{ data.id }}, {{ data.a }}) ON DUPLICATE KEY UPDATE a = VALUES(a)";
    assert!(good(duplicate, Engine::MySql).overwrites);
}
