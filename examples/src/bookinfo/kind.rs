//! Which of the services an app is.

use serde::{Deserialize, Serialize};

/// One of the services of bookinfo, with what its version changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The page a browser sees.
    ProductPage,
    /// Facts about a book.
    Details(BookSource),
    /// Stars per reviewer, kept in memory.
    Ratings,
    /// What reviewers wrote, with stars of this colour or, without one, with no stars at all.
    Reviews(Option<StarColor>),
}

/// Where the details service finds its facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookSource {
    /// Known by heart (version v1).
    Shelf,
    /// Asked from a public catalogue (version v2), in clear text: whoever carries the call out of
    /// the mesh is expected to add TLS.
    Catalogue {
        /// Port of the catalogue: 443 where TLS is added on the way, 80 where nothing is.
        port: u16,
    },
}

/// The colour reviews paints its stars in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StarColor {
    /// Version v2.
    Black,
    /// Version v3.
    Red,
}

/// Port of the catalogue when TLS is added on the way.
pub(crate) const CATALOGUE_TLS_PORT: u16 = 443;
/// Port of the catalogue when the call stays in clear text.
pub(crate) const CATALOGUE_PLAIN_PORT: u16 = 80;

impl Kind {
    /// Recognises the images of Istio's sample by name, from any registry and with any tag or digest.
    ///
    /// The variants of ratings that need a database (`ratings-v2`, `mysqldb`, `mongodb`) are not
    /// among them: there is no database here, so they are better reported as unknown.
    pub fn from_image(image: &str) -> Option<Self> {
        let without_digest = image.split_once('@').map_or(image, |(name, _)| name);
        let last = without_digest.rsplit('/').next()?;
        let name = last.split_once(':').map_or(last, |(name, _)| name);
        Self::from_name(name.strip_prefix("examples-bookinfo-")?)
    }

    /// Recognises a service by its name and version, such as `reviews-v2`.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "productpage-v1" => Self::ProductPage,
            "details-v1" => Self::Details(BookSource::Shelf),
            "details-v2" => Self::Details(BookSource::Catalogue {
                port: CATALOGUE_TLS_PORT,
            }),
            "ratings-v1" => Self::Ratings,
            "reviews-v1" => Self::Reviews(None),
            "reviews-v2" => Self::Reviews(Some(StarColor::Black)),
            "reviews-v3" => Self::Reviews(Some(StarColor::Red)),
            _ => return None,
        })
    }

    /// The service's name, as its neighbours call it.
    pub const fn service(self) -> &'static str {
        match self {
            Self::ProductPage => "productpage",
            Self::Details(_) => "details",
            Self::Ratings => "ratings",
            Self::Reviews(_) => "reviews",
        }
    }

    /// The services it calls.
    pub const fn calls(self) -> &'static [&'static str] {
        match self {
            Self::ProductPage => &["details", "reviews"],
            Self::Reviews(Some(_)) => &["ratings"],
            Self::Details(BookSource::Catalogue { .. }) => &["www.googleapis.com"],
            Self::Reviews(None) | Self::Ratings | Self::Details(BookSource::Shelf) => &[],
        }
    }

    /// The version this behaviour belongs to.
    pub const fn version(self) -> &'static str {
        match self {
            Self::ProductPage
            | Self::Ratings
            | Self::Reviews(None)
            | Self::Details(BookSource::Shelf) => "v1",
            Self::Details(BookSource::Catalogue { .. }) | Self::Reviews(Some(StarColor::Black)) => {
                "v2"
            }
            Self::Reviews(Some(StarColor::Red)) => "v3",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_known_by_name_from_any_registry() {
        let check = |image: &str, known: Option<&str>| {
            let found = Kind::from_image(image);
            let name = found.map(|kind| format!("{}-{}", kind.service(), kind.version()));
            assert_eq!(name.as_deref(), known, "{image}");
        };
        check(
            "registry.istio.io/release/examples-bookinfo-reviews-v1:1.20.3",
            Some("reviews-v1"),
        );
        check(
            "docker.io/istio/examples-bookinfo-reviews-v2:1.16.2",
            Some("reviews-v2"),
        );
        check(
            "localhost:5000/examples-bookinfo-reviews-v3",
            Some("reviews-v3"),
        );
        check(
            "examples-bookinfo-ratings-v1@sha256:00ff",
            Some("ratings-v1"),
        );
        check(
            "a/examples-bookinfo-productpage-v1:x@sha256:00ff",
            Some("productpage-v1"),
        );
        check("examples-bookinfo-details-v1", Some("details-v1"));
        check("examples-bookinfo-details-v2:latest", Some("details-v2"));
        check("examples-bookinfo-ratings-v2:1.20.3", None);
        check("examples-bookinfo-mysqldb:1.20.3", None);
        check("examples-bookinfo-mongodb:1.20.3", None);
        check("examples-bookinfo-reviews-v2-debug:1", None);
        check("nginx:1.29", None);
        check("localhost:5000/reviews-v1", None);
        check("", None);
    }

    #[test]
    fn our_manifests_name_only_images_that_are_known() {
        let check = |manifest: &str, names: &[&str]| {
            let images = manifest
                .lines()
                .filter_map(|line| line.trim().strip_prefix("image: "));
            let known = images.map(|image| {
                let kind = Kind::from_image(image).expect(image);
                format!("{}-{}", kind.service(), kind.version())
            });
            assert_eq!(known.collect::<Vec<_>>(), names);
        };
        let shop = [
            "details-v1",
            "ratings-v1",
            "reviews-v1",
            "reviews-v2",
            "reviews-v3",
            "productpage-v1",
        ];
        check(include_str!("../../bookinfo/bookinfo.yaml"), &shop);
        check(
            include_str!("../../bookinfo/tasks/bookinfo-details-v2.yaml"),
            &["details-v2"],
        );
    }
}
