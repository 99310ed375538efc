//! Changes to headers.

use crate::{
    dataplane::{HeaderEdits, HeaderValue},
    mesh,
};

/// Edits as a rule says, names in lower case.
pub(super) fn header_edits(edits: &mesh::HeaderEdits) -> HeaderEdits {
    let values = |pairs: &[(String, String)]| -> Vec<HeaderValue> {
        let each = pairs.iter().map(|(name, value)| HeaderValue {
            name: name.to_ascii_lowercase(),
            value: value.clone(),
        });
        each.collect()
    };
    let names = |names: &[String]| names.iter().map(|name| name.to_ascii_lowercase()).collect();
    HeaderEdits {
        request_set: values(&edits.request_set),
        request_add: values(&edits.request_add),
        request_remove: names(&edits.request_remove),
        response_set: values(&edits.response_set),
        response_add: values(&edits.response_add),
        response_remove: names(&edits.response_remove),
    }
}

/// Setting `host` or `:authority` rewrites the host, as in Istio.
pub(super) fn take_host(edits: &mut HeaderEdits) -> Option<String> {
    let is_host = |header: &HeaderValue| matches!(&*header.name, "host" | ":authority");
    let place = edits.request_set.iter().position(is_host)?;
    let host = edits.request_set.remove(place).value;
    edits.request_set.retain(|header| !is_host(header));
    Some(host)
}

/// The same edits, then more.
pub(super) fn append(edits: &mut HeaderEdits, more: HeaderEdits) {
    edits.request_set.extend(more.request_set);
    edits.request_add.extend(more.request_add);
    edits.request_remove.extend(more.request_remove);
    edits.response_set.extend(more.response_set);
    edits.response_add.extend(more.response_add);
    edits.response_remove.extend(more.response_remove);
}
