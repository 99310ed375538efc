use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use mesh_core::dataplane::RateLimitFilter;
use mesh_routing::RateLimiter;

/// Limits in force, without what was counted: each worker counts on its own.
#[derive(Debug)]
pub(crate) struct LimitsInForce {
    pub(crate) planned: RateLimitFilter,
    /// Headers of the answer to a request beyond a limit.
    pub(crate) headers: HeaderMap,
}

/// What says where an answer ends and how its connection goes on is not for limits to write.
const NOT_WRITTEN: [HeaderName; 6] = [
    HeaderName::from_static("keep-alive"),
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TRAILER,
    header::UPGRADE,
];

impl LimitsInForce {
    /// Puts limits in force.
    pub(super) fn compile(planned: &RateLimitFilter) -> Result<Arc<Self>, String> {
        RateLimiter::compile(planned).map_err(|error| error.to_string())?;
        let mut headers = HeaderMap::new();
        for (name, value) in &planned.headers {
            let refuse = |why| format!("headers: {name}: {why}");
            let value =
                HeaderValue::from_bytes(value.as_bytes()).map_err(|_| refuse("is no value"))?;
            let name = HeaderName::try_from(name).map_err(|_| refuse("is no name"))?;
            if NOT_WRITTEN.contains(&name) {
                return Err(refuse("is written by the proxy alone"));
            }
            headers.insert(name, value);
        }
        Ok(Arc::new(Self {
            planned: planned.clone(),
            headers,
        }))
    }
}
