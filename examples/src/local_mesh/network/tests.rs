use std::future::poll_fn;

use mesh_proxy::net::Arrival;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener as Listener,
};

use super::{super::Block, *};

fn bind(network: &dyn Network, address: &str, workers: usize) -> io::Result<Vec<Vec<SocketAddr>>> {
    let request = Bind {
        address: address.parse().unwrap(),
        workers,
        redirected: true,
    };
    let sockets = network.bind(&request)?;
    let address_of = |socket: Socket| socket.address();
    let of_worker = |sockets: Vec<Socket>| sockets.into_iter().map(address_of).collect();
    Ok(sockets.into_iter().map(of_worker).collect())
}

#[test]
fn listeners_are_at_the_pods_address() {
    let block = Block::claim().unwrap();
    let pod = block.pod(3).unwrap();
    let network = PodNetwork::new(pod, [(9080, 40_000), (9443, 40_001)].into());
    let check = |planned: &str, expected: &[u16]| {
        let expected: Vec<SocketAddr> = expected.iter().map(|&port| (pod, port).into()).collect();
        let found = bind(&network, planned, 2).unwrap();
        assert_eq!(found, [expected.clone(), expected], "{planned}");
    };
    check("0.0.0.0:15001", &[15001]);
    check("0.0.0.0:15006", &[15006, 9080, 9443]);
    check("127.0.0.1:15080", &[15080]);
    let elsewhere = bind(&network, "10.0.0.1:80", 1).unwrap_err();
    assert_eq!(elsewhere.kind(), io::ErrorKind::AddrNotAvailable);
}

#[test]
fn a_gateway_is_where_its_user_looks_for_it() {
    let block = Block::claim().unwrap();
    let check = |ports: GatewayPorts, planned: u16, expected: u16| {
        let network = GatewayNetwork::new(block.pod(0).unwrap(), ports);
        assert_eq!(network.port(planned), expected, "{planned}");
    };
    let customary = GatewayPorts::Customary { http: 8080 };
    check(customary, 80, 8080);
    check(customary, 8080, 8080);
    check(customary, 443, 8443);
    check(customary, 9080, 9080);
    let moved = GatewayPorts::Customary { http: 3000 };
    check(moved, 80, 3000);
    check(moved, 8080, 3000);
    check(moved, 443, 8443);
    check(GatewayPorts::Any, 80, 0);
}

#[test]
fn a_gateway_shares_its_ports_with_nobody() {
    let block = Block::claim().unwrap();
    let pod = block.pod(0).unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let http = taken.local_addr().unwrap().port();
    let network = GatewayNetwork::new(pod, GatewayPorts::Customary { http });
    let refused = bind(&network, "0.0.0.0:8080", 2).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    let own = bind(&network, "127.0.0.1:15000", 1).unwrap();
    assert_eq!(own, [[SocketAddr::from((pod, 15000))]]);
    drop(taken);
    let everybody: SocketAddr = ([127, 0, 0, 1], http).into();
    let sockets = bind(&network, "0.0.0.0:8080", 2).unwrap();
    assert_eq!(sockets, [[everybody], [everybody]]);
}

/// Connects, says hello, and returns what was read and where the call came from.
async fn call(network: &PodNetwork, target: SocketAddr, source: Option<IpAddr>) -> io::Result<()> {
    let mut stream = network.connect(target, source).await?;
    stream.write_all(b"hello").await?;
    stream.shutdown().await
}

async fn heard(listener: &Listener) -> (String, SocketAddr) {
    let (mut stream, source) = listener.accept().await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    (text, source)
}

#[tokio::test]
async fn calls_from_the_inbound_side_reach_the_application() {
    for at_localhost in [false, true] {
        let block = Block::claim().unwrap();
        let pod = block.pod(0).unwrap();
        let ip = if at_localhost {
            Ipv4Addr::LOCALHOST
        } else {
            pod
        };
        let application = Listener::bind((ip, 0)).await.unwrap();
        let port = application.local_addr().unwrap().port();
        let network = PodNetwork::new(pod, [(9080, port)].into());
        let target = (pod, 9080).into();
        call(&network, target, Some(INBOUND_SOURCE)).await.unwrap();
        let (text, source) = heard(&application).await;
        assert_eq!((text.as_str(), source.ip()), ("hello", INBOUND_SOURCE));
    }
}

#[tokio::test]
async fn other_calls_go_where_they_say_and_come_from_the_pod() {
    let block = Block::claim().unwrap();
    let (pod, neighbour) = (block.pod(0).unwrap(), block.pod(1).unwrap());
    let listener = Listener::bind((neighbour, 0)).await.unwrap();
    let network = PodNetwork::new(pod, [(9080, 1)].into());
    let target = listener.local_addr().unwrap();
    call(&network, target, None).await.unwrap();
    assert_eq!(heard(&listener).await.1.ip(), IpAddr::V4(pod));

    // Its own name leads a pod back to its own front door, not past it.
    let front = Listener::bind((pod, 9080)).await.unwrap();
    call(&network, (pod, 9080).into(), None).await.unwrap();
    assert_eq!(heard(&front).await.0, "hello");
}

#[tokio::test]
async fn a_proxy_does_not_call_its_own_capture() {
    let block = Block::claim().unwrap();
    let pod = block.pod(0).unwrap();
    let network = PodNetwork::new(pod, BTreeMap::new());
    for port in ports::CAPTURE {
        let _open = Listener::bind((pod, port)).await.unwrap();
        let error = call(&network, (pod, port).into(), None).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{port}");
    }
}

#[tokio::test]
async fn captured_connections_tell_what_they_were_meant_for() {
    let block = Block::claim().unwrap();
    let pod = block.pod(0).unwrap();
    let network = PodNetwork::new(pod, [(9080, 40_000)].into());
    let request = Bind {
        address: "0.0.0.0:15006".parse().unwrap(),
        workers: 1,
        redirected: true,
    };
    let sockets = network.bind(&request).unwrap().remove(0);
    let captured = sockets.into_iter().next_back().unwrap().start().unwrap();
    let target: SocketAddr = (pod, 9080).into();
    let (arrival, _caller) = tokio::join!(
        poll_fn(|context| captured.poll_accept(context)),
        tokio::net::TcpStream::connect(target)
    );
    let Arrival { meant_for, .. } = arrival.unwrap();
    assert_eq!(meant_for, target);
}
