/// How an attempt ended, as far as deciding on another one needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Response headers came.
    Response {
        /// HTTP status.
        status: u16,
        /// `grpc-status`, where the headers carry it: a response without a body.
        grpc_status: Option<u32>,
    },
    /// No connection could be opened in time.
    ConnectFailure,
    /// The stream or connection broke.
    Reset(ResetKind),
    /// The other end promised not to have looked at the request: HTTP/2's `REFUSED_STREAM`, or a
    /// stream above the last of a `GOAWAY` (RFC 9113, section 8.7).
    RefusedStream,
    /// The attempt took longer than one attempt may.
    PerTryTimeout,
    /// The request took longer than all attempts together may.
    Timeout,
    /// A circuit breaker let nothing through.
    Overflow,
    /// There was no instance to call.
    NoEndpoint,
}

/// When a stream broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetKind {
    /// Before anything of the request was sent.
    BeforeRequest,
    /// After some of the request, but before response headers.
    BeforeResponse,
    /// After response headers: nothing can be tried again.
    AfterResponse,
}

impl Outcome {
    /// Whether the instance is to blame in the eyes of outlier detection: as a 5xx it answered.
    pub fn is_server_error(&self) -> bool {
        matches!(
            self,
            Self::Response {
                status: 500..=599,
                ..
            }
        )
    }

    /// Whether it is a 502, 503 or 504.
    pub fn is_gateway_error(&self) -> bool {
        matches!(
            self,
            Self::Response {
                status: 502..=504,
                ..
            }
        )
    }

    /// Whether the failure was seen from this side: no connection, a broken one, or no answer in
    /// time.
    pub fn is_local_origin_failure(&self) -> bool {
        matches!(
            self,
            Self::ConnectFailure
                | Self::Reset(_)
                | Self::RefusedStream
                | Self::PerTryTimeout
                | Self::Timeout
        )
    }
}
