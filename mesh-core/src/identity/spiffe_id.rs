use std::{fmt, str::FromStr, sync::Arc};

use super::{TrustDomain, TrustDomainError};

/// The name of a workload: `spiffe://<trust domain>/<path>`.
///
/// Parsing is as strict as the SPIFFE ID specification (section 2): what does not follow its
/// grammar to the letter has no value of this type. A path is required, because an ID without one
/// names the trust domain itself, which never authenticates.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    text: Arc<str>,
    trust_domain: TrustDomain,
}

/// The Kubernetes reading of a SPIFFE path: `/ns/<namespace>/sa/<service account>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WorkloadName<'a> {
    /// Kubernetes namespace.
    pub namespace: &'a str,
    /// Kubernetes service account.
    pub service_account: &'a str,
}

/// Why a text is not a workload's SPIFFE ID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpiffeIdError {
    /// The text does not start with `spiffe://`.
    #[error("the scheme is not \"spiffe://\"")]
    Scheme,
    /// Longer than 2048 bytes.
    #[error("the SPIFFE ID is longer than {max} bytes", max = SpiffeId::MAX_LEN)]
    TooLong,
    /// The trust domain is malformed.
    #[error(transparent)]
    TrustDomain(#[from] TrustDomainError),
    /// There is no path, or it is `/`.
    #[error("the path is missing: an ID without one names a trust domain, not a workload")]
    NoPath,
    /// Two slashes in a row, or one at the end.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// A segment is `.` or `..`.
    #[error("the path has a relative segment ('.' or '..')")]
    RelativeSegment,
    /// A character outside `[a-zA-Z0-9._-]` in a segment.
    #[error("the path contains {0:?}; allowed are letters, digits, '.', '-' and '_'")]
    Character(char),
}

impl SpiffeId {
    /// The longest ID the specification allows, in bytes.
    pub const MAX_LEN: usize = 2048;

    const SCHEME: &'static str = "spiffe://";

    /// The identity Istio gives a Kubernetes service account.
    pub fn for_service_account(
        trust_domain: &TrustDomain,
        namespace: &str,
        service_account: &str,
    ) -> Result<Self, SpiffeIdError> {
        if namespace.is_empty() || service_account.is_empty() {
            return Err(SpiffeIdError::EmptySegment);
        }
        for name in [namespace, service_account] {
            check_segment(name)?;
        }
        format!(
            "{}{trust_domain}/ns/{namespace}/sa/{service_account}",
            Self::SCHEME
        )
        .parse()
    }

    /// The whole ID, as it stands in a certificate.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Who vouches for this identity.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The path, with its leading slash.
    pub fn path(&self) -> &str {
        &self.text[Self::SCHEME.len() + self.trust_domain.as_str().len()..]
    }

    /// The ID without its scheme, `cluster.local/ns/default/sa/web`: how Istio writes principals.
    pub fn principal(&self) -> &str {
        &self.text[Self::SCHEME.len()..]
    }

    /// The namespace and service account, if the path has Istio's form.
    pub fn workload(&self) -> Option<WorkloadName<'_>> {
        let (namespace, service_account) = self.path().strip_prefix("/ns/")?.split_once("/sa/")?;
        let plain = |name: &str| !name.is_empty() && !name.contains('/');
        (plain(namespace) && plain(service_account)).then_some(WorkloadName {
            namespace,
            service_account,
        })
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > Self::MAX_LEN {
            return Err(SpiffeIdError::TooLong);
        }
        let rest = text
            .strip_prefix(Self::SCHEME)
            .ok_or(SpiffeIdError::Scheme)?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let trust_domain = TrustDomain::new(authority)?;
        if path.is_empty() {
            return Err(SpiffeIdError::NoPath);
        }
        path.split('/').try_for_each(check_segment)?;
        Ok(Self {
            text: text.into(),
            trust_domain,
        })
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text, f)
    }
}

fn check_segment(segment: &str) -> Result<(), SpiffeIdError> {
    match segment {
        "" => Err(SpiffeIdError::EmptySegment),
        "." | ".." => Err(SpiffeIdError::RelativeSegment),
        _ => match segment.chars().find(|&c| !is_allowed(c)) {
            Some(c) => Err(SpiffeIdError::Character(c)),
            None => Ok(()),
        },
    }
}

fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A path, and the workload read from it.
    type Seen<'a> = (&'a str, Option<(&'a str, &'a str)>);

    #[track_caller]
    fn check(text: &str, want: Result<Seen<'_>, SpiffeIdError>) {
        let got = text.parse::<SpiffeId>();
        let seen = got.as_ref().map(|id| {
            (
                id.path(),
                id.workload()
                    .map(|name| (name.namespace, name.service_account)),
            )
        });
        assert_eq!(seen, want.as_ref().map(|seen| *seen), "{text}");
    }

    #[test]
    fn grammar() {
        use SpiffeIdError::*;
        check(
            "spiffe://cluster.local/ns/default/sa/web",
            Ok(("/ns/default/sa/web", Some(("default", "web")))),
        );
        check("spiffe://td/x", Ok(("/x", None)));
        check("spiffe://td/ns/a/sa/b/c", Ok(("/ns/a/sa/b/c", None)));
        check("https://td/x", Err(Scheme));
        check("SPIFFE://td/x", Err(Scheme));
        check("spiffe://td", Err(NoPath));
        check("spiffe://td/", Err(NoPath));
        check("spiffe:///x", Err(TrustDomain(TrustDomainError::Empty)));
        check(
            "spiffe://TD/x",
            Err(TrustDomain(TrustDomainError::Character('T'))),
        );
        check(
            "spiffe://td:1/x",
            Err(TrustDomain(TrustDomainError::Character(':'))),
        );
        check(
            "spiffe://u@td/x",
            Err(TrustDomain(TrustDomainError::Character('@'))),
        );
        check("spiffe://td/x/", Err(EmptySegment));
        check("spiffe://td//x", Err(EmptySegment));
        check("spiffe://td/./x", Err(RelativeSegment));
        check("spiffe://td/../x", Err(RelativeSegment));
        check("spiffe://td/%2f", Err(Character('%')));
        check("spiffe://td/x?q", Err(Character('?')));
        check("spiffe://td/x#f", Err(Character('#')));
        check("spiffe://td/x y", Err(Character(' ')));
        check("spiffe://td/~", Err(Character('~')));
    }

    #[test]
    fn lengths_are_bounded() {
        let longest = format!("spiffe://td/{}", "a".repeat(SpiffeId::MAX_LEN - 12));
        assert!(longest.parse::<SpiffeId>().is_ok());
        assert_eq!(
            format!("{longest}a").parse::<SpiffeId>(),
            Err(SpiffeIdError::TooLong)
        );
        let domain = "a".repeat(TrustDomain::MAX_LEN + 1);
        assert_eq!(TrustDomain::new(&domain), Err(TrustDomainError::TooLong));
    }

    #[test]
    fn a_service_account_cannot_smuggle_a_path() {
        let td = TrustDomain::default();
        assert!(SpiffeId::for_service_account(&td, "a", "b/../c").is_err());
        assert!(SpiffeId::for_service_account(&td, "a/sa/x", "b").is_err());
        assert!(SpiffeId::for_service_account(&td, "", "b").is_err());
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused(text in "\\PC{0,80}") {
            if let Ok(id) = format!("spiffe://{text}").parse::<SpiffeId>() {
                prop_assert_eq!(id.to_string(), format!("spiffe://{text}"));
            }
        }

        #[test]
        fn workload_names_round_trip(ns in "[a-z][a-z0-9-]{0,20}", sa in "[a-z][a-z0-9-]{0,20}") {
            let id = SpiffeId::for_service_account(&TrustDomain::default(), &ns, &sa).unwrap();
            let name = id.workload().unwrap();
            prop_assert_eq!((name.namespace, name.service_account), (&*ns, &*sa));
            prop_assert_eq!(id.principal(), format!("cluster.local/ns/{ns}/sa/{sa}"));
        }
    }
}
