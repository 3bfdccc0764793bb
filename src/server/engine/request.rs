//! What a client asks for, whatever brought it. Invariant: the wording of what is wrong with a request's shape is Stoa's,
//! not a parser's.

use crate::error::{Code, Error, Result};
use serde_json::{Map, Value};

/// A GraphQL request as it came over any transport.
#[derive(Clone, Debug, Default)]
pub struct GraphqlRequest {
    pub query: Option<String>,
    pub operation_name: Option<String>,
    pub variables: Option<Map<String, Value>>,
    pub extensions: Option<Map<String, Value>>,
}

impl GraphqlRequest {
    /// From a JSON object; BAD_REQUEST in Stoa's words when a member has the wrong shape. Members that are null and an
    /// empty `operationName` count as absent; unknown members are ignored.
    pub fn from_json(value: Value) -> Result<Self> {
        let Value::Object(mut members) = value else {
            return Err(Error::yours(Code::BadRequest, "A GraphQL request must be a JSON object."));
        };
        let request = GraphqlRequest {
            query: text(&mut members, "query")?,
            operation_name: text(&mut members, "operationName")?.filter(|name| !name.is_empty()),
            variables: object(&mut members, "variables")?,
            extensions: object(&mut members, "extensions")?,
        };
        Ok(request)
    }
}

fn text(members: &mut Map<String, Value>, name: &str) -> Result<Option<String>> {
    match members.get_mut(name).map(Value::take) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Error::yours(Code::BadRequest, format!("`{name}` must be a string."))),
    }
}

fn object(members: &mut Map<String, Value>, name: &str) -> Result<Option<Map<String, Value>>> {
    match members.get_mut(name).map(Value::take) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(Error::yours(Code::BadRequest, format!("`{name}` must be a JSON object."))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_every_member() {
        let request = GraphqlRequest::from_json(json!({
            "query": "{ a }", "operationName": "A", "variables": {"x": 1}, "extensions": {"y": 2}, "more": 3
        }))
        .unwrap();
        assert_eq!(request.query.as_deref(), Some("{ a }"));
        assert_eq!(request.operation_name.as_deref(), Some("A"));
        assert_eq!(request.variables.unwrap()["x"], 1);
        assert_eq!(request.extensions.unwrap()["y"], 2);
    }

    #[test]
    fn null_is_absent() {
        let request = GraphqlRequest::from_json(json!({
            "query": null, "operationName": "", "variables": null, "extensions": null
        }))
        .unwrap();
        assert!(request.query.is_none() && request.operation_name.is_none());
        assert!(request.variables.is_none() && request.extensions.is_none());
    }

    #[test]
    fn says_what_has_the_wrong_shape() {
        for (value, message) in [
            (json!([]), "A GraphQL request must be a JSON object."),
            (json!("{ a }"), "A GraphQL request must be a JSON object."),
            (json!({"query": 1}), "`query` must be a string."),
            (json!({"query": "{a}", "operationName": {}}), "`operationName` must be a string."),
            (json!({"query": "{a}", "variables": [1]}), "`variables` must be a JSON object."),
            (json!({"query": "{a}", "variables": "{}"}), "`variables` must be a JSON object."),
            (json!({"query": "{a}", "extensions": 0}), "`extensions` must be a JSON object."),
        ] {
            let error = GraphqlRequest::from_json(value).unwrap_err();
            assert_eq!((error.code(), error.to_string().as_str()), (Code::BadRequest, message));
        }
    }
}
