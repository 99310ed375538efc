//! One service of bookinfo in a process of its own.
//!
//! Settings come from flags, or from the environment a mesh gives a workload: `PORT`, `POD_IP`,
//! `HTTP_PROXY`, `POD_NAME` (or `HOSTNAME`) and the variables of the sample's images.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clap::Parser;
use mesh_examples::bookinfo::{self, App, Kind};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

const DEFAULT_PORT: u16 = 9080;

/// Runs one service of bookinfo until interrupted.
#[derive(Debug, Parser)]
#[command(name = "bookinfo")]
struct Flags {
    /// Name and version, such as reviews-v2; or the image of Istio's sample
    service: String,
    /// Address to listen on [default: POD_IP, or 127.0.0.1]
    #[arg(long)]
    address: Option<IpAddr>,
    /// Port to listen on [default: PORT, or 9080]
    #[arg(long)]
    port: Option<u16>,
    /// HTTP proxy that carries every call, as address:port [default: HTTP_PROXY]
    #[arg(long)]
    proxy: Option<SocketAddr>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let flags = Flags::parse();
    // Variables that are no text cannot be any of ours.
    let env = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let (address, app) = meant(flags, &env)?;
    let listener = TcpListener::bind(address).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    let shutdown = async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
    };
    bookinfo::run(listener, app, shutdown).await;
    Ok(())
}

/// Flags and environment as one: where to listen, what to run.
fn meant(
    flags: Flags,
    env: &BTreeMap<String, String>,
) -> Result<(SocketAddr, App), Box<dyn Error>> {
    let value = |name: &str| {
        env.get(name)
            .map(String::as_str)
            .filter(|text| !text.is_empty())
    };
    let meaningless = |name: &str| format!("{name} has no meaning here: {:?}", env.get(name));

    let kind = Kind::from_name(&flags.service)
        .or_else(|| Kind::from_image(&flags.service))
        .ok_or_else(|| format!("{:?} is no service of bookinfo", flags.service))?;
    let address = match (flags.address, value("POD_IP")) {
        (Some(address), _) => address,
        (None, Some(text)) => text
            .parse()
            .map_err(|_not_an_address| meaningless("POD_IP"))?,
        (None, None) => Ipv4Addr::LOCALHOST.into(),
    };
    let port = match (flags.port, value("PORT")) {
        (Some(port), _) => port,
        (None, Some(text)) => text.parse().map_err(|_not_a_port| meaningless("PORT"))?,
        (None, None) => DEFAULT_PORT,
    };
    let proxy = match (flags.proxy, value("HTTP_PROXY")) {
        (Some(proxy), _) => Some(proxy),
        (None, Some(url)) => {
            let bare = url
                .strip_prefix("http://")
                .unwrap_or(url)
                .trim_end_matches('/');
            Some(
                bare.parse()
                    .map_err(|_not_an_address| meaningless("HTTP_PROXY"))?,
            )
        }
        (None, None) => None,
    };
    let pod_name = value("POD_NAME")
        .or_else(|| value("HOSTNAME"))
        .unwrap_or(&flags.service);
    let app = App {
        proxy,
        ..App::new(kind, pod_name)
    }
    .with_env(env)?;
    Ok(((address, port).into(), app))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arguments: &[&str], env: &[(&str, &str)], expected: Result<(&str, &str), &str>) {
        let flags = Flags::parse_from([&["bookinfo"], arguments].concat());
        let env = env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let found = meant(flags, &env.collect())
            .map(|(address, app)| (address.to_string(), format!("{:?}", app.proxy)))
            .map_err(|error| error.to_string());
        let found = match &found {
            Ok((address, proxy)) => Ok((address.as_str(), proxy.as_str())),
            Err(error) => Err(error.as_str()),
        };
        assert_eq!(found, expected, "{arguments:?}");
    }

    #[test]
    fn flags_win_over_the_environment_and_both_over_defaults() {
        check(&["reviews-v2"], &[], Ok(("127.0.0.1:9080", "None")));
        let env = [
            ("POD_IP", "127.1.0.3"),
            ("PORT", "8000"),
            ("HTTP_PROXY", "http://127.1.0.3:15080/"),
        ];
        check(
            &["details-v1"],
            &env,
            Ok(("127.1.0.3:8000", "Some(127.1.0.3:15080)")),
        );
        let flags = [
            "ratings-v1",
            "--address",
            "::1",
            "--port",
            "1",
            "--proxy",
            "127.0.0.1:2",
        ];
        check(&flags, &env, Ok(("[::1]:1", "Some(127.0.0.1:2)")));
    }

    #[test]
    fn what_has_no_meaning_is_named() {
        check(&["nginx"], &[], Err("\"nginx\" is no service of bookinfo"));
        let message = "PORT has no meaning here: Some(\"http\")";
        check(&["reviews-v1"], &[("PORT", "http")], Err(message));
    }
}
