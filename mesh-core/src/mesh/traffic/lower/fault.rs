//! Delays and aborts on purpose.

use super::Lower;
use crate::{
    config::istio,
    mesh::{Abort, Delay, Fault, PerMillion},
};

impl Lower<'_> {
    pub(super) fn fault(&mut self, field: &str, written: &istio::Fault) -> Option<Fault> {
        let delay = written.delay.as_ref().and_then(|delay| {
            let field = format!("{field}.delay");
            let Some(duration) = delay.fixed_delay.map(|span| span.0) else {
                self.findings
                    .error(&format!("{field}.fixedDelay"), "is missing");
                return None;
            };
            let percent = delay.percent.map(f64::from);
            let share = self.share(&field, delay.percentage.as_ref(), percent);
            Some(Delay { duration, share })
        });
        let abort = written.abort.as_ref().and_then(|abort| {
            let field = format!("{field}.abort");
            let share = self.share(&field, abort.percentage.as_ref(), None);
            let http_status = match abort.http_status {
                Some(status) => Some(self.status(&format!("{field}.httpStatus"), status.into())?),
                None => None,
            };
            let grpc_status = match &abort.grpc_status {
                Some(text) => Some(self.grpc_status(&format!("{field}.grpcStatus"), text)?),
                None => None,
            };
            if http_status.is_some() == grpc_status.is_some() {
                self.findings
                    .error(&field, "one of httpStatus, grpcStatus is needed");
                return None;
            }
            Some(Abort {
                http_status,
                grpc_status,
                share,
            })
        });
        if written.delay.is_none() && written.abort.is_none() {
            self.findings.error(field, "one of delay, abort is needed");
        }
        (delay.is_some() || abort.is_some()).then_some(Fault { delay, abort })
    }

    /// How many requests a fault is for: none, unless said otherwise.
    fn share(
        &mut self,
        field: &str,
        percentage: Option<&istio::Percent>,
        deprecated: Option<f64>,
    ) -> PerMillion {
        match (percentage, deprecated) {
            (Some(percent), _) => {
                let at = format!("{field}.percentage.value");
                self.findings.percent(&at, percent.value)
            }
            (None, Some(percent)) => self.findings.percent(&format!("{field}.percent"), percent),
            (None, None) => {
                self.findings
                    .warn(field, "is for no request: percentage is missing");
                self.findings.advise("add percentage: {value: 100}");
                PerMillion::default()
            }
        }
    }

    fn grpc_status(&mut self, field: &str, text: &str) -> Option<u32> {
        const NAMES: [&str; 17] = [
            "OK",
            "CANCELLED",
            "UNKNOWN",
            "INVALID_ARGUMENT",
            "DEADLINE_EXCEEDED",
            "NOT_FOUND",
            "ALREADY_EXISTS",
            "PERMISSION_DENIED",
            "RESOURCE_EXHAUSTED",
            "FAILED_PRECONDITION",
            "ABORTED",
            "OUT_OF_RANGE",
            "UNIMPLEMENTED",
            "INTERNAL",
            "UNAVAILABLE",
            "DATA_LOSS",
            "UNAUTHENTICATED",
        ];
        let code = NAMES.iter().position(|name| *name == text);
        let code = code.or_else(|| text.parse().ok().filter(|code| *code < NAMES.len()));
        if code.is_none() {
            self.findings
                .error(field, format!("{text:?} is no gRPC status"));
            self.findings.advise("write its name, such as UNAVAILABLE");
        }
        code.and_then(|code| u32::try_from(code).ok())
    }
}
