use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

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
    let any = match meant_for.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    live.unbound(meant_for)
        .or_else(|| live.unbound(SocketAddr::new(any, meant_for.port())))
        .unwrap_or(accepting)
}
