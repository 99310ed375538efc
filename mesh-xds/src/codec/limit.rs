//! Limits on requests ⇄ a message of our own, since Envoy's filter knows neither fair shares nor
//! priorities. The message has the shape of `google.protobuf.Struct`: `limits` in JSON and the rest
//! beside it. Who does not know it refuses it, as a limit must not be lost in silence.

use std::collections::BTreeMap;

use mesh_core::dataplane::{Origin, RateLimit, RateLimitFilter};
use prost::Message;

use super::{
    any::full_name,
    metadata::{object, object_value, read_object, read_text, text},
    reader::Reader,
};
use crate::proto::wkt;

/// The filter's name.
pub(super) const NAME: &str = "mesh.filters.http.rate_limit";
/// The name of its message.
pub(super) const TYPE_NAME: &str = "mesh.v1alpha1.RateLimit";

pub(super) fn encode(value: &RateLimitFilter) -> wkt::Any {
    let limits = serde_json::to_string(&value.limits).unwrap_or_default();
    let headers = value.headers.iter();
    let headers = object(headers.map(|(name, value)| (name.as_str(), text(value.as_str()))));
    let origin = value.origin.as_ref().map(Origin::path).unwrap_or_default();
    let fields = object([
        ("limits", text(limits)),
        ("origin", text(origin)),
        ("status", text(value.status.to_string())),
        ("dry_run", text(value.is_dry_run.to_string())),
        ("hides_limits", text(value.hides_limits.to_string())),
        ("headers", object_value(headers)),
    ]);
    wkt::Any {
        type_url: format!("type.googleapis.com/{TYPE_NAME}"),
        value: fields.encode_to_vec(),
    }
}

/// Refused as a whole if any part of it is not understood.
pub(super) fn decode(r: &mut Reader, any: &wkt::Any) -> Option<RateLimitFilter> {
    debug_assert_eq!(full_name(&any.type_url), TYPE_NAME, "asked before");
    let mut fields = match wkt::Struct::decode(any.value.as_slice()) {
        Ok(wire) => wire.fields,
        Err(error) => {
            r.refuse("", format!("is no {TYPE_NAME}: {error}"));
            return None;
        }
    };
    let mut take = |name: &str| fields.remove(name).and_then(read_text).unwrap_or_default();
    let (limits, origin, status) = (take("limits"), take("origin"), take("status"));
    let (dry_run, hides_limits) = (take("dry_run"), take("hides_limits"));
    let headers = fields.remove("headers").map(read_object);
    let headers = headers.unwrap_or_default().fields.into_iter();
    for name in fields.keys() {
        r.refuse(name, "is not supported");
    }
    let limits: Vec<RateLimit> = match serde_json::from_str(&limits) {
        Ok(limits) => limits,
        Err(error) => {
            r.refuse("limits", error.to_string());
            return None;
        }
    };
    if limits.iter().any(|limit: &RateLimit| limit.per.is_zero()) {
        r.refuse("limits", "a limit is over no span of time");
        return None;
    }
    let Ok(status) = status.parse() else {
        r.refuse("status", format!("{status:?} is no status"));
        return None;
    };
    let headers: BTreeMap<_, _> = headers
        .filter_map(|(name, value)| Some((name, read_text(value)?)))
        .collect();
    Some(RateLimitFilter {
        limits,
        origin: Origin::from_path(&origin),
        is_dry_run: dry_run == "true",
        status,
        headers,
        hides_limits: hides_limits == "true",
    })
}
