//! What a proxy tells the people who run it, over HTTP on a port of its own.

mod pages;

use std::{convert::Infallible, future::poll_fn, io, net::SocketAddr};

use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};

use crate::{
    ProxyHandle,
    net::{Bind, Network},
};

/// The admin pages of a proxy.
#[derive(Clone)]
pub struct AdminServer {
    proxy: ProxyHandle,
    pages: Pages,
}

/// Which pages a port offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pages {
    /// All of them: for the pod alone.
    All,
    /// Only health: for whoever asks whether the pod is ready.
    Health,
    /// Only metrics: for whoever scrapes them.
    Metrics,
}

impl AdminServer {
    /// Pages about a proxy.
    pub fn new(proxy: ProxyHandle, pages: Pages) -> Self {
        Self { proxy, pages }
    }

    /// Serves them on an address until the task that is returned is aborted; returns where. Must be
    /// called on a tokio runtime.
    pub fn start(
        self,
        network: &dyn Network,
        address: SocketAddr,
    ) -> io::Result<(SocketAddr, tokio::task::JoinHandle<()>)> {
        let request = Bind {
            address,
            workers: 1,
            redirected: false,
        };
        let socket = network
            .bind(&request)?
            .into_iter()
            .flatten()
            .next()
            .ok_or(io::ErrorKind::AddrNotAvailable)?;
        let actual = socket.address();
        let accepting = socket.start()?;
        let task = tokio::spawn(async move {
            loop {
                match poll_fn(|context| accepting.poll_accept(context)).await {
                    Ok(arrival) => drop(tokio::spawn(self.clone().serve(arrival.stream))),
                    Err(_) => tokio::time::sleep(crate::listen::ACCEPT_PAUSE).await,
                }
            }
        });
        Ok((actual, task))
    }

    async fn serve(self, stream: crate::net::Stream) {
        let answer = service_fn(move |request: Request<Incoming>| {
            let admin = self.clone();
            async move { Ok::<_, Infallible>(admin.answer(&request).await) }
        });
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), answer);
        // A caller that goes away early has nothing to be told.
        let _ = serving.await;
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<bytes::Bytes>> {
        let page = pages::answer(&self.proxy, self.pages, request.uri().path()).await;
        let mut response = Response::new(Full::from(page.body));
        *response.status_mut() = page.status;
        response.headers_mut().insert(
            http::header::CONTENT_TYPE,
            http::HeaderValue::from_static(page.content_type),
        );
        response
    }
}
