use std::{rc::Rc, sync::Arc, time::Instant};

use http::HeaderMap;

use super::{
    body::{BodyEnd, RequestBody, WatchBody},
    failure::ResponseFlags,
    grpc,
    server::HttpConnection,
};
use crate::{
    live::HttpShared,
    telemetry::RequestRecord,
    upstream::{Lease, Picked, Upstream},
};

/// The end of a request: when the last byte of its answer is gone, everything it held is given back
/// and it is told of.
pub(super) struct Finish {
    pub(super) connection: Rc<HttpConnection>,
    pub(super) http: Arc<HttpShared>,
    pub(super) record: RequestRecord,
    pub(super) sent: Option<Sent>,
}

/// What a request that was sent holds until its answer is complete.
pub(super) struct Sent {
    pub(super) body: RequestBody,
    pub(super) lease: Option<Lease>,
    pub(super) picked: Picked,
    pub(super) upstream: Rc<Upstream>,
}

impl WatchBody for Finish {
    fn passed(&mut self, bytes: usize) {
        self.record.bytes_sent += bytes as u64;
    }

    fn trailers(&mut self, trailers: &HeaderMap) {
        if self.record.grpc {
            self.record.grpc_status = grpc::status(trailers);
        }
    }

    fn ended(&mut self, end: BodyEnd) {
        let now = Instant::now();
        self.record.duration = now - self.record.started;
        self.connection.activity.request_ended(now);
        let (flag, detail) = match end {
            BodyEnd::Complete => (ResponseFlags::default(), None),
            BodyEnd::UpstreamReset => (
                ResponseFlags::UPSTREAM_TERMINATION,
                Some("upstream_reset_after_response_started{connection_termination}"),
            ),
            BodyEnd::Timeout => (ResponseFlags::UPSTREAM_TIMEOUT, Some("response_timeout")),
            BodyEnd::Idle => (ResponseFlags::STREAM_IDLE, Some("stream_idle_timeout")),
            BodyEnd::CallerGone => (
                ResponseFlags::DOWNSTREAM_TERMINATION,
                Some("downstream_remote_disconnect"),
            ),
        };
        self.record.flags.insert(flag);
        if let Some(detail) = detail {
            self.record.details = detail.into();
        }
        if let Some(sent) = self.sent.take() {
            self.record.bytes_received = sent.body.received();
            drop(sent.picked);
            // While the request is still being sent, the connection is not free for another.
            let free = end == BodyEnd::Complete && sent.body.is_over();
            if let Some(lease) = sent.lease.filter(|_| free) {
                lease.finish(&sent.upstream.cluster.planned);
            }
        }
        self.connection
            .worker
            .tell(&self.record, &self.http.access_log);
    }
}
