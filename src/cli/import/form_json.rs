//! `parse-parameters-as-json` of adnanh/webhook: fields of a form that hold JSON, as GitHub's `payload`.

use serde_json::Value;

use super::rules::Parameter;

const KEY: &str = "parse-parameters-as-json";

/// The field of GitHub's form, which is opened here whatever is said.
const FIELD: &str = "payload";

/// The hook with paths as they are where the form's field `payload` is the payload; `None` = it is not one of
/// those that are parsed.
pub(super) fn unwrapped(hook: &Value) -> Option<Value> {
    let is_field = |one: &Value| {
        let place = Parameter::read(one);
        place.source == "payload" && place.name == FIELD
    };
    let mut hook = hook.clone();
    let parsed = hook.get_mut(KEY)?.as_array_mut()?;
    if !parsed.iter().any(is_field) {
        return None;
    }
    parsed.retain(|one| !is_field(one));
    if parsed.is_empty() {
        hook.as_object_mut()?.remove(KEY);
    }
    let variables = hook.get_mut("pass-environment-to-command").and_then(Value::as_array_mut);
    for variable in variables.into_iter().flatten().filter_map(Value::as_object_mut) {
        // Its program knows the name that was made of the whole path.
        if !variable.contains_key("envname")
            && let Some(name) = variable.get("name").and_then(Value::as_str)
        {
            let name = Value::from(format!("HOOK_{name}"));
            variable.insert("envname".to_owned(), name);
        }
    }
    let mut rest = vec![&mut hook];
    while let Some(value) = rest.pop() {
        let is_whole = is_field(value);
        match value {
            Value::Array(items) => rest.extend(items),
            Value::Object(fields) => {
                let is_of_payload = fields.get("source").is_some_and(|source| source == "payload");
                if is_whole {
                    fields.insert("source".to_owned(), Value::from("entire-payload"));
                } else if let Some(Value::String(name)) = fields.get_mut("name")
                    && is_of_payload
                    && let Some(within) =
                        name.strip_prefix(FIELD).and_then(|rest| rest.strip_prefix('.'))
                {
                    *name = within.to_owned();
                }
                rest.extend(fields.values_mut());
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    Some(hook)
}

/// What is asked for within fields that are parsed there and not here.
pub(super) fn packed(hook: &Value) -> Vec<String> {
    let parsed = hook.get(KEY).and_then(Value::as_array).into_iter().flatten();
    let parsed: Vec<Parameter> = parsed.map(Parameter::read).collect();
    let mut found = Vec::new();
    let mut rest = vec![hook];
    while let Some(value) = rest.pop() {
        match value {
            Value::Array(items) => rest.extend(items.iter().rev()),
            Value::Object(fields) => {
                let place = Parameter::read(value);
                let is_within = |field: &&Parameter| {
                    let within = place.name.strip_prefix(field.name.as_str());
                    field.source == place.source && within.is_some_and(|rest| rest.starts_with('.'))
                };
                if let Some(field) = parsed.iter().find(is_within) {
                    found.push(format!(
                        "`{}` is asked for, and `{}` holds JSON that is not parsed here: write `from_json`",
                        place.name, field.name
                    ));
                }
                rest.extend(fields.values());
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    found
}
