use http::{HeaderMap, HeaderName, HeaderValue, header::HOST};
use mesh_core::dataplane;

use super::template::{EditFacts, Template};
use crate::{CompileError, Defect, compile_error::compile_all};

/// Changes to headers on the way in and on the way out.
#[derive(Debug, Default)]
pub struct HeaderEdits {
    /// On the way in.
    pub request: Edits,
    /// On the way out.
    pub response: Edits,
}

/// Changes to headers: first removals, then replacements, then additions, as in Envoy.
#[derive(Debug, Default)]
pub struct Edits {
    remove: Box<[HeaderName]>,
    set: Box<[Written]>,
    add: Box<[Written]>,
}

#[derive(Debug)]
struct Written {
    name: HeaderName,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Constant(HeaderValue),
    Template(Template),
}

impl HeaderEdits {
    /// Prepares edits. Refuses names and values that headers cannot have, `host` and
    /// pseudo-headers (rewriting the host is a matter of its own), and unknown operators.
    pub fn compile(edits: &dataplane::HeaderEdits) -> Result<Self, CompileError> {
        Ok(Self {
            request: Edits {
                remove: compile_all("request_remove", &edits.request_remove, |name| {
                    editable(name)
                })?,
                set: compile_all("request_set", &edits.request_set, Written::compile)?,
                add: compile_all("request_add", &edits.request_add, Written::compile)?,
            },
            response: Edits {
                remove: compile_all("response_remove", &edits.response_remove, |name| {
                    editable(name)
                })?,
                set: compile_all("response_set", &edits.response_set, Written::compile)?,
                add: compile_all("response_add", &edits.response_add, Written::compile)?,
            },
        })
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.request.is_empty() && self.response.is_empty()
    }
}

impl Edits {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// Edits a request's headers. `%REQ(...)%` reads them as they are by then.
    pub fn apply_to_request(&self, headers: &mut HeaderMap, facts: &EditFacts<'_>) {
        self.apply(headers, |template, headers| {
            template.fill(Some(headers), None, facts)
        });
    }

    /// Edits a response's headers. `%RESP(...)%` reads them as they are by then.
    pub fn apply_to_response(&self, headers: &mut HeaderMap, facts: &EditFacts<'_>) {
        let request = facts.request.map(|head| head.headers);
        self.apply(headers, |template, headers| {
            template.fill(request, Some(headers), facts)
        });
    }

    fn apply(&self, headers: &mut HeaderMap, fill: impl Fn(&Template, &HeaderMap) -> String) {
        for name in &self.remove {
            headers.remove(name);
        }
        for written in &self.set {
            if let Some(value) = written.value(headers, &fill) {
                headers.insert(written.name.clone(), value);
            }
        }
        for written in &self.add {
            if let Some(value) = written.value(headers, &fill) {
                headers.append(written.name.clone(), value);
            }
        }
    }
}

impl Written {
    fn compile(header: &dataplane::HeaderValue) -> Result<Self, CompileError> {
        let template = Template::compile(&header.value).map_err(|error| error.within("value"))?;
        let value = match template.constant() {
            Some(text) => Value::Constant(HeaderValue::from_str(text).map_err(|_| {
                CompileError::from(Defect::HeaderValue(header.value.clone())).within("value")
            })?),
            None => Value::Template(template),
        };
        Ok(Self {
            name: editable(&header.name).map_err(|error| error.within("name"))?,
            value,
        })
    }

    /// An operator that yields nothing leaves the header alone rather than emptying it.
    fn value(
        &self,
        headers: &HeaderMap,
        fill: impl Fn(&Template, &HeaderMap) -> String,
    ) -> Option<HeaderValue> {
        match &self.value {
            Value::Constant(value) => Some(value.clone()),
            Value::Template(template) => Some(fill(template, headers))
                .filter(|text| !text.is_empty())
                .and_then(|text| HeaderValue::try_from(text).ok()),
        }
    }
}

fn editable(name: &str) -> Result<HeaderName, CompileError> {
    HeaderName::from_bytes(name.as_bytes())
        .ok()
        .filter(|name| *name != HOST)
        .ok_or_else(|| Defect::HeaderName(name.into()).into())
}
