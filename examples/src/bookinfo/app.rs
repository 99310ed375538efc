//! Everything one running service is told.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::kind::{BookSource, CATALOGUE_PLAIN_PORT, CATALOGUE_TLS_PORT, Kind, StarColor};
use super::neighbour::{Neighbour, Neighbours};

/// One service to run: what it is, who it says it is, and how it reaches others.
#[derive(Clone, Debug)]
pub struct App {
    /// Which service.
    pub kind: Kind,
    /// The version it reports.
    pub version: String,
    /// Name of the pod, reported by reviews and shown on the page.
    pub pod_name: String,
    /// Name of the cluster, reported by reviews when known.
    pub cluster_name: Option<String>,
    /// The HTTP proxy that carries every call; without one, calls go straight to the neighbour.
    pub proxy: Option<SocketAddr>,
    /// Where the neighbours are.
    pub neighbours: Neighbours,
}

/// An environment variable of a manifest that cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvError {
    /// A port is not a number from 1 to 65535.
    #[error("{name}: {value:?} is not a port")]
    Port {
        /// The variable.
        name: String,
        /// What it holds.
        value: String,
    },
    /// Stars come in `black` and `red`.
    #[error("STAR_COLOR: {0:?} is neither \"black\" nor \"red\"")]
    StarColor(String),
}

impl App {
    /// The service with the sample's defaults: short names, no proxy, the kind's own version.
    pub fn new(kind: Kind, pod_name: impl Into<String>) -> Self {
        Self {
            kind,
            version: kind.version().to_owned(),
            pod_name: pod_name.into(),
            cluster_name: None,
            proxy: None,
            neighbours: Neighbours::default(),
        }
    }

    /// Applies the environment variables the sample's images understand; others are ignored.
    ///
    /// `SERVICES_DOMAIN`, `{DETAILS,REVIEWS,RATINGS}_HOSTNAME` and `…_SERVICE_PORT` move the
    /// neighbours, `CLUSTER_NAME` and `SERVICE_VERSION` name the app, `ENABLE_RATINGS` and
    /// `STAR_COLOR` change reviews, `ENABLE_EXTERNAL_BOOK_SERVICE` and `DO_NOT_ENCRYPT` details.
    ///
    /// # Errors
    /// [`EnvError`] names the variable whose value has no meaning.
    pub fn with_env(mut self, env: &BTreeMap<String, String>) -> Result<Self, EnvError> {
        let value = |name: &str| {
            env.get(name)
                .map(String::as_str)
                .filter(|text| !text.is_empty())
        };
        let is_true = |name: &str| value(name).map(|text| text.eq_ignore_ascii_case("true"));

        let domain = value("SERVICES_DOMAIN");
        for (prefix, neighbour) in [
            ("DETAILS", &mut self.neighbours.details),
            ("REVIEWS", &mut self.neighbours.reviews),
            ("RATINGS", &mut self.neighbours.ratings),
        ] {
            relocate(neighbour, prefix, domain, &value)?;
        }
        if let Some(name) = value("CLUSTER_NAME") {
            self.cluster_name = Some(name.to_owned());
        }
        self.kind = match self.kind {
            Kind::Reviews(color) => {
                let color = value("STAR_COLOR").map(star_color).transpose()?.or(color);
                match is_true("ENABLE_RATINGS") {
                    Some(false) => Kind::Reviews(None),
                    Some(true) => Kind::Reviews(color.or(Some(StarColor::Black))),
                    None => Kind::Reviews(color),
                }
            }
            Kind::Details(source) => Kind::Details(book_source(
                source,
                is_true("ENABLE_EXTERNAL_BOOK_SERVICE"),
                is_true("DO_NOT_ENCRYPT"),
            )),
            other => other,
        };
        self.version = value("SERVICE_VERSION")
            .unwrap_or_else(|| self.kind.version())
            .to_owned();
        Ok(self)
    }
}

fn relocate<'a>(
    neighbour: &mut Neighbour,
    prefix: &str,
    domain: Option<&str>,
    value: &impl Fn(&str) -> Option<&'a str>,
) -> Result<(), EnvError> {
    if let Some(host) = value(&format!("{prefix}_HOSTNAME")) {
        neighbour.host = host.to_owned();
    }
    if let Some(domain) = domain {
        neighbour.host = format!("{}.{domain}", neighbour.host);
    }
    let name = format!("{prefix}_SERVICE_PORT");
    if let Some(port) = value(&name) {
        neighbour.port =
            port.parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(|| EnvError::Port {
                    name,
                    value: port.to_owned(),
                })?;
    }
    Ok(())
}

fn star_color(text: &str) -> Result<StarColor, EnvError> {
    match text {
        "black" => Ok(StarColor::Black),
        "red" => Ok(StarColor::Red),
        other => Err(EnvError::StarColor(other.to_owned())),
    }
}

fn book_source(source: BookSource, external: Option<bool>, plain: Option<bool>) -> BookSource {
    let from_catalogue = external.unwrap_or(matches!(source, BookSource::Catalogue { .. }));
    match (from_catalogue, plain) {
        (false, _) => BookSource::Shelf,
        (true, Some(true)) => BookSource::Catalogue {
            port: CATALOGUE_PLAIN_PORT,
        },
        (true, _) => BookSource::Catalogue {
            port: CATALOGUE_TLS_PORT,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(name: &str, env: &[(&str, &str)]) -> Result<App, EnvError> {
        let env = env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        App::new(Kind::from_name(name).unwrap(), "pod").with_env(&env.collect())
    }

    #[test]
    fn the_environment_changes_what_an_app_is() {
        let check = |name: &str, env: &[(&str, &str)], kind: Kind| {
            assert_eq!(app(name, env).unwrap().kind, kind, "{name} {env:?}");
        };
        check("reviews-v1", &[], Kind::Reviews(None));
        check(
            "reviews-v1",
            &[("ENABLE_RATINGS", "true")],
            Kind::Reviews(Some(StarColor::Black)),
        );
        check(
            "reviews-v2",
            &[("STAR_COLOR", "red")],
            Kind::Reviews(Some(StarColor::Red)),
        );
        check(
            "reviews-v3",
            &[("ENABLE_RATINGS", "false")],
            Kind::Reviews(None),
        );
        check(
            "reviews-v3",
            &[("LOG_DIR", "/tmp/logs")],
            Kind::Reviews(Some(StarColor::Red)),
        );
        check(
            "details-v2",
            &[("DO_NOT_ENCRYPT", "true")],
            Kind::Details(BookSource::Catalogue { port: 80 }),
        );
        check(
            "details-v1",
            &[("ENABLE_EXTERNAL_BOOK_SERVICE", "true")],
            Kind::Details(BookSource::Catalogue { port: 443 }),
        );
        check(
            "details-v1",
            &[("DO_NOT_ENCRYPT", "true")],
            Kind::Details(BookSource::Shelf),
        );
    }

    #[test]
    fn the_environment_moves_the_neighbours() {
        let moved = app(
            "productpage-v1",
            &[
                ("SERVICES_DOMAIN", "books.svc"),
                ("REVIEWS_HOSTNAME", "opinions"),
                ("REVIEWS_SERVICE_PORT", "9999"),
                ("RATINGS_HOSTNAME", ""),
            ],
        )
        .unwrap();
        assert_eq!(
            moved.neighbours.reviews.authority(),
            "opinions.books.svc:9999"
        );
        assert_eq!(
            moved.neighbours.ratings.authority(),
            "ratings.books.svc:9080"
        );
        assert_eq!(
            moved.neighbours.details.authority(),
            "details.books.svc:9080"
        );
    }

    #[test]
    fn a_value_without_meaning_is_named() {
        let check = |name: &str, env: &[(&str, &str)], message: &str| {
            assert_eq!(app(name, env).unwrap_err().to_string(), message);
        };
        let port = "RATINGS_SERVICE_PORT: \"tcp://1\" is not a port";
        check("reviews-v2", &[("RATINGS_SERVICE_PORT", "tcp://1")], port);
        let color = "STAR_COLOR: \"green\" is neither \"black\" nor \"red\"";
        check("reviews-v2", &[("STAR_COLOR", "green")], color);
    }
}
