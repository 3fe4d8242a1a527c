//! Rendering of a configuration's JSON schema as a Markdown reference.

use std::fmt::Write;

use serde_json::{Map, Value};

/// Renders one section per struct of `schema` (from schemars) with one row per key: type, default, meaning. `root` is the first heading.
pub fn render_reference(root: &str, schema: &schemars::Schema) -> String {
    let schema = schema.as_value();
    let empty = Map::new();
    let definitions = schema.get("$defs").and_then(Value::as_object).unwrap_or(&empty);
    let mut out = format!("## `{root}`\n\n");
    render_type(&mut out, schema);
    for (name, definition) in definitions {
        if definition.get("properties").is_some() || definition.get("oneOf").is_some() || definition.get("enum").is_some() {
            let _ = write!(out, "\n## {name}\n\n");
            render_type(&mut out, definition);
        }
    }
    out
}

fn render_type(out: &mut String, schema: &Value) {
    let _ = writeln!(out, "{}\n", text_of(schema));
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        let required: Vec<&str> =
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        out.push_str("| key | type | default | meaning |\n|---|---|---|---|\n");
        for (key, property) in properties {
            let default = property.get("default").map_or_else(
                || if required.contains(&key.as_str()) { "required".to_owned() } else { String::new() },
                default_of,
            );
            let _ = writeln!(out, "| `{key}` | {} | {default} | {} |", type_of(property), text_of(property));
        }
    } else if let Some(variants) = schema.get("oneOf").and_then(Value::as_array) {
        out.push_str("| value | meaning |\n|---|---|\n");
        for variant in variants {
            let name = variant.get("const").and_then(Value::as_str).unwrap_or_default();
            let _ = writeln!(out, "| `{name}` | {} |", text_of(variant));
        }
    }
}

fn default_of(default: &Value) -> String {
    match default {
        Value::Null => String::new(),
        Value::Object(entries) if entries.is_empty() => String::new(),
        Value::Object(_) => "see there".to_owned(),
        Value::Array(items) if items.is_empty() => String::new(),
        other => format!("`{other}`"),
    }
}

fn text_of(schema: &Value) -> String {
    schema.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ")
}

fn type_of(schema: &Value) -> String {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return match name.strip_prefix("MapOf") {
            Some("AnyValue") => "map of name to value".to_owned(),
            Some("string") => "map of name to text".to_owned(),
            Some("Array_of_AnyValue") => "map of name to list of values".to_owned(),
            Some(inner) => format!("map of name to [{inner}](#{})", inner.to_lowercase()),
            None if name == "MaxShare" => "number".to_owned(),
            None => format!("[{name}](#{})", name.to_lowercase()),
        };
    }
    if let Some(options) = schema.get("anyOf").and_then(Value::as_array) {
        return options.iter().filter(|option| option.get("type") != Some(&Value::from("null"))).map(type_of).collect();
    }
    let simple = |name: &str| match name {
        "array" => format!("list of {}", schema.get("items").map(type_of).unwrap_or_default()),
        "object" => "map".to_owned(),
        "string" => "text".to_owned(),
        other => other.to_owned(),
    };
    match schema.get("type") {
        Some(Value::String(name)) => simple(name),
        Some(Value::Array(names)) => {
            names.iter().filter_map(Value::as_str).filter(|name| *name != "null").map(simple).collect()
        }
        _ => "value".to_owned(),
    }
}
