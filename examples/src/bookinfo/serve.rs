//! One listening socket, one service, until told to stop.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::app::App;
use super::details::Details;
use super::kind::Kind;
use super::productpage::ProductPage;
use super::ratings::Ratings;
use super::reply::{Reply, trouble};
use super::reviews::Reviews;

/// Connections served at once; further ones wait in the socket's backlog.
pub const MAX_CONNECTIONS: usize = 1024;
/// Longest request body read.
pub const MAX_REQUEST_BODY_BYTES: usize = 64 << 10;
/// How long requests under way may take to finish once `shutdown` is there.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);
/// Wait after a failed accept: it fails when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves `app` on `listener` until `shutdown` completes, then lets requests under way finish.
pub async fn run(listener: TcpListener, app: App, shutdown: impl Future<Output = ()>) {
    let service = Arc::new(Service::new(app));
    let (closing, closed) = watch::channel(());
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, Arc::clone(&service), closed.clone()));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
        }
    }
    drop(listener);
    drop(closing);
    let drained = async { while connections.join_next().await.is_some() {} };
    // Whoever is not done by then is cut off when the set is dropped.
    let _in_time = tokio::time::timeout(DRAIN_LIMIT, drained).await;
}

async fn serve(stream: TcpStream, service: Arc<Service>, mut closed: watch::Receiver<()>) {
    // A socket that refuses the option works all the same.
    let _unset = stream.set_nodelay(true);
    let answer = service_fn(|request| {
        let service = Arc::clone(&service);
        async move { Ok::<_, Infallible>(service.answer(request).await) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
    tokio::pin!(connection);
    // An error here is the client's business: it sent no HTTP, or left.
    tokio::select! {
        _ended = connection.as_mut() => return,
        _closing = closed.changed() => connection.as_mut().graceful_shutdown(),
    }
    let _ended = connection.await;
}

/// The services behind one front.
enum Service {
    ProductPage(ProductPage),
    Details(Details),
    Ratings(Ratings),
    Reviews(Reviews),
}

impl Service {
    fn new(app: App) -> Self {
        match app.kind {
            Kind::ProductPage => Self::ProductPage(ProductPage::new(app)),
            Kind::Details(source) => Self::Details(Details::new(app, source)),
            Kind::Ratings => Self::Ratings(Ratings::default()),
            Kind::Reviews(stars) => Self::Reviews(Reviews::new(app, stars)),
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Reply {
        let (head, body) = request.into_parts();
        let body: Bytes = match Limited::new(body, MAX_REQUEST_BODY_BYTES).collect().await {
            Ok(collected) => collected.to_bytes(),
            Err(_) => return trouble(StatusCode::PAYLOAD_TOO_LARGE, "the body cannot be read"),
        };
        let request = Request::from_parts(head, body);
        match self {
            Self::ProductPage(service) => service.answer(&request).await,
            Self::Details(service) => service.answer(&request).await,
            Self::Ratings(service) => service.answer(&request),
            Self::Reviews(service) => service.answer(&request).await,
        }
    }
}
