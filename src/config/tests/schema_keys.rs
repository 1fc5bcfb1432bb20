//! What the schema says of each key.

use crate::config::schema;

#[test]
fn the_schema_knows_every_key() {
    let schema: serde_json::Value = serde_json::from_str(&schema()).unwrap();
    let at = |path: &str| schema.pointer(path).unwrap_or_else(|| panic!("{path} in {schema:#}"));
    assert_eq!(
        at("/properties/queue/properties/backend/enum"),
        &serde_json::json!(["sled", "postgres", "nats"])
    );
    let handler = "/properties/handler/additionalProperties";
    assert_eq!(at(&format!("{handler}/properties/retry/properties/attempts/minimum")), 1);
    assert_eq!(at(&format!("{handler}/properties/file/properties/path/type")), "string");
    assert_eq!(
        at(&format!("{handler}/oneOf")).as_array().unwrap().len(),
        crate::handler::KINDS.len()
    );
    assert_eq!(at("/properties/server/properties/tls/properties/key/anyOf/0/type"), "string");
    let secrets = at("/properties/source/additionalProperties/properties/secrets");
    assert_eq!(secrets["anyOf"][1]["items"]["additionalProperties"], false);
}

/// The keys of `schema` at any depth that lack a description, an example, or what holds without them.
fn undescribed(path: &str, schema: &serde_json::Value, found: &mut Vec<String>) {
    for (key, of_key) in schema["properties"].as_object().into_iter().flatten() {
        let description = of_key["description"].as_str().unwrap_or_default().to_lowercase();
        let says_absent = ["left out", "required"].iter().any(|words| description.contains(words));
        let has_example = of_key["examples"].as_array().is_some_and(|all| !all.is_empty());
        if description.is_empty() || !has_example || !says_absent && of_key["default"].is_null() {
            found.push(format!("{path}.{key}"));
        }
        undescribed(&format!("{path}.{key}"), of_key, found);
    }
    let below = ["items", "additionalProperties"].into_iter().filter_map(|name| schema.get(name));
    let forms = ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|name| schema[name].as_array());
    below.chain(forms.flatten()).for_each(|schema| undescribed(path, schema, found));
}

#[test]
fn schema_describes_every_key_at_any_depth() {
    let schema: serde_json::Value = serde_json::from_str(&schema()).unwrap();
    let mut found = Vec::new();
    undescribed("", &schema, &mut found);
    assert_eq!(found, [""; 0]);
}
