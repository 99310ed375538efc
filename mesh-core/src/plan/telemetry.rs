//! What is recorded.

use super::PlanOptions;
use crate::dataplane::{AccessLog, AccessLogFilter, AccessLogFormat};

/// Where lines go: the proxy's own output.
const STDOUT: &str = "/dev/stdout";
/// The response flag of connections that no chain took.
const NO_ROUTE: &str = "NR";

/// One line per request or connection, if the mesh wants any.
pub(super) fn access_log(options: &PlanOptions<'_>) -> Vec<AccessLog> {
    options
        .access_log
        .iter()
        .map(|format| line(format, None))
        .collect()
}

/// One line per connection that no chain took.
pub(super) fn refused_log(options: &PlanOptions<'_>) -> Vec<AccessLog> {
    let refused = AccessLogFilter::ResponseFlags(vec![NO_ROUTE.into()]);
    let lines = options.access_log.iter();
    lines
        .map(|format| line(format, Some(refused.clone())))
        .collect()
}

fn line(format: &AccessLogFormat, filter: Option<AccessLogFilter>) -> AccessLog {
    AccessLog {
        path: STDOUT.into(),
        format: format.clone(),
        filter,
    }
}
