//! Credentials and choices, made into rustls configuration.

use std::sync::Arc;

use rustls::{
    ClientConfig, ServerConfig, SupportedProtocolVersion,
    client::{Resumption, danger::ServerCertVerifier},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};

use crate::{
    bundle::TrustBundles,
    certificate::KeyedCertificate,
    context::TlsContext,
    credentials::Credentials,
    reader::CredentialsReader,
    verify::{ExpectedIdentities, SvidVerifier},
    web::{AnyServerVerifier, WebRoots, WebServerVerifier},
};

/// How a server ends TLS.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Application protocols (ALPN) the server speaks, best first; none are negotiated if empty.
    pub alpn: Vec<Vec<u8>>,
    /// Versions the server speaks.
    pub versions: TlsVersions,
    /// Who the server is, and who may call.
    pub security: ServerSecurity,
}

/// Who a server is, and who may call it.
#[derive(Debug, Clone)]
pub enum ServerSecurity {
    /// A workload of the mesh.
    Mesh {
        /// The server's own; each handshake uses what is current then.
        credentials: CredentialsReader,
        /// Who may call.
        clients: MeshClients,
    },
    /// A server of the web: a gateway with a certificate for its host names.
    Web {
        /// The server's own.
        certificate: KeyedCertificate,
        /// Who may call.
        clients: WebClients,
    },
}

/// Who may call a workload of the mesh.
#[derive(Debug, Clone)]
pub enum MeshClients {
    /// Clients with one of these identities: strict mutual TLS.
    Identified(ExpectedIdentities),
    /// The same, and clients that show no certificate: a control plane, which also serves
    /// workloads that have none yet and prove themselves otherwise.
    IdentifiedOrAnonymous(ExpectedIdentities),
}

/// Who may call a server of the web.
#[derive(Debug, Clone)]
pub enum WebClients {
    /// Anybody; no certificate is asked for. Istio's SIMPLE.
    Anonymous,
    /// Clients with a certificate of these authorities. Istio's MUTUAL.
    Certified(WebRoots),
    /// The same, and clients that show no certificate. Istio's OPTIONAL_MUTUAL.
    CertifiedOrAnonymous(WebRoots),
}

/// How a client starts TLS.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// The server name sent and, for [`ClientSecurity::Web`] without names, verified. A connection
    /// may name another one; none is sent if there is none.
    pub server_name: Option<String>,
    /// Application protocols (ALPN) offered, best first.
    pub alpn: Vec<Vec<u8>>,
    /// Versions offered.
    pub versions: TlsVersions,
    /// Who the client is, and who may answer.
    pub security: ClientSecurity,
}

/// Who a client is, and who may answer.
#[derive(Debug, Clone)]
pub enum ClientSecurity {
    /// A workload of the mesh calls another. Istio's ISTIO_MUTUAL.
    Mesh {
        /// The client's own; each handshake uses what is current then.
        credentials: CredentialsReader,
        /// Who may answer.
        servers: ExpectedIdentities,
    },
    /// A workload without credentials calls one of the mesh, to obtain some.
    Bootstrap {
        /// The roots it was given.
        bundles: TrustBundles,
        /// Who may answer.
        servers: ExpectedIdentities,
    },
    /// Any client calls a server of the web. Istio's SIMPLE and MUTUAL.
    Web {
        /// Which servers are believed.
        servers: WebServers,
        /// Shown if the server asks for one.
        certificate: Option<KeyedCertificate>,
    },
}

/// Which servers of the web are believed.
#[derive(Debug, Clone)]
pub enum WebServers {
    /// Those with a certificate of these authorities.
    Certified {
        /// The authorities.
        roots: WebRoots,
        /// DNS names or URIs of which the certificate must have one. If empty, it must have the
        /// server name of the connection.
        names: Vec<String>,
    },
    /// Whoever answers. Istio's `insecureSkipVerify`.
    Anybody,
}

/// Which versions of TLS are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsVersions {
    /// 1.2 and 1.3.
    #[default]
    Both,
    /// 1.2 only.
    Only12,
    /// 1.3 only.
    Only13,
}

/// Why settings cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The server name is neither a DNS name nor an address.
    #[error("{0:?} is not a server name")]
    ServerName(String),
    /// The crypto provider cannot do what is asked.
    #[error("the crypto provider does not support these settings: {0}")]
    Provider(rustls::Error),
    /// The certificate authorities for clients cannot be used.
    #[error("client certificates cannot be verified: {0}")]
    ClientVerifier(String),
}

const BOTH: &[&SupportedProtocolVersion; 2] = &[&TLS13, &TLS12];

impl TlsVersions {
    fn as_rustls(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Both => BOTH,
            Self::Only12 => &BOTH[1..],
            Self::Only13 => &BOTH[..1],
        }
    }
}

/// A configuration, and the credentials it was made of if those may be renewed.
pub(crate) type Built<C> = (Arc<C>, Option<Arc<Credentials>>);

impl ServerSettings {
    /// Makes the configuration for the credentials that are current now.
    pub(crate) fn build(&self, context: &TlsContext) -> Result<Built<ServerConfig>, SettingsError> {
        match &self.security {
            ServerSecurity::Mesh {
                credentials,
                clients,
            } => {
                let current = credentials.current();
                let verifier = clients.verifier(&current, context);
                let config = self.assemble(Some(verifier), current.certificate(), context)?;
                Ok((Arc::new(config), Some(current)))
            }
            ServerSecurity::Web {
                certificate,
                clients,
            } => {
                let verifier = clients.verifier(context)?;
                let config = self.assemble(verifier, certificate, context)?;
                Ok((Arc::new(config), None))
            }
        }
    }

    fn assemble(
        &self,
        clients: Option<Arc<dyn ClientCertVerifier>>,
        certificate: &KeyedCertificate,
        context: &TlsContext,
    ) -> Result<ServerConfig, SettingsError> {
        let builder = ServerConfig::builder_with_details(
            Arc::clone(context.provider()),
            Arc::clone(context.clock()),
        )
        .with_protocol_versions(self.versions.as_rustls())
        .map_err(SettingsError::Provider)?;
        let builder = match clients {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(certificate.resolver());
        config.alpn_protocols.clone_from(&self.alpn);
        // A resumed session is not verified again: it would outlive expiry and a removed root.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

impl MeshClients {
    fn verifier(&self, own: &Credentials, context: &TlsContext) -> Arc<dyn ClientCertVerifier> {
        let (expected, required) = match self {
            Self::Identified(expected) => (expected, true),
            Self::IdentifiedOrAnonymous(expected) => (expected, false),
        };
        let bundles = own.bundles().clone();
        let verifier = SvidVerifier::new(bundles, expected.clone(), context.provider());
        Arc::new(if required {
            verifier
        } else {
            verifier.certificate_optional()
        })
    }
}

impl WebClients {
    fn verifier(
        &self,
        context: &TlsContext,
    ) -> Result<Option<Arc<dyn ClientCertVerifier>>, SettingsError> {
        let (roots, required) = match self {
            Self::Anonymous => return Ok(None),
            Self::Certified(roots) => (roots, true),
            Self::CertifiedOrAnonymous(roots) => (roots, false),
        };
        let provider = Arc::clone(context.provider());
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots.0), provider);
        let builder = if required {
            builder
        } else {
            builder.allow_unauthenticated()
        };
        let verifier = builder
            .build()
            .map_err(|error| SettingsError::ClientVerifier(error.to_string()))?;
        Ok(Some(verifier))
    }
}

impl ClientSettings {
    /// Makes the configuration for the credentials that are current now.
    pub(crate) fn build(&self, context: &TlsContext) -> Result<Built<ClientConfig>, SettingsError> {
        let provider = context.provider();
        let algorithms = provider.signature_verification_algorithms;
        match &self.security {
            ClientSecurity::Mesh {
                credentials,
                servers,
            } => {
                let current = credentials.current();
                let bundles = current.bundles().clone();
                let verifier = SvidVerifier::new(bundles, servers.clone(), provider);
                let own = Some(current.certificate());
                let config = self.assemble(Arc::new(verifier), own, context)?;
                Ok((config, Some(current)))
            }
            ClientSecurity::Bootstrap { bundles, servers } => {
                let verifier = SvidVerifier::new(bundles.clone(), servers.clone(), provider);
                Ok((self.assemble(Arc::new(verifier), None, context)?, None))
            }
            ClientSecurity::Web {
                servers,
                certificate,
            } => {
                let verifier: Arc<dyn ServerCertVerifier> = match servers.clone() {
                    WebServers::Certified { roots, names } => Arc::new(WebServerVerifier {
                        roots,
                        names,
                        algorithms,
                    }),
                    WebServers::Anybody => Arc::new(AnyServerVerifier { algorithms }),
                };
                let config = self.assemble(verifier, certificate.as_ref(), context)?;
                Ok((config, None))
            }
        }
    }

    fn assemble(
        &self,
        servers: Arc<dyn ServerCertVerifier>,
        certificate: Option<&KeyedCertificate>,
        context: &TlsContext,
    ) -> Result<Arc<ClientConfig>, SettingsError> {
        let builder = ClientConfig::builder_with_details(
            Arc::clone(context.provider()),
            Arc::clone(context.clock()),
        )
        .with_protocol_versions(self.versions.as_rustls())
        .map_err(SettingsError::Provider)?
        .dangerous()
        .with_custom_certificate_verifier(servers);
        let mut config = match certificate {
            Some(certificate) => builder.with_client_cert_resolver(certificate.resolver()),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols.clone_from(&self.alpn);
        // A resumed session is not verified again: it would outlive expiry and a removed root.
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }
}
