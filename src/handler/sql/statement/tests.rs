use super::*;
use crate::handler::sql::ColumnType;
use crate::handler::sql::target::Shape;

#[test]
fn types_without_an_empty_text_are_known() {
    let refuses = |real_type: &str| {
        let column = TargetColumn {
            quoted: "a".to_owned(),
            holds: ColumnType::Text,
            shape: Shape::One,
            real_type: real_type.to_owned(),
            full_type: real_type.to_owned(),
            default: None,
        };
        column.refuses_blank()
    };
    for real_type in ["uuid", "interval", "inet", "time without time zone", "time", "UUID"] {
        assert!(refuses(real_type), "{real_type}");
    }
    for real_type in ["text", "character varying", "timetable", "varchar(36)", ""] {
        assert!(!refuses(real_type), "{real_type}");
    }
}

fn target(engine: Engine, key: &[usize]) -> Target {
    let column = |name: &str, real_type: &str| TargetColumn {
        quoted: engine.quote(name),
        holds: ColumnType::Text,
        shape: Shape::One,
        real_type: real_type.to_owned(),
        full_type: real_type.to_owned(),
        default: None,
    };
    Target {
        engine,
        table: engine.quote("t"),
        ledger: engine.quote("l"),
        versions: engine.quote("v"),
        columns: vec![column("id", "bigint"), column("body", "text")],
        key: key.to_vec(),
        kept: Vec::new(),
        on_conflict: OnConflict::Update,
        statements: Vec::new(),
    }
}

#[test]
fn what_is_missing_is_the_default_of_a_column_that_takes_no_null() {
    let sql = |engine: Engine, default: &str| {
        let mut target = target(engine, &[]);
        target.columns[1].default = Some(default.to_owned());
        let rows = [vec![Cell::Integer(1), Cell::Null], vec![Cell::Integer(2), Cell::Bool(true)]];
        let mut statements = upsert(&target, &rows);
        let Statement { sql, params } = statements.remove(0);
        (sql.split_once(") ").unwrap().1.to_owned(), params.len())
    };
    let of_sqlite = "VALUES (?, COALESCE(?, 'x')), (?, COALESCE(?, 'x'))";
    assert_eq!(sql(Engine::Sqlite, "'x'"), (of_sqlite.to_owned(), 4));
    let of_mysql = "VALUES (?, DEFAULT), (?, ?)";
    assert_eq!(sql(Engine::MySql, "DEFAULT"), (of_mysql.to_owned(), 3));
    let (of_postgres, _) = sql(Engine::Postgres, "'x'::text");
    assert!(of_postgres.contains("COALESCE(u.c1::text, ('x'::text)::text)"), "{of_postgres}");
}

fn rows(n_rows: i64) -> Vec<Vec<Cell>> {
    (0..n_rows).map(|id| vec![Cell::Integer(id), Cell::Null]).collect()
}

#[test]
fn postgres_takes_a_batch_of_any_size_in_one_statement() {
    let statements = upsert(&target(Engine::Postgres, &[0]), &rows(2));
    let sql = "INSERT INTO \"t\" (\"id\", \"body\") SELECT u.c0::bigint, u.c1::text FROM \
               unnest($1::text[], $2::text[]) AS u(c0, c1) ON CONFLICT (\"id\") DO UPDATE SET \
               \"body\" = excluded.\"body\"";
    let ids = Param::Texts(vec![Some("0".into()), Some("1".into())]);
    let params = vec![ids, Param::Texts(vec![None, None])];
    assert_eq!(statements, [Statement::new(sql, params)]);

    let deletes = delete(&target(Engine::Postgres, &[0]), &[vec![Cell::Integer(5)]]);
    assert_eq!(
        deletes[0].sql,
        "DELETE FROM \"t\" AS t USING unnest($1::text[]) AS u(c0) WHERE t.\"id\" = u.c0::bigint"
    );
}

#[test]
fn the_others_take_rows_of_placeholders() {
    let statements = upsert(&target(Engine::MySql, &[0]), &rows(1));
    let sql = "INSERT INTO `t` (`id`, `body`) VALUES (?, ?) ON DUPLICATE KEY UPDATE `body` = \
               VALUES(`body`)";
    assert_eq!(statements, [Statement::new(sql, vec![Param::Integer(0), Param::Null])]);
    let statements = upsert(&target(Engine::Sqlite, &[0, 1]), &rows(2));
    assert_eq!(
        statements[0].sql,
        "INSERT INTO \"t\" (\"id\", \"body\") VALUES (?, ?), (?, ?) ON CONFLICT (\"id\", \
         \"body\") DO NOTHING"
    );
    let keys = [vec![Cell::Integer(1)], vec![Cell::Integer(2)]];
    assert_eq!(
        delete(&target(Engine::Sqlite, &[0]), &keys)[0].sql,
        "DELETE FROM \"t\" WHERE (\"id\" = ?) OR (\"id\" = ?)"
    );
    assert!(upsert(&target(Engine::Sqlite, &[0]), &[]).is_empty());
}

#[test]
fn no_statement_grows_without_bound() {
    let large = |n_bytes: usize| vec![Cell::Integer(1), Cell::Text("x".repeat(n_bytes))];
    let rows = [large(3 << 20), large(3 << 20), large(9 << 20), large(10), large(10)];
    for engine in [Engine::Postgres, Engine::Sqlite] {
        let n_statements = upsert(&target(engine, &[0]), &rows).len();
        assert_eq!(n_statements, 4, "{engine:?}");
    }
}

#[test]
fn a_batch_is_cut_into_few_shapes_within_the_limits() {
    let rows = vec![(); 1_000];
    let sizes = |params| runs(&rows, params).iter().map(|run| run.len()).collect::<Vec<_>>();
    assert_eq!(sizes(3), [256, 256, 256, 128, 64, 32, 8]);
    for params in [1, 7, 200, 30_000] {
        let sizes = sizes(params);
        assert_eq!(sizes.iter().sum::<usize>(), 1_000);
        assert!(sizes.iter().all(|size| size.is_power_of_two() && size * params <= PARAMS_MAX));
    }
}
