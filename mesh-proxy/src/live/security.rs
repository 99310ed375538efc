//! Planned transport security, made into acceptors and connectors.

use std::{fs, sync::Arc};

use mesh_core::{
    dataplane::{
        ClientTls, PeerValidation, SanMatch, SecretSource, SecretValue, ServerTls, Snapshot,
        TlsVersion,
    },
    identity::{SpiffeId, TrustDomain},
    name::Pattern,
};
use mesh_tls::{
    Acceptor, ClientSettings, Connector, CredentialsReader, ExpectedIdentities, HandshakeError,
    KeyedCertificate, MeshClients, Peer, ServerSecurity, ServerSettings, TlsContext, TlsVersions,
    WebClients, WebRoots, WebServers,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsStream;

/// Makes acceptors and connectors.
#[derive(Debug, Clone)]
pub(crate) struct SecurityCompiler {
    pub(crate) context: TlsContext,
    /// The workload's own: what the name `default` means.
    pub(crate) own: Option<CredentialsReader>,
}

/// How connections of a cluster are protected, ready to use.
#[derive(Debug)]
pub(crate) struct ClientSecurity {
    connector: Connector,
    follows_host: bool,
}

impl ClientSecurity {
    /// Starts TLS on a connection. `requested_host` is the host of the request that wants it.
    pub(crate) async fn connect<IO>(
        &self,
        io: IO,
        requested_host: Option<&str>,
    ) -> Result<(TlsStream<IO>, Peer), HandshakeError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        match requested_host.filter(|_| self.follows_host) {
            Some(host) => self.connector.connect_to(io, host).await,
            None => self.connector.connect(io).await,
        }
    }
}

impl SecurityCompiler {
    pub(super) const OWN_CERTIFICATE: &str = "default";

    /// An acceptor for a chain, or why there is none.
    pub(crate) fn acceptor(&self, tls: &ServerTls, secrets: &Snapshot) -> Result<Acceptor, String> {
        let security = if tls.certificates.iter().any(is_own) {
            let credentials = self.own()?;
            let names = tls
                .validation
                .as_ref()
                .map_or(&[][..], |validation| &validation.names);
            let expected = expected_identities(names)?;
            let clients = match tls.require_client_certificate {
                true => MeshClients::Identified(expected),
                false => MeshClients::IdentifiedOrAnonymous(expected),
            };
            ServerSecurity::Mesh {
                credentials,
                clients,
            }
        } else {
            let clients = match &tls.validation {
                None => WebClients::Anonymous,
                Some(validation) => {
                    refuse_names(validation)?;
                    let roots = roots(&validation.roots, secrets)?;
                    match tls.require_client_certificate {
                        true => WebClients::Certified(roots),
                        false => WebClients::CertifiedOrAnonymous(roots),
                    }
                }
            };
            let certificate = certificate(&tls.certificates, secrets, &self.context)?
                .ok_or("tls.certificates: a server needs one")?;
            ServerSecurity::Web {
                certificate,
                clients,
            }
        };
        let alpn = bytes(&tls.alpn);
        let settings = ServerSettings {
            alpn,
            versions: versions(tls.min_version),
            security,
        };
        Acceptor::new(settings, self.context.clone()).map_err(|error| error.to_string())
    }

    /// A connector for a cluster, or why there is none.
    pub(crate) fn connector(
        &self,
        tls: &ClientTls,
        alpn: &[String],
        secrets: &Snapshot,
    ) -> Result<ClientSecurity, String> {
        let security = if tls.certificates.iter().any(is_own) {
            let names = tls
                .validation
                .as_ref()
                .map_or(&[][..], |validation| &validation.names);
            mesh_tls::ClientSecurity::Mesh {
                credentials: self.own()?,
                servers: expected_identities(names)?,
            }
        } else {
            mesh_tls::ClientSecurity::Web {
                servers: web_servers(tls.validation.as_ref(), secrets)?,
                certificate: certificate(&tls.certificates, secrets, &self.context)?,
            }
        };
        let settings = ClientSettings {
            server_name: tls
                .sni
                .as_deref()
                .filter(|sni| !sni.is_empty())
                .map(str::to_owned),
            alpn: bytes(alpn),
            versions: versions(tls.min_version),
            security,
        };
        let connector =
            Connector::new(settings, self.context.clone()).map_err(|error| error.to_string())?;
        Ok(ClientSecurity {
            connector,
            follows_host: tls.auto_sni,
        })
    }

    fn own(&self) -> Result<CredentialsReader, String> {
        self.own
            .clone()
            .ok_or_else(|| "this proxy has no certificate of its own".into())
    }
}

fn is_own(source: &SecretSource) -> bool {
    matches!(source, SecretSource::Named(name) if &**name == SecurityCompiler::OWN_CERTIFICATE)
}

/// Mesh peers are named by SPIFFE IDs: one by one, or by their trust domain's prefix.
fn expected_identities(names: &[SanMatch]) -> Result<ExpectedIdentities, String> {
    let mut identities: Vec<SpiffeId> = Vec::new();
    let mut domains: Vec<TrustDomain> = Vec::new();
    for name in names {
        let bad = |why: &dyn std::fmt::Display| format!("tls.validation.names: {name:?}: {why}");
        match name {
            SanMatch::Uri(Pattern::Exact(id)) => {
                identities.push(id.parse().map_err(|error| bad(&error))?);
            }
            SanMatch::Uri(Pattern::Prefix(prefix)) => {
                let domain = prefix
                    .strip_prefix("spiffe://")
                    .and_then(|rest| rest.strip_suffix('/'))
                    .ok_or_else(|| bad(&"a prefix must be \"spiffe://<trust domain>/\""))?;
                domains.push(domain.parse().map_err(|error| bad(&error))?);
            }
            _ => {
                return Err(bad(
                    &"a mesh peer is named by an exact URI or a trust domain prefix",
                ));
            }
        }
    }
    match (identities.is_empty(), domains.is_empty()) {
        (true, true) => Ok(ExpectedIdentities::Any),
        (false, true) => Ok(ExpectedIdentities::OneOf(identities.into())),
        (true, false) => Ok(ExpectedIdentities::TrustDomains(domains.into())),
        (false, false) => Err("tls.validation.names: mixes identities and trust domains".into()),
    }
}

fn web_servers(
    validation: Option<&PeerValidation>,
    secrets: &Snapshot,
) -> Result<WebServers, String> {
    let Some(validation) = validation else {
        return Ok(WebServers::Anybody);
    };
    if validation.match_requested_host && !validation.names.is_empty() {
        return Err("tls.validation: names beside match_requested_host are not supported".into());
    }
    let names = validation
        .names
        .iter()
        .map(|name| match name {
            SanMatch::Dns(Pattern::Exact(text)) | SanMatch::Uri(Pattern::Exact(text)) => {
                Ok(text.clone())
            }
            other => Err(format!(
                "tls.validation.names: {other:?} is not supported, only exact"
            )),
        })
        .collect::<Result<_, _>>()?;
    Ok(WebServers::Certified {
        roots: roots(&validation.roots, secrets)?,
        names,
    })
}

fn refuse_names(validation: &PeerValidation) -> Result<(), String> {
    match validation.names.as_slice() {
        [] => Ok(()),
        _ => Err("tls.validation.names: not supported for callers outside the mesh".into()),
    }
}

fn roots(source: &SecretSource, secrets: &Snapshot) -> Result<WebRoots, String> {
    let pem = match source {
        SecretSource::Named(name) if &**name == "system" => {
            return WebRoots::system().map_err(|error| error.to_string());
        }
        SecretSource::Files { certificates, .. } => read(certificates)?,
        other => match value(other, secrets)? {
            SecretValue::TrustBundle { roots } => roots.into_bytes(),
            SecretValue::Certificate { chain, .. } => chain.into_bytes(),
        },
    };
    WebRoots::from_pem(&pem).map_err(|error| error.to_string())
}

fn certificate(
    sources: &[SecretSource],
    secrets: &Snapshot,
    context: &TlsContext,
) -> Result<Option<KeyedCertificate>, String> {
    let (chain, key) = match sources {
        [] => return Ok(None),
        [
            SecretSource::Files {
                certificates,
                key: Some(key),
            },
        ] => (read(certificates)?, read(key)?),
        [SecretSource::Files { .. }] => return Err("tls.certificates: the key is missing".into()),
        [source] => match value(source, secrets)? {
            SecretValue::Certificate { chain, key } => (chain.into_bytes(), key.into_bytes()),
            SecretValue::TrustBundle { .. } => {
                return Err(format!(
                    "tls.certificates: {source:?} is a bundle without a key"
                ));
            }
        },
        _ => return Err("tls.certificates: more than one is not supported".into()),
    };
    KeyedCertificate::from_pem(&chain, &key, context.provider())
        .map(Some)
        .map_err(|error| error.to_string())
}

fn value(source: &SecretSource, secrets: &Snapshot) -> Result<SecretValue, String> {
    match source {
        SecretSource::Inline(value) => Ok(value.clone()),
        SecretSource::Named(name) => secrets
            .secrets
            .get(name)
            .map(|secret| secret.value.clone())
            .ok_or_else(|| format!("the secret {name} is not known")),
        SecretSource::Files { certificates, .. } => Err(format!("{certificates} is a file")),
    }
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("cannot read {path}: {error}"))
}

fn bytes(names: &[String]) -> Vec<Vec<u8>> {
    names.iter().map(|name| name.clone().into_bytes()).collect()
}

fn versions(min: TlsVersion) -> TlsVersions {
    match min {
        TlsVersion::V1_2 => TlsVersions::Both,
        TlsVersion::V1_3 => TlsVersions::Only13,
    }
}

/// Shared by all users of a cluster.
pub(crate) type SharedSecurity = Option<Arc<ClientSecurity>>;
