use std::{net::SocketAddr, rc::Rc, sync::Arc};

use mesh_core::dataplane::{EndpointAddress, TcpProxy, WeightedCluster};
use mesh_routing::Dice;
use tokio::io::{AsyncRead, AsyncWrite};

use super::relay::relay;
use crate::{
    http::Failure,
    upstream::{Choice, Target},
    worker::{View, Worker},
};

/// Passes a connection on to a cluster.
pub(crate) async fn serve<IO>(
    io: IO,
    worker: Rc<Worker>,
    view: Rc<View>,
    planned: Arc<TcpProxy>,
    meant_for: SocketAddr,
) -> Result<(), Failure>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let mut dice = Dice::new(worker.draw());
    let cluster = choose(&planned.clusters, &mut dice).ok_or(Failure::NoRoute)?;
    let upstream = view
        .upstream(&cluster.name)
        .ok_or(Failure::NoCluster { status: 503 })?;
    let named = Some(EndpointAddress::Socket(meant_for));
    let choice = Choice {
        hash: None,
        avoid: &[],
        named,
    };
    let picked = upstream.pick(&choice, &mut dice)?;
    let opened = worker
        .settings
        .dialer
        .open(Target {
            address: &picked.host.key.address,
            source: upstream.cluster.planned.bind_source,
            security: picked.host.security(),
            connect_timeout: upstream.cluster.planned.connect_timeout,
            requested_host: None,
        })
        .await?;
    // However it ends, both sides have been told by the end of their streams.
    let _ = relay(io, opened.stream, planned.idle_timeout).await;
    Ok(())
}

fn choose<'a>(clusters: &'a [WeightedCluster], dice: &mut Dice) -> Option<&'a WeightedCluster> {
    let total: u64 = clusters
        .iter()
        .map(|cluster| u64::from(cluster.weight))
        .sum();
    let mut left = dice.below(total);
    if let [only] = clusters {
        return Some(only);
    }
    clusters.iter().find(|cluster| {
        let weight = u64::from(cluster.weight);
        let hit = left < weight;
        left = left.saturating_sub(weight);
        hit
    })
}
