//! Changes to headers. What a proxy would refuse is refused here, where it is written: it would keep
//! back every other rule of the same table as well.

use std::collections::BTreeMap;

use super::{Lower, policy::is_header_name};
use crate::{config::istio, mesh::HeaderEdits, name::HEADER_OPERATORS};

impl Lower<'_> {
    pub(super) fn headers(&mut self, field: &str, written: &istio::Headers) -> HeaderEdits {
        let (request, response) = (&written.request, &written.response);
        HeaderEdits {
            request_set: self.values(&format!("{field}.request.set"), &request.set, names_host),
            request_add: self.values(&format!("{field}.request.add"), &request.add, |_| false),
            request_remove: self.names(&format!("{field}.request.remove"), &request.remove),
            response_set: self.values(&format!("{field}.response.set"), &response.set, |_| false),
            response_add: self.values(&format!("{field}.response.add"), &response.add, |_| false),
            response_remove: self.names(&format!("{field}.response.remove"), &response.remove),
        }
    }

    fn values(
        &mut self,
        field: &str,
        pairs: &BTreeMap<String, String>,
        also: fn(&str) -> bool,
    ) -> Vec<(String, String)> {
        for (name, value) in pairs {
            let at = format!("{field}.{name}");
            if !also(name) {
                self.editable(&at, name);
            }
            if names_host(name) && !value.contains('%') {
                self.authority(&at, value);
            }
            if let Some(reason) = wrong_with(value) {
                self.findings.error(&at, reason);
            }
        }
        pairs.clone().into_iter().collect()
    }

    fn names(&mut self, field: &str, names: &[String]) -> Vec<String> {
        for (i, name) in names.iter().enumerate() {
            self.editable(&format!("{field}[{i}]"), name);
        }
        names.to_vec()
    }

    fn editable(&mut self, at: &str, name: &str) {
        if names_host(name) {
            let reason = format!("{name:?} can be set on requests, and nothing else");
            self.findings.error(at, reason);
        } else if FRAMING.iter().any(|own| name.eq_ignore_ascii_case(own)) {
            let reason = format!("{name:?} belongs to one connection, and is the proxy's to write");
            self.findings.error(at, reason);
        } else if !is_header_name(name) {
            self.findings
                .error(at, format!("{name:?} is no header name"));
        }
    }
}

/// What says where a message ends and what holds for one connection (RFC 9110, section 7.6.1, and
/// RFC 9112, section 6): who changes it lets two ends disagree on which bytes are a request.
const FRAMING: [&str; 9] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// Setting one of these rewrites the host.
fn names_host(name: &str) -> bool {
    name.eq_ignore_ascii_case("host") || name.eq_ignore_ascii_case(":authority")
}

/// Why this cannot be a value: RFC 9110, section 5.5, without what is obsolete there, and with
/// operators between `%` signs.
fn wrong_with(value: &str) -> Option<String> {
    if !value.bytes().all(|b| matches!(b, b'\t' | b' '..=b'~')) {
        return Some(format!("{value:?} cannot be a header's value"));
    }
    let mut rest = value;
    while let Some((_, after)) = rest.split_once('%') {
        let Some((operator, after)) = after.split_once('%') else {
            return Some(format!(
                "{value:?} has a % too many; write %% to mean the sign"
            ));
        };
        if !operator.is_empty() && !is_operator(operator) {
            return Some(format!(
                "%{operator}% is no operator; write %% to mean the sign"
            ));
        }
        rest = after;
    }
    None
}

fn is_operator(text: &str) -> bool {
    let field = text
        .strip_prefix("REQ(")
        .or_else(|| text.strip_prefix("RESP("));
    let Some((names, len)) = field.and_then(|field| field.split_once(')')) else {
        return HEADER_OPERATORS.contains(&text);
    };
    let (name, other) = names.split_once('?').unwrap_or((names, names));
    let is_len = |len: &str| len.parse::<usize>().is_ok();
    is_subject(name)
        && is_subject(other)
        && (len.is_empty() || len.strip_prefix(':').is_some_and(is_len))
}

fn is_subject(name: &str) -> bool {
    let pseudo = [":method", ":authority", ":scheme", ":path"];
    is_header_name(name) || pseudo.iter().any(|known| name.eq_ignore_ascii_case(known))
}
