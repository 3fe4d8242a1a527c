//! Renders the OpenAPI 3.1 document of the API from the schema of the model.

use inference::{loaded_model::LoadedModel, row_schema::FieldSchema};
use schema::{Column, ColumnType};
use serde_json::{Map, Value, json};

use crate::{api::open_inference::output_names, http::request_id::MAX_REQUEST_ID_BYTES};

/// The JSON Schema of a column.
pub(crate) fn column_schema(column: &Column) -> Value {
    let spec = &column.spec;
    let name = match spec.kind {
        ColumnType::Integer => "integer",
        ColumnType::Float => "number",
        _ => "string",
    };
    let mut document = Map::new();
    document.insert("type".into(), if spec.required { json!(name) } else { json!([name, "null"]) });
    for (key, bound) in [("minimum", spec.min), ("maximum", spec.max)] {
        if let Some(bound) = bound {
            document.insert(key.into(), json!(bound));
        }
    }
    if !spec.levels.is_empty() {
        let absent = (!spec.required).then_some(Value::Null);
        document.insert("enum".into(), spec.levels.iter().map(|level| json!(level)).chain(absent).collect());
    }
    if spec.kind == ColumnType::Date {
        document.insert("format".into(), json!("date"));
    }
    Value::Object(document)
}

/// Renders the OpenAPI document for a model.
pub(crate) fn render(model: &LoadedModel, guarded: bool) -> String {
    let fields = &model.row_schema.fields;
    let properties: Map<String, Value> = fields.iter().map(|field| (field.name().to_owned(), field_schema(field))).collect();
    let required: Vec<&str> = fields.iter().filter(|field| field.column.spec.required).map(FieldSchema::name).collect();
    let example: Map<String, Value> = fields.iter().map(|field| (field.name().to_owned(), field.typical.clone())).collect();
    let name = model.name();
    let key = format!("predicted_{}", model.target());
    let interval = json!({"type": ["array", "null"], "items": {"type": "number"}, "minItems": 2, "maxItems": 2});
    let warning = json!({"type": "object", "properties": {
        "field": {"type": "string"},
        "type": {"enum": ["imputed", "outside_training", "unseen_level"]},
        "msg": {"type": "string"},
    }});
    let parts = json!({"type": "object", "additionalProperties": {"type": "number"},
        "description": "the contribution of each column, in the unit of the target; base_value and contributions add up to the prediction"});
    let row = json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": format!("{name} API"),
            "version": model.info.version,
            "description": format!("Predicts {} with {}. An invalid row is rejected; the error names the field, the value and the allowed values. \
                                    A valid value that training rows do not contain is predicted with a warning.",
                                   model.target(), model.predictor.model().file().algorithm),
        },
        "paths": paths(model, &Value::Object(example)),
        "components": {"schemas": {
            "Row": row,
            "Prediction": {"type": "object", "required": [&key, "confidence_interval", "features_importance", "prediction_time"], "properties": {
                &key: {"type": "number"},
                "confidence_interval": interval,
                "interval_coverage": {"type": "number", "description": "the share of actual values that intervals are expected to contain"},
                "features_importance": parts,
                "base_value": {"type": ["number", "null"], "description": "the prediction without any contribution"},
                "prediction_time": {"type": "string", "format": "date-time"},
                "model_version": {"type": "string"},
                "model_role": {"enum": ["champion", "challenger"]},
                "request_id": {"type": "string"},
                "warnings": {"type": "array", "items": warning},
            }},
            "Refusal": {"type": "object", "required": ["error", "detail"], "properties": {
                "error": {"type": "string"},
                "faults": {"type": "integer", "description": "the number of errors, if not all are listed"},
                "detail": {"type": "array", "items": {"type": "object", "required": ["loc", "type", "msg"], "properties": {
                    "loc": {"type": "array", "items": {"type": ["string", "integer"]}, "description": "body, then the row if there are several, then the field"},
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
        document["components"]["securitySchemes"] = json!({
            "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            "bearer": {"type": "http", "scheme": "bearer"},
        });
        document["security"] = json!([{"key": []}, {"bearer": []}]);
    }
    document.to_string()
}

fn field_schema(field: &FieldSchema) -> Value {
    let mut document = column_schema(&field.column);
    if let Some((low, high)) = field.seen_range()
        && field.column.spec.kind.is_number()
    {
        document["description"] = json!(format!("range in training rows: {low} to {high}"));
    }
    document
}

/// The errors of any request.
const ERROR_RESPONSES: [(&str, &str); 8] = [
    ("400", "not JSON, or a malformed request"),
    ("401", "missing or invalid API key"),
    ("408", "request too slow"),
    ("413", "body too large"),
    ("415", "unsupported media type or content coding"),
    ("422", "invalid values, each with the allowed values"),
    ("429", "rate limit exceeded; see retry-after"),
    ("503", "overloaded; see retry-after"),
];

fn paths(model: &LoadedModel, example: &Value) -> Value {
    let json_of = |schema: Value| json!({"application/json": {"schema": schema}});
    let response = |description: &str, schema: Value| json!({"description": description, "content": json_of(schema)});
    let error = |description: &str| response(description, json!({"$ref": "#/components/schemas/Refusal"}));
    let responses = |ok: Value, errors: &[(&str, &str)]| {
        let mut document = Map::from_iter([("200".to_owned(), ok)]);
        document.extend(errors.iter().map(|(status, description)| ((*status).to_owned(), error(description))));
        Value::Object(document)
    };
    let row = json!({"$ref": "#/components/schemas/Row"});
    let body = |schema: &Value, example: &Value| json!({"required": true, "content": {"application/json": {"schema": schema, "example": example}}});
    let get = |summary: &str, ok: Value, errors: &[(&str, &str)]| json!({"get": {"summary": summary, "responses": responses(ok, errors)}});
    let object = json!({"type": "object"});
    let rows = json!({"type": "array", "items": row});
    let mut batch = body(&rows, &json!([example]));
    for media_type in ["text/csv", "application/x-ndjson", "application/vnd.apache.arrow.stream"] {
        batch["content"][media_type] = json!({"schema": {"type": "string"}});
    }
    let not_found: Vec<(&str, &str)> = [("404", "not found")].into_iter().chain(ERROR_RESPONSES).collect();
    let join_errors = [
        ("404", "no prediction of this caller is known for this request id"),
        ("409", "another actual value was sent before"),
    ];
    let feedback_errors: Vec<(&str, &str)> = join_errors.into_iter().chain(ERROR_RESPONSES).collect();
    let ready = [("503", "not ready")];
    let key = [("401", "missing or invalid API key")];
    let path_parameters = json!([{"name": "name", "in": "path", "required": true, "schema": {"type": "string"}}]);
    let columns: Vec<&str> = model.row_schema.fields.iter().map(FieldSchema::name).collect();
    let tensor = json!({"type": "object", "required": ["name", "shape", "datatype", "data"], "properties": {
        "name": {"enum": columns},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}, "description": "[rows] or [rows, 1]"},
        "datatype": {"type": "string"},
        "data": {"type": "array"},
    }});
    let output = json!({"type": "object", "required": ["name"], "properties": {"name": {"enum": output_names(model)}}});
    let infer = json!({"type": "object", "required": ["inputs"], "properties": {
        "id": {"type": ["string", "null"]},
        "inputs": {"type": "array", "minItems": 1, "items": tensor},
        "outputs": {"type": ["array", "null"], "items": output},
    }});
    let feedback = json!({"type": "object", "required": ["request_id", "actual"], "additionalProperties": false, "properties": {
        "request_id": {"type": "string", "maxLength": MAX_REQUEST_ID_BYTES, "description": "the x-request-id of a prediction of the same caller"},
        "actual": actual_schema(model.row_schema.target()),
    }});
    let joined = json!({"type": "object", "required": ["request_id", "joined", "duplicate"], "properties": {
        "request_id": {"type": "string"},
        "joined": {"type": "boolean", "description": "whether the prediction is known"},
        "duplicate": {"type": "boolean", "description": "the same actual value was sent before; nothing is changed"},
        "prediction": {"type": ["number", "null"]},
        "error": {"type": ["number", "null"], "description": "prediction minus actual value"},
    }});
    let mut document = json!({
        "/predict": {"post": {"summary": "predict one row", "requestBody": body(&row, example),
            "responses": responses(response("the prediction with its interval and contributions", json!({"$ref": "#/components/schemas/Prediction"})), &ERROR_RESPONSES)}},
        "/batch-predict": {"post": {"summary": "predict many rows",
            "description": "A list of rows returns a list of predictions; ?details=true adds intervals and warnings. CSV, NDJSON and \
                            Arrow tables of any length return a table of the same format: an invalid row keeps its position.",
            "parameters": [{"name": "details", "in": "query", "schema": {"type": "boolean"}}],
            "requestBody": batch,
            "responses": responses(response("the predictions, in the order of the rows", json!({"type": "array"})), &ERROR_RESPONSES)}},
        "/explain": {"post": {"summary": "explain the prediction of one row, by columns and by features", "requestBody": body(&row, example),
            "responses": responses(response("the contributions, which with base_value add up to the prediction", object.clone()), &ERROR_RESPONSES)}},
        "/feedback": {"post": {"summary": "send the actual value of a prediction, by its request id",
            "requestBody": body(&feedback, &json!({"request_id": "the x-request-id of the prediction", "actual": actual_example(model)})),
            "responses": responses(response("the error of the prediction", joined.clone()), &feedback_errors)}},
        "/model": get("describe the model: schema, metrics, lineage, card, drift", response("the model", object.clone()), &key),
        "/health": get("check that a test prediction succeeds", response("healthy", object.clone()), &ready),
        "/health/live": get("check that the process responds", response("live", object.clone()), &[]),
        "/health/ready": get("check that a test prediction succeeds now", response("ready", object.clone()), &ready),
        "/metrics": {"get": {"summary": "get the metrics for Prometheus", "responses": {"200": {"description": "OpenMetrics text",
            "content": {"application/openmetrics-text": {"schema": {"type": "string"}}}}, "401": error("missing or invalid API key")}}},
        "/v2": get("Open Inference Protocol: the server", response("the server", object.clone()), &key),
        "/v2/health/live": get("Open Inference Protocol: live", response("live", object.clone()), &[]),
        "/v2/health/ready": get("Open Inference Protocol: ready", response("ready", object.clone()), &ready),
        "/v2/models/{name}": get("Open Inference Protocol: the model's tensors", response("the model", object.clone()), &not_found),
        "/v2/models/{name}/ready": get("Open Inference Protocol: the model is ready", response("ready", object.clone()), &not_found),
        "/v2/models/{name}/infer": {"post": {"summary": "Open Inference Protocol: predict columns",
            "requestBody": body(&infer, &json!({"inputs": tensors(example)})),
            "responses": responses(response("the predictions as a tensor", object), &not_found)}},
    });
    document["/feedback"]["post"]["responses"]["202"] = json!({"description": "no prediction is known; recorded in the prediction log for a later join", "content": json_of(joined)});
    for path in ["/v2/models/{name}", "/v2/models/{name}/ready", "/v2/models/{name}/infer"] {
        document[path]["parameters"] = path_parameters.clone();
    }
    document
}

/// The schema of an actual value: a number that the target's column allows.
fn actual_schema(target: &Column) -> Value {
    let mut schema = column_schema(target);
    schema["type"] = json!(if target.spec.kind == ColumnType::Integer { "integer" } else { "number" });
    schema
}

/// An example of an actual value that the target's column allows, near the prediction for a typical row.
fn actual_example(model: &LoadedModel) -> Value {
    let spec = &model.row_schema.target().spec;
    let typical = model.typical_prediction().as_f64().unwrap_or_default();
    let rounded = if spec.kind == ColumnType::Integer { typical.round() } else { typical };
    json!(rounded.max(spec.min.unwrap_or(f64::MIN)).min(spec.max.unwrap_or(f64::MAX)))
}

/// A row as tensors of one value each.
fn tensors(example: &Value) -> Vec<Value> {
    let one = |(name, value): (&String, &Value)| {
        let datatype = if value.is_number() { "FP64" } else { "BYTES" };
        json!({"name": name, "shape": [1], "datatype": datatype, "data": [value]})
    };
    example.as_object().into_iter().flatten().map(one).collect()
}
