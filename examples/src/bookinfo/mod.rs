//! Bookinfo: four small services that call each other, so that a mesh has something to carry.
//!
//! ```text
//! browser ─▶ productpage ─▶ details
//!                       └─▶ reviews (v1 no stars, v2 black, v3 red) ─▶ ratings
//! ```
//!
//! URLs and JSON shapes are those of Istio's sample of the same name, so its documented tasks apply
//! word for word. The services know nothing of the mesh: they listen on a socket, call their
//! neighbours by name, through an HTTP proxy when one is named, and pass the headers on that tie one
//! request together. Everything they need enters as an [`App`]; nothing is read from the environment.
//!
//! ```no_run
//! # use mesh_examples::bookinfo::{self, App, Kind};
//! # async fn example() -> std::io::Result<()> {
//! let kind = Kind::from_image("registry.example/examples-bookinfo-reviews-v2:1.20.3").expect("a known image");
//! let app = App { proxy: Some(([127, 0, 0, 1], 15080).into()), ..App::new(kind, "reviews-v2-0") };
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! bookinfo::run(listener, app, std::future::pending()).await;
//! # Ok(())
//! # }
//! ```

mod app;
mod call;
mod details;
mod forward;
mod kind;
pub mod manifests;
mod model;
mod neighbour;
mod productpage;
mod ratings;
mod reply;
mod reviews;
mod serve;

pub use app::{App, EnvError};
pub use kind::{BookSource, Kind, StarColor};
pub use neighbour::{Neighbour, Neighbours};
pub use serve::{MAX_CONNECTIONS, MAX_REQUEST_BODY_BYTES, run};

#[cfg(test)]
mod tests;
