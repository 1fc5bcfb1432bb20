//! The program that is shipped holds nothing that only tests need.

use std::path::Path;

/// What only tests need, and the file that declares it.
const ONLY_FOR_TESTS: &[(&str, &str)] = &[
    ("src/lib.rs", "pub mod fuzz;"),
    ("src/clock.rs", "mod manual;"),
    ("src/queue/embedded/mod.rs", "mod inline;"),
    ("src/queue/embedded/mod.rs", "pub mod testing;"),
    ("src/queue/embedded/index/mod.rs", "mod memory;"),
];

#[test]
fn test_support_stays_out_of_the_program() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (file, declaration) in ONLY_FOR_TESTS {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        let before = text.split(declaration).next().unwrap().trim_end();
        let before = before.trim_end_matches("#[doc(hidden)]").trim_end();
        assert!(before.ends_with("#[cfg(feature = \"test-support\")]"), "{file}: {declaration}");
    }
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let default = manifest["features"]["default"].as_array().unwrap();
    assert_eq!(default.iter().map(|name| name.as_str().unwrap()).collect::<Vec<_>>(), ["otel"]);
    let uses = |table: &str| manifest[table].as_table().unwrap().contains_key("gatepost");
    assert!(uses("dev-dependencies") && !uses("dependencies"), "it is a dependency of tests only");
}
