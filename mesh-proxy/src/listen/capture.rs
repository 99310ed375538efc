use std::{net::SocketAddr, sync::Arc};

use mesh_routing::captured;

use crate::live::{LiveConfig, LiveListener};

/// The listener that a connection was meant for: where a listener hands connections over, the one
/// of the exact destination, else the one of its port, else itself.
pub(super) fn listener_for<'a>(
    live: &'a LiveConfig,
    accepting: &'a Arc<LiveListener>,
    meant_for: SocketAddr,
) -> &'a Arc<LiveListener> {
    if !accepting.planned.use_original_dst {
        return accepting;
    }
    captured(meant_for, |address| live.unbound(address)).map_or(accepting, |(found, _)| found)
}
