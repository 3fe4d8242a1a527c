//! The API's description, made from the model's schema (OpenAPI 3.1).

use inference::{loaded_model::LoadedModel, row_schema::FieldSchema};
use schema::{Column, ColumnType};
use serde_json::{Map, Value, json};

use crate::{api::open_inference::output_names, http::request_id::LONGEST_ID};

/// What a column takes, as JSON Schema.
pub(crate) fn column_schema(column: &Column) -> Value {
    let spec = &column.spec;
    let name = match spec.kind {
        ColumnType::Integer => "integer",
        ColumnType::Float => "number",
        _ => "string",
    };
    let mut told = Map::new();
    told.insert("type".into(), if spec.required { json!(name) } else { json!([name, "null"]) });
    for (key, bound) in [("minimum", spec.min), ("maximum", spec.max)] {
        if let Some(bound) = bound {
            told.insert(key.into(), json!(bound));
        }
    }
    if !spec.levels.is_empty() {
        let absent = (!spec.required).then_some(Value::Null);
        told.insert("enum".into(), spec.levels.iter().map(|level| json!(level)).chain(absent).collect());
    }
    if spec.kind == ColumnType::Date {
        told.insert("format".into(), json!("date"));
    }
    Value::Object(told)
}

/// The description of the API of a model.
pub(crate) fn render(engine: &LoadedModel, guarded: bool) -> String {
    let fields = &engine.row_schema.fields;
    let properties: Map<String, Value> = fields.iter().map(|field| (field.name().to_owned(), described(field))).collect();
    let required: Vec<&str> = fields.iter().filter(|field| field.column.spec.required).map(FieldSchema::name).collect();
    let example: Map<String, Value> = fields.iter().map(|field| (field.name().to_owned(), field.typical.clone())).collect();
    let name = engine.name();
    let key = format!("predicted_{}", engine.target());
    let interval = json!({"type": ["array", "null"], "items": {"type": "number"}, "minItems": 2, "maxItems": 2});
    let warning = json!({"type": "object", "properties": {
        "field": {"type": "string"},
        "type": {"enum": ["imputed", "outside_training", "unseen_level"]},
        "msg": {"type": "string"},
    }});
    let parts = json!({"type": "object", "additionalProperties": {"type": "number"},
        "description": "what each column adds to base_value, in the unit of the target"});
    let row = json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
    let mut told = json!({
        "openapi": "3.1.0",
        "info": {
            "title": format!("{name} API"),
            "version": engine.info.version,
            "description": format!("Predicts {} by {}. What breaks the schema is refused with the field, the value and what is allowed; \
                                    what is allowed but unlike training rows is predicted with a warning.",
                                   engine.target(), engine.predictor.model().file().algorithm),
        },
        "paths": paths(engine, &Value::Object(example)),
        "components": {"schemas": {
            "Row": row,
            "Prediction": {"type": "object", "required": [&key, "confidence_interval", "features_importance", "prediction_time"], "properties": {
                &key: {"type": "number"},
                "confidence_interval": interval,
                "interval_coverage": {"type": "number", "description": "the share of true values that intervals hold"},
                "features_importance": parts,
                "base_value": {"type": ["number", "null"], "description": "what is predicted where nothing is known"},
                "prediction_time": {"type": "string", "format": "date-time"},
                "model_version": {"type": "string"},
                "model_role": {"enum": ["champion", "challenger"]},
                "request_id": {"type": "string"},
                "warnings": {"type": "array", "items": warning},
            }},
            "Refusal": {"type": "object", "required": ["error", "detail"], "properties": {
                "error": {"type": "string"},
                "faults": {"type": "integer", "description": "how many there are, where not all are listed"},
                "detail": {"type": "array", "items": {"type": "object", "required": ["loc", "type", "msg"], "properties": {
                    "loc": {"type": "array", "items": {"type": ["string", "integer"]}, "description": "body, the row of several, the field"},
                    "type": {"enum": ["missing", "wrong_type", "out_of_range", "unknown_level", "unknown_field", "duplicate_field", "malformed"]},
                    "msg": {"type": "string"},
                    "input": {},
                    "allowed": {"type": "object"},
                    "nearest": {"type": "string"},
                }}},
            }},
        }},
    });
    if guarded {
        told["components"]["securitySchemes"] = json!({
            "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            "bearer": {"type": "http", "scheme": "bearer"},
        });
        told["security"] = json!([{"key": []}, {"bearer": []}]);
    }
    told.to_string()
}

fn described(field: &FieldSchema) -> Value {
    let mut told = column_schema(&field.column);
    if let Some((low, high)) = field.seen_range()
        && field.column.spec.kind.is_number()
    {
        told["description"] = json!(format!("training saw {low} to {high}"));
    }
    told
}

/// What any request may be refused for.
const REFUSALS: [(&str, &str); 8] = [
    ("400", "not JSON, or not a request"),
    ("401", "a key is needed"),
    ("408", "the body did not come in time"),
    ("413", "too large"),
    ("415", "another media type or coding"),
    ("422", "values that break the schema, each with what is allowed"),
    ("429", "more requests than this caller may make; see retry-after"),
    ("503", "enough to do already; see retry-after"),
];

fn paths(engine: &LoadedModel, example: &Value) -> Value {
    let json_of = |schema: Value| json!({"application/json": {"schema": schema}});
    let answer = |description: &str, schema: Value| json!({"description": description, "content": json_of(schema)});
    let refusal = |description: &str| answer(description, json!({"$ref": "#/components/schemas/Refusal"}));
    let responses = |ok: Value, refusals: &[(&str, &str)]| {
        let mut told = Map::from_iter([("200".to_owned(), ok)]);
        told.extend(refusals.iter().map(|(status, description)| ((*status).to_owned(), refusal(description))));
        Value::Object(told)
    };
    let row = json!({"$ref": "#/components/schemas/Row"});
    let body = |schema: &Value, example: &Value| json!({"required": true, "content": {"application/json": {"schema": schema, "example": example}}});
    let get = |summary: &str, ok: Value, refusals: &[(&str, &str)]| json!({"get": {"summary": summary, "responses": responses(ok, refusals)}});
    let object = json!({"type": "object"});
    let rows = json!({"type": "array", "items": row});
    let mut batch = body(&rows, &json!([example]));
    for media_type in ["text/csv", "application/x-ndjson", "application/vnd.apache.arrow.stream"] {
        batch["content"][media_type] = json!({"schema": {"type": "string"}});
    }
    let not_found: Vec<(&str, &str)> = [("404", "there is no such thing")].into_iter().chain(REFUSALS).collect();
    let no_join =
        [("404", "no prediction is known under this id of this caller"), ("409", "another true value came before")];
    let feedback_refusals: Vec<(&str, &str)> = no_join.into_iter().chain(REFUSALS).collect();
    let ready = [("503", "not ready")];
    let key = [("401", "a key is needed")];
    let named = json!([{"name": "name", "in": "path", "required": true, "schema": {"type": "string"}}]);
    let columns: Vec<&str> = engine.row_schema.fields.iter().map(FieldSchema::name).collect();
    let tensor = json!({"type": "object", "required": ["name", "shape", "datatype", "data"], "properties": {
        "name": {"enum": columns},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}, "description": "[rows] or [rows, 1]"},
        "datatype": {"type": "string"},
        "data": {"type": "array"},
    }});
    let output = json!({"type": "object", "required": ["name"], "properties": {"name": {"enum": output_names(engine)}}});
    let infer = json!({"type": "object", "required": ["inputs"], "properties": {
        "id": {"type": ["string", "null"]},
        "inputs": {"type": "array", "minItems": 1, "items": tensor},
        "outputs": {"type": ["array", "null"], "items": output},
    }});
    let feedback = json!({"type": "object", "required": ["request_id", "actual"], "additionalProperties": false, "properties": {
        "request_id": {"type": "string", "maxLength": LONGEST_ID, "description": "the x-request-id of a prediction of the same caller"},
        "actual": true_value_schema(engine.row_schema.target()),
    }});
    let joined = json!({"type": "object", "required": ["request_id", "joined", "duplicate"], "properties": {
        "request_id": {"type": "string"},
        "joined": {"type": "boolean", "description": "whether the prediction is known"},
        "duplicate": {"type": "boolean", "description": "the same true value came before; nothing is changed"},
        "prediction": {"type": ["number", "null"]},
        "error": {"type": ["number", "null"], "description": "prediction minus true value"},
    }});
    let mut told = json!({
        "/predict": {"post": {"summary": "predict one row", "requestBody": body(&row, example),
            "responses": responses(answer("the prediction, its interval and its parts", json!({"$ref": "#/components/schemas/Prediction"})), &REFUSALS)}},
        "/batch-predict": {"post": {"summary": "predict many rows",
            "description": "A list of rows gives a list of predictions; ?details=true gives each its interval and warnings. CSV, NDJSON and \
                            Arrow, of any length, are answered in kind: a row that breaks the schema keeps its place.",
            "parameters": [{"name": "details", "in": "query", "schema": {"type": "boolean"}}],
            "requestBody": batch,
            "responses": responses(answer("the predictions, in the order of the rows", json!({"type": "array"})), &REFUSALS)}},
        "/explain": {"post": {"summary": "take the prediction of one row apart, by columns and by features", "requestBody": body(&row, example),
            "responses": responses(answer("the parts, which add up to the prediction", object.clone()), &REFUSALS)}},
        "/feedback": {"post": {"summary": "tell the true value of what was predicted under a request's id",
            "requestBody": body(&feedback, &json!({"request_id": "the x-request-id of the prediction", "actual": true_value_example(engine)})),
            "responses": responses(answer("how far the prediction was off", joined.clone()), &feedback_refusals)}},
        "/model": get("the model: schema, figures, lineage, card, drift", answer("the model", object.clone()), &key),
        "/health": get("whether a test prediction can be made", answer("healthy", object.clone()), &ready),
        "/health/live": get("the process answers", answer("live", object.clone()), &[]),
        "/health/ready": get("a test prediction was made just now", answer("ready", object.clone()), &ready),
        "/metrics": {"get": {"summary": "metrics for Prometheus", "responses": {"200": {"description": "OpenMetrics text",
            "content": {"application/openmetrics-text": {"schema": {"type": "string"}}}}, "401": refusal("a key is needed")}}},
        "/v2": get("Open Inference Protocol: the server", answer("the server", object.clone()), &key),
        "/v2/health/live": get("Open Inference Protocol: live", answer("live", object.clone()), &[]),
        "/v2/health/ready": get("Open Inference Protocol: ready", answer("ready", object.clone()), &ready),
        "/v2/models/{name}": get("Open Inference Protocol: the model's tensors", answer("the model", object.clone()), &not_found),
        "/v2/models/{name}/ready": get("Open Inference Protocol: the model is ready", answer("ready", object.clone()), &not_found),
        "/v2/models/{name}/infer": {"post": {"summary": "Open Inference Protocol: predict columns",
            "requestBody": body(&infer, &json!({"inputs": tensors(example)})),
            "responses": responses(answer("the predictions as a tensor", object), &not_found)}},
    });
    told["/feedback"]["post"]["responses"]["202"] = json!({"description": "no prediction is known; recorded in the prediction log, to be joined later", "content": json_of(joined)});
    for path in ["/v2/models/{name}", "/v2/models/{name}/ready", "/v2/models/{name}/infer"] {
        told[path]["parameters"] = named.clone();
    }
    told
}

/// What a true value has to be: a number that the target's column takes.
fn true_value_schema(target: &Column) -> Value {
    let mut schema = column_schema(target);
    schema["type"] = json!(if target.spec.kind == ColumnType::Integer { "integer" } else { "number" });
    schema
}

/// A true value that the target's column takes: near the prediction for a typical row.
fn true_value_example(engine: &LoadedModel) -> Value {
    let spec = &engine.row_schema.target().spec;
    let typical = engine.typical_prediction().as_f64().unwrap_or_default();
    let whole = if spec.kind == ColumnType::Integer { typical.round() } else { typical };
    json!(whole.max(spec.min.unwrap_or(f64::MIN)).min(spec.max.unwrap_or(f64::MAX)))
}

/// A row as tensors of one value each.
fn tensors(example: &Value) -> Vec<Value> {
    let one = |(name, value): (&String, &Value)| {
        let datatype = if value.is_number() { "FP64" } else { "BYTES" };
        json!({"name": name, "shape": [1], "datatype": datatype, "data": [value]})
    };
    example.as_object().into_iter().flatten().map(one).collect()
}
