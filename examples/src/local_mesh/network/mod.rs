//! What addresses mean inside a pod: the part that a network namespace and iptables play in a
//! cluster.
//!
//! Plans are istiod's, so they speak of `0.0.0.0:15006` and of calls from `127.0.0.6`. Here every
//! pod is one loopback address, and these networks translate:
//!
//! | A proxy asks for | and gets |
//! |---|---|
//! | to listen on `0.0.0.0:P` or `127.0.0.1:P` | the pod's address at `P` |
//! | to listen on `0.0.0.0:15006` | also the pod's address at each port of its containers, as if redirected |
//! | to connect to its own pod from `127.0.0.6` | the application, at the port it really listens on |
//! | to connect to any other loopback address | the same, coming from the pod's address |

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    sync::{Mutex, PoisonError},
};

use mesh_proxy::net::{Bind, BoxFuture, Network, Socket, Stream, SystemNetwork};

/// Istio's ports in every pod.
pub mod ports {
    /// Admin pages.
    pub const ADMIN: u16 = 15000;
    /// Where redirected calls of the application would arrive.
    pub const OUTBOUND: u16 = 15001;
    /// Where redirected calls to the application would arrive.
    pub const INBOUND: u16 = 15006;
    /// Merged metrics.
    pub const MERGED_METRICS: u16 = 15020;
    /// Health.
    pub const HEALTH: u16 = 15021;
    /// The proxy's metrics.
    pub const METRICS: u16 = 15090;
    /// The explicit HTTP proxy that applications of a local mesh use (`proxyHttpPort`).
    pub const HTTP_PROXY: u16 = 15080;

    /// Those where a call from the pod's own proxy would come back to it for ever.
    pub(super) const CAPTURE: [u16; 3] = [OUTBOUND, INBOUND, HTTP_PROXY];
    /// Those that are about the proxy, not about traffic.
    pub(super) const OWN: [u16; 4] = [ADMIN, MERGED_METRICS, HEALTH, METRICS];
}

/// Where proxies call their own application from, so that capture leaves those calls alone.
const INBOUND_SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6));

/// The network of a pod with a sidecar.
#[derive(Debug)]
pub struct PodNetwork {
    address: IpAddr,
    applications: BTreeMap<u16, u16>,
}

/// The network of a pod at the edge: its listeners are the user's.
#[derive(Debug)]
pub struct GatewayNetwork {
    pod: PodNetwork,
    ports: GatewayPorts,
    /// Addresses nobody else had when they were first asked for.
    ours: Mutex<BTreeSet<SocketAddr>>,
}

/// Where a user finds the ports of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GatewayPorts {
    /// At 127.0.0.1, ports below 1024 moved up by 8000, as Istio's ingress Service maps 80 to 8080
    /// and 443 to 8443. What would be at 8080 is at `http` instead.
    Customary {
        /// The port for HTTP.
        http: u16,
    },
    /// At 127.0.0.1, wherever there is a free port: for tests.
    Any,
}

impl PodNetwork {
    /// The network of the pod at `address`. `applications` tells, by the port of a container, the
    /// port at which its application really listens.
    pub fn new(address: Ipv4Addr, applications: BTreeMap<u16, u16>) -> Self {
        Self {
            address: address.into(),
            applications,
        }
    }

    fn is_here(&self, ip: IpAddr) -> bool {
        ip.is_unspecified() || ip == Ipv4Addr::LOCALHOST || ip == self.address
    }

    fn listeners(&self, port: u16) -> Vec<SocketAddr> {
        let captured = self.applications.keys().copied();
        let captured = captured.filter(|_| port == ports::INBOUND);
        std::iter::once(port)
            .chain(captured)
            .map(|port| SocketAddr::new(self.address, port))
            .collect()
    }

    /// The application may listen on the pod's address or, as many do, on localhost.
    async fn connect_application(&self, port: u16) -> io::Result<Stream> {
        let at = |ip| SystemNetwork.connect(SocketAddr::new(ip, port), Some(INBOUND_SOURCE));
        match at(self.address).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                at(Ipv4Addr::LOCALHOST.into()).await
            }
            connected => connected,
        }
    }
}

impl Network for PodNetwork {
    fn bind(&self, request: &Bind) -> io::Result<Vec<Vec<Socket>>> {
        if !self.is_here(request.address.ip()) {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        listen(&self.listeners(request.address.port()), request.workers)
    }

    fn connect(
        &self,
        target: SocketAddr,
        source: Option<IpAddr>,
    ) -> BoxFuture<'_, io::Result<Stream>> {
        let to_itself = target.ip() == self.address;
        if to_itself && ports::CAPTURE.contains(&target.port()) {
            return Box::pin(std::future::ready(Err(
                io::ErrorKind::ConnectionRefused.into()
            )));
        }
        let from_inbound = source == Some(INBOUND_SOURCE);
        match self.applications.get(&target.port()) {
            Some(&port) if to_itself && from_inbound => Box::pin(self.connect_application(port)),
            _ => {
                let own = target.ip().is_loopback().then_some(self.address);
                SystemNetwork.connect(target, source.or(own))
            }
        }
    }
}

impl GatewayNetwork {
    /// Ports below this are the administrator's.
    const FIRST_UNPRIVILEGED: u16 = 1024;
    /// How far those are moved up.
    const SHIFT: u16 = 8000;
    /// Where HTTP is expected.
    const HTTP: u16 = 8080;

    /// The network of the gateway's pod at `address`.
    pub fn new(address: Ipv4Addr, ports: GatewayPorts) -> Self {
        Self {
            pod: PodNetwork::new(address, BTreeMap::new()),
            ports,
            ours: Mutex::default(),
        }
    }

    /// Where a user finds a port of the gateway; 0 for wherever there is room.
    fn port(&self, planned: u16) -> u16 {
        let GatewayPorts::Customary { http } = self.ports else {
            return 0;
        };
        match planned {
            privileged if privileged < Self::FIRST_UNPRIVILEGED => match privileged + Self::SHIFT {
                Self::HTTP => http,
                moved => moved,
            },
            Self::HTTP => http,
            other => other,
        }
    }

    /// Fails if another program, or another mesh, has this address. Sockets of workers share their
    /// addresses, so without this look they would share them with strangers too.
    fn claim(&self, address: SocketAddr) -> io::Result<()> {
        let mut ours = self.ours.lock().unwrap_or_else(PoisonError::into_inner);
        if address.port() != 0 && !ours.contains(&address) {
            drop(TcpListener::bind(address)?);
            ours.insert(address);
        }
        Ok(())
    }
}

impl Network for GatewayNetwork {
    fn bind(&self, request: &Bind) -> io::Result<Vec<Vec<Socket>>> {
        let planned = request.address.port();
        if ports::OWN.contains(&planned) {
            return self.pod.bind(request);
        }
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), self.port(planned));
        self.claim(address)?;
        SystemNetwork.bind(&Bind {
            address,
            redirected: false,
            ..*request
        })
    }

    fn connect(
        &self,
        target: SocketAddr,
        source: Option<IpAddr>,
    ) -> BoxFuture<'_, io::Result<Stream>> {
        self.pod.connect(target, source)
    }
}

/// Every worker gets a socket at every address.
fn listen(addresses: &[SocketAddr], workers: usize) -> io::Result<Vec<Vec<Socket>>> {
    let of_worker = || {
        let sockets = addresses.iter();
        sockets.map(|&address| SystemNetwork::listen(address, false))
    };
    (0..workers).map(|_| of_worker().collect()).collect()
}

#[cfg(test)]
mod tests;
